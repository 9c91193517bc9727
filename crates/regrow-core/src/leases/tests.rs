//! Who gets which port, and what is said when nobody can have one.

use std::time::Duration;

use super::*;
use crate::testing::t0;

mod histories;

const ANY: fn(u16) -> bool = |_| true;

fn port(leased: Result<Leased, LeaseError>) -> u16 {
    leased.unwrap().port
}

#[test]
fn each_gets_the_lowest_port_that_nobody_had_and_keeps_it() {
    let (mut leases, now) = (Leases::new(8001..=8004), t0());
    let leased = leases.lease("a", 1, now, |port| port != 8001).unwrap();
    let expected = Leased {
        port: 8002,
        instead_of: None,
        occupied: vec![8001],
    };
    assert_eq!(leased, expected);
    assert_eq!(port(leases.lease("b", 1, now, ANY)), 8001);
    // It is not even looked at: who has it may listen there.
    assert_eq!(port(leases.lease("a", 1, now, |_| false)), 8002);
    assert_eq!(leases.holder(8002).map(|id| &**id), Some("a"));
}

#[test]
fn a_port_that_was_given_back_is_kept_from_others_for_five_seconds() {
    let (mut leases, now) = (Leases::new(8001..=8001), t0());
    leases.lease("a", 1, now, ANY).unwrap();
    assert_eq!(leases.release("a", 1, now), Some(8001));
    let early = now + QUARANTINE - Duration::from_millis(1);
    let refused = leases.lease("b", 1, early, ANY).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"b\" got no port: the only one, 8001, is in use (kept back after use: 8001 of a for 0.1 s more); try again in 0.1 s, or \
         make the range of ports wider"
    );
    assert_eq!(port(leases.lease("b", 1, now + QUARANTINE, ANY)), 8001);
}

#[test]
fn who_comes_back_gets_its_own_port_at_once_and_late_too() {
    let (mut leases, now) = (Leases::new(8001..=8003), t0());
    for id in ["a", "b"] {
        leases.lease(id, 1, now, ANY).unwrap();
    }
    leases.release("b", 1, now);
    assert_eq!(port(leases.lease("b", 2, now, ANY)), 8002);
    leases.release("b", 2, now);
    let late = now + QUARANTINE * 100;
    assert_eq!(port(leases.lease("b", 3, late, ANY)), 8002);
}

#[test]
fn who_is_new_gets_the_port_that_was_given_back_the_longest_ago() {
    let (mut leases, now) = (Leases::new(8001..=8003), t0());
    for id in ["a", "b", "c"] {
        leases.lease(id, 1, now, ANY).unwrap();
    }
    for id in ["b", "c", "a"] {
        leases.release(id, 1, now);
    }
    let later = now + QUARANTINE;
    let got = ["x", "y", "b"].map(|id| port(leases.lease(id, 1, later, ANY)));
    // What b had is taken, so it is as good as new.
    assert_eq!(got, [8002, 8003, 8001]);
}

#[test]
fn what_an_earlier_lease_gives_back_or_asks_for_is_ignored() {
    let (mut leases, now) = (Leases::new(8001..=8002), t0());
    leases.lease("a", 1, now, ANY).unwrap();
    assert_eq!(port(leases.lease("a", 2, now, ANY)), 8001);
    let over = LeaseError::Over { id: "a".into() };
    assert_eq!(leases.release("a", 1, now), None);
    assert_eq!(leases.lease("a", 1, now, ANY), Err(over.clone()));
    assert_eq!(leases.begin("a", 1, now, ANY), Err(over.clone()));
    assert_eq!(leases.look_again("a", 1, now, ANY), Err(over));
    assert_eq!(leases.port_of("a"), Some(8001));
    assert_eq!(leases.release("a", 2, now), Some(8001));
    assert_eq!(leases.release("a", 2, now), None);
}

#[test]
fn a_life_moves_when_somebody_else_has_its_port_three_times_for_each_start() {
    let (mut leases, now) = (Leases::new(8001..=8009), t0());
    leases.lease("a", 1, now, ANY).unwrap();
    assert_eq!(leases.begin("a", 1, now, ANY), Ok(Leased::at(8001)));
    let up_to = |last: u16| move |port: u16| port > last;
    let moved = leases.begin("a", 1, now, up_to(8001)).unwrap();
    assert_eq!((moved.port, moved.instead_of), (8002, Some(8001)));
    for (from, to) in [(8002, 8003), (8003, 8004)] {
        assert_eq!(port(leases.look_again("a", 1, now, up_to(from))), to);
    }
    // It has ended for another reason.
    assert_eq!(leases.look_again("a", 1, now, ANY), Ok(Leased::at(8004)));
    let refused = leases.look_again("a", 1, now, up_to(8004)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"a\" has no port: somebody else took port 8004 and the 3 before it while it started; find out who (ss -ltnp), and keep \
         the range of ports to regrow"
    );
    assert_eq!(leases.port_of("a"), Some(8004));
    // The next start begins to count anew.
    assert_eq!(port(leases.begin("a", 1, now, up_to(8004))), 8005);
}

#[test]
fn who_cannot_move_keeps_what_it_has() {
    let (mut leases, now) = (Leases::new(8001..=8002), t0());
    for id in ["a", "b"] {
        leases.lease(id, 1, now, ANY).unwrap();
    }
    let refused = leases.begin("a", 1, now, |_| false).unwrap_err();
    assert!(matches!(refused, LeaseError::Exhausted(_)), "{refused}");
    assert_eq!(leases.port_of("a"), Some(8001));
}

#[test]
fn a_port_that_is_asked_for_by_number_is_nobody_elses_and_never_moves() {
    let (mut leases, now) = (Leases::new(8001..=8003), t0());
    assert_eq!(port(leases.fix("db", 1, 8001)), 8001);
    assert_eq!(port(leases.fix("outside", 1, 9000)), 9000);
    assert_eq!(port(leases.lease("a", 1, now, ANY)), 8002);
    assert_eq!(
        leases.begin("db", 1, now, |_| false),
        Ok(Leased::at(8001)),
        "the program will say it better"
    );
    assert_eq!(
        leases.fix("late", 1, 8002).unwrap_err().to_string(),
        "\"late\" got no port: port 8002 belongs to \"a\"; choose another"
    );
    assert_eq!(
        leases.fix("a", 2, 8003).unwrap_err().to_string(),
        "\"a\" got no port 8003: it has 8002; give that back first"
    );
    leases.release("outside", 1, now);
    assert_eq!(port(leases.fix("other", 1, 9000)), 9000);
    assert_eq!(leases.counts(now).allocated, 2);
}

#[test]
fn a_port_in_quarantine_may_be_asked_for_by_number() {
    let (mut leases, now) = (Leases::new(8001..=8003), t0());
    leases.lease("a", 1, now, ANY).unwrap();
    leases.release("a", 1, now);
    assert_eq!(port(leases.fix("b", 1, 8001)), 8001);
    assert_eq!(port(leases.lease("a", 2, now, ANY)), 8002);
}

#[test]
fn a_reserved_port_goes_to_nobody() {
    let (mut leases, now) = (Leases::new(8001..=8002).reserve(8001), t0());
    assert_eq!(
        leases.fix("a", 1, 8001).unwrap_err().to_string(),
        "\"a\" got no port: port 8001 belongs to regrow itself; choose another, or let regrow listen elsewhere with --listen"
    );
    assert_eq!(port(leases.lease("a", 1, now, ANY)), 8002);
    let refused = leases.lease("b", 1, now, ANY).unwrap_err().to_string();
    assert!(refused.contains("used by regrow itself: 8001"), "{refused}");
}

#[test]
fn when_none_is_left_the_error_names_who_has_each() {
    let (mut leases, now) = (Leases::new(8001..=8005), t0());
    for id in ["a", "b", "gone"] {
        leases.lease(id, 1, now, ANY).unwrap();
    }
    leases.fix("outside", 1, 9000).unwrap();
    leases.release("gone", 1, now);
    let later = now + Duration::from_millis(1_850);
    let refused = leases.lease("c", 1, later, |_| false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "\"c\" got no port: all of 8001-8005 are in use (held: 8001 by a, 8002 by b; kept back after use: 8003 of gone for 3.2 s \
         more; used by other programs: 8004, 8005); try again in 3.2 s, or make the range of ports wider"
    );
    // What the one who asks had itself is not kept from it: somebody uses it.
    let refused = leases.lease("gone", 2, later, |_| false).unwrap_err();
    let LeaseError::Exhausted(exhausted) = refused else {
        panic!("{refused}");
    };
    assert_eq!(exhausted.occupied, [8003, 8004, 8005]);
    assert_eq!(
        (exhausted.kept_back.len(), exhausted.retry_after()),
        (0, None)
    );
}

#[test]
fn of_very_many_only_the_first_are_named() {
    let (mut leases, now) = (Leases::new(1000..=1099), t0());
    for number in 0..100 {
        leases.lease(&format!("a{number}"), 1, now, ANY).unwrap();
    }
    let text = leases.lease("b", 1, now, ANY).unwrap_err().to_string();
    assert!(text.contains("1019 by a19 and 80 more)"), "{text}");
}

#[test]
fn ports_are_counted_by_state() {
    let (mut leases, now) = (Leases::new(8001..=8010).reserve(8010), t0());
    for id in ["a", "b", "c"] {
        leases.lease(id, 1, now, ANY).unwrap();
    }
    leases.release("c", 1, now);
    let counts = |allocated, free, quarantined| PortCounts {
        allocated,
        free,
        quarantined,
    };
    assert_eq!(leases.counts(now), counts(2, 6, 1));
    assert_eq!(leases.counts(now + QUARANTINE), counts(2, 7, 0));
}
