//! Leases on the real ports of this machine.

use std::net::{Ipv4Addr, TcpListener};

use regrow::telemetry::EventStream;

use super::*;

/// Four ports that no other test has while this lives.
struct Block {
    _lock: TcpListener,
    range: RangeInclusive<u16>,
}

impl Block {
    fn new() -> Self {
        let mut firsts = (20_000..20_500u16).step_by(5);
        let found = firsts.find_map(|first| Some((listen(first)?, first)));
        let (lock, first) = found.expect("one of a hundred is free");
        Self {
            _lock: lock,
            range: first + 1..=first + 4,
        }
    }

    /// The port of this number, from 0.
    fn port(&self, number: u16) -> u16 {
        self.range.start() + number
    }
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

/// Leases of a block, and what is told of them.
fn told(block: &Block) -> (Ports, EventStream) {
    let telemetry = Telemetry::default();
    let events = telemetry.subscribe(100).unwrap();
    let ports = Ports::new(block.range.clone()).telemetry(&telemetry, "root");
    (ports, events)
}

/// What was told so far, with ports as numbers within the block.
fn lines(events: &mut EventStream, block: &Block) -> Vec<String> {
    let number = |port: &u16| port - block.range.start();
    std::iter::from_fn(|| events.try_next())
        .map(|event| {
            assert_eq!(event.subject.path.as_str(), "root");
            if let Payload::PortAllocated {
                free,
                port,
                holder,
                instead_of,
            } = &event.payload
            {
                let instead_of = instead_of.as_ref().map(number);
                format!(
                    "{holder} has {} instead of {instead_of:?}, {free} free",
                    number(port)
                )
            } else if let Payload::PortReleased { free, port, holder } = &event.payload {
                format!("{holder} had {}, {free} free", number(port))
            } else if let Payload::PortOccupied {
                occupied,
                ports,
                wanted_by,
            } = &event.payload
            {
                assert_eq!(ports.len(), usize::try_from(*occupied).unwrap());
                format!("{wanted_by} passed over {occupied}")
            } else {
                event.name().to_owned()
            }
        })
        .collect()
}

#[test]
fn a_port_is_given_back_when_the_last_clone_of_its_lease_is_dropped() {
    let block = Block::new();
    let (ports, mut events) = told(&block);
    let lease = ports.lease("a").unwrap();
    assert_eq!((lease.id(), lease.port()), ("a", block.port(0)));
    let clone = lease.clone();
    drop(lease);
    assert_eq!(ports.counts().allocated, 1);
    drop(clone);
    let counts = ports.counts();
    assert_eq!(
        (counts.allocated, counts.free, counts.quarantined),
        (0, 3, 1)
    );
    assert_eq!(ports.lease("a").unwrap().port(), block.port(0), "its own");
    let told = lines(&mut events, &block);
    let has = "a has 0 instead of None, 3 free";
    let had = "a had 0, 3 free";
    assert_eq!(told, [has, had, has, had]);
}

#[test]
fn an_earlier_lease_of_an_id_gives_nothing_back() {
    let block = Block::new();
    let ports = Ports::new(block.range.clone());
    let first = ports.lease("a").unwrap();
    let second = ports.lease("a").unwrap();
    drop(first);
    assert_eq!(ports.counts().allocated, 1);
    assert_eq!(second.port(), block.port(0));
    assert!(second.begin().is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn two_that_lease_from_one_range_do_not_meet() {
    let block = Block::new();
    let (one, other) = (
        Ports::new(block.range.clone()),
        Ports::new(block.range.clone()),
    );
    let first = one.lease("a").unwrap();
    let fixed = one.fix("db", block.port(1)).unwrap();
    let theirs = ["a", "b"].map(|id| other.lease(id).unwrap());
    let theirs = theirs.each_ref().map(Lease::port);
    assert_eq!(theirs, [block.port(2), block.port(3)]);
    drop((first, fixed));
    let late = other.lease("c");
    assert_eq!(late.map(|lease| lease.port()), Ok(block.port(0)));
}

#[test]
fn what_a_program_listens_on_is_passed_over_and_told() {
    let block = Block::new();
    let (ports, mut events) = told(&block);
    let strangers = [block.port(0), block.port(2)].map(listen);
    let leases = ["a", "b"].map(|id| ports.lease(id).unwrap());
    let got = leases.each_ref().map(Lease::port);
    assert_eq!(got, [block.port(1), block.port(3)]);
    let told = lines(&mut events, &block);
    let expected = [
        "a passed over 1",
        "a has 1 instead of None, 3 free",
        "b passed over 2",
        "b has 3 instead of None, 2 free",
    ];
    assert_eq!(told, expected);
    let refused = ports.lease("c").unwrap_err().to_string();
    let [first, last] = [block.port(0), block.port(2)];
    assert!(
        refused.contains(&format!("used by other programs: {first}, {last}")),
        "{refused}"
    );
    let told = lines(&mut events, &block);
    assert_eq!(told, ["c passed over 2", "regrow.port.exhausted"]);
    drop(strangers);
}

#[test]
fn a_life_begins_on_another_port_when_a_program_took_its_own() {
    let block = Block::new();
    let (ports, mut events) = told(&block);
    let lease = ports.lease("a").unwrap();
    assert_eq!(lease.begin(), Ok(block.port(0)));
    let stranger = listen(block.port(0));
    assert_eq!(lease.begin(), Ok(block.port(1)));
    assert_eq!(lease.port(), block.port(1));
    assert_eq!(lease.has_moved(), Ok(false), "nobody is there");
    drop(stranger);
    let told = lines(&mut events, &block);
    assert_eq!(told[1], "a has 1 instead of Some(0), 2 free");
    assert_eq!(told.len(), 2, "that it stays is no news: {told:?}");
    // What it left is nobody's, for other runs of regrow as well.
    let other = Ports::new(block.range.clone());
    assert_eq!(
        other.lease("x").map(|lease| lease.port()),
        Ok(block.port(0))
    );
}

#[test]
fn ports_are_counted_by_the_metrics_of_the_stream_that_they_are_told_to() {
    let block = Block::new();
    let telemetry = Telemetry::default();
    let ports = Ports::new(block.range.clone())
        .reserve(block.port(3))
        .telemetry(&telemetry, "root");
    let kept = ports.lease("a").unwrap();
    drop(ports.lease("b").unwrap());
    let counts = ports.counts();
    assert_eq!(
        (counts.allocated, counts.free, counts.quarantined),
        (1, 1, 1)
    );
    drop(kept);
}
