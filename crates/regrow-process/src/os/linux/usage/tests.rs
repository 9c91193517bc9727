use super::*;

fn row_of(pid: i32, parent: i32, group: i32, start_time: u64) -> Row {
    Row {
        entry: Entry {
            identity: Identity { pid, start_time },
            parent,
            group,
            life: Life::Alive,
        },
        name: "a".to_owned(),
        ticks: [0; 4],
        threads: 1,
        pages: 1,
    }
}

/// Far above any pid of a machine: nobody has an environment there.
const BASE: i32 = 900_000_000;

fn crew(agent: &str, leader: i32, seen: &[i32]) -> Crew {
    let identity = |pid| Identity {
        pid: BASE + pid,
        start_time: 5,
    };
    Crew {
        agent: agent.into(),
        generation: 1,
        leader: identity(leader),
        seen: seen.iter().copied().map(identity).collect(),
    }
}

/// The pids of each crew, where `(pid, parent, group, start_time)` are all there are.
fn owned(crews: &[Crew], processes: &[(i32, i32, i32, u64)]) -> Vec<Vec<i32>> {
    let row = |(pid, parent, group, start): &(i32, i32, i32, u64)| {
        row_of(BASE + pid, BASE + parent, BASE + group, *start)
    };
    let rows: Vec<Row> = processes.iter().map(row).collect();
    let owners = owners("run", crews, &rows, &mut Strangers::default());
    let of = |index| {
        let mut pids: Vec<i32> = owners
            .iter()
            .filter(|(_, owner)| **owner == index)
            .map(|(pid, _)| pid - BASE)
            .collect();
        pids.sort_unstable();
        pids
    };
    (0..crews.len()).map(of).collect()
}

#[test]
fn a_process_belongs_by_group_by_descent_or_because_it_was_seen() {
    let crews = [crew("a", 10, &[30]), crew("b", 20, &[])];
    let processes = [
        (10, 1, 10, 5),
        (11, 1, 10, 6),
        (12, 10, 12, 6),
        (13, 12, 12, 6),
        (20, 1, 20, 5),
        (30, 1, 30, 5),
        (31, 30, 30, 6),
        (40, 1, 40, 6),
    ];
    assert_eq!(
        owned(&crews, &processes),
        [vec![10, 11, 12, 13, 30, 31], vec![20]]
    );
}

#[test]
fn a_leader_below_another_is_its_own() {
    let crews = [crew("a", 10, &[]), crew("b", 20, &[])];
    let processes = [(10, 1, 10, 5), (20, 10, 20, 5), (21, 20, 20, 6)];
    assert_eq!(owned(&crews, &processes), [vec![10], vec![20, 21]]);
}

#[test]
fn the_group_of_a_reused_pid_is_not_counted() {
    let crews = [crew("a", 10, &[])];
    // Somebody else has the leader's pid, and so its group; and what is older than the leader was never its own.
    assert_eq!(
        owned(&crews, &[(10, 1, 10, 9), (11, 10, 10, 9)]),
        [vec![0; 0]]
    );
    assert_eq!(owned(&crews, &[(11, 1, 10, 4), (12, 1, 10, 5)]), [vec![12]]);
}

#[test]
fn what_stat_says_is_read_behind_any_name() {
    let stat = b"42 (a) b) R 7 42 40 0 -1 4194560 1 0 0 0 150 50 30 20 20 0 4 0 98765 1000 2000 3";
    let row = row_in(42, stat).unwrap();
    assert_eq!(row.name, "a) b");
    assert_eq!(
        (row.ticks, row.threads, row.pages),
        ([150, 50, 30, 20], 4, 2000)
    );
    assert!(row_in(42, b"42 (a) R 7 42 40").is_none());
}

#[test]
fn transfers_are_read_by_their_names() {
    let io = b"rchar: 10\nwchar: 20\nsyscr: 1\nsyscw: 2\nread_bytes: 30\nwrite_bytes: 40\ncancelled_write_bytes: 5\n";
    let expected = Spent {
        cpu: Duration::ZERO,
        read_bytes: 10,
        written_bytes: 20,
        disk_read_bytes: 30,
        disk_written_bytes: 40,
    };
    assert_eq!(transfers(io), expected);
    assert_eq!(transfers(b"nonsense"), Spent::default());
}

#[test]
fn the_environment_names_the_life_of_this_run_only() {
    let environ = b"A=1\0REGROW_INSTANCE=run\0REGROW_AGENT_ID=web\0REGROW_GENERATION=12\0";
    assert_eq!(life_in(environ, "run"), Some(("web".to_owned(), 12)));
    assert_eq!(life_in(environ, "ru"), None);
    assert_eq!(life_in(b"REGROW_INSTANCE=run\0", "run"), None);
}

#[test]
fn we_can_read_ourselves() {
    let us = super::super::start_time(own_pid()).unwrap();
    let us = Identity {
        pid: own_pid(),
        start_time: us,
    };
    let reading = reading(us).unwrap();
    assert!(reading.is_living && reading.memory_bytes > 0 && reading.threads > 0);
    assert!(reading.descriptors >= 3, "{reading:?}");
    // Where smaps_rollup is there at all.
    if fs::exists("/proc/self/smaps_rollup").unwrap() {
        let share = proportional_memory(us).unwrap();
        assert!(share > 0);
    }
    let earlier = Identity {
        start_time: us.start_time + 1,
        ..us
    };
    assert_eq!(super::reading(earlier), None);
}

#[test]
fn whoever_was_found_to_be_a_stranger_is_not_asked_again_and_is_forgotten_with_its_end() {
    let us = super::super::start_time(own_pid()).unwrap();
    let us = Identity {
        pid: own_pid(),
        start_time: us,
    };
    let crew = Crew {
        leader: Identity {
            pid: BASE,
            start_time: 0,
        },
        ..crew("a", 0, &[])
    };
    let gone = Identity {
        pid: BASE + 1,
        start_time: 1,
    };
    let mut strangers = Strangers::default();
    strangers.0.insert(gone);
    let mut row = row_of(us.pid, 1, us.pid, us.start_time);
    row.entry.identity = us;
    let found = owners("run", &[crew], &[row], &mut strangers);
    assert!(found.is_empty());
    assert_eq!(strangers.0, HashSet::from([us]));
}
