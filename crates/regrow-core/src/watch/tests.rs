//! What a watcher is told, and that it never believes what is not true.

use std::collections::BTreeMap;

use super::*;
use crate::index::Index;
use crate::testing::registry::{self, actor};
use crate::{Phase, SplitMix64};

fn limit(limit: usize) -> NonZeroUsize {
    NonZeroUsize::new(limit).unwrap()
}

/// An index with one actor, which `fast` means and `running` does not, and a watcher that has been told so.
fn watched(query: &str, kept: usize) -> (Index<()>, Watch) {
    let mut index = Index::new();
    index.insert(actor("root/a", &["fast"]), ());
    let mut watch = Watch::new(query.parse().unwrap(), limit(kept));
    watch.on_snapshot(entries(&index, watch.query()));
    assert!(matches!(watch.take(), Some(Notice::Snapshot(_))));
    (index, watch)
}

fn entries<H>(index: &Index<H>, query: &Query) -> Vec<Arc<Entry>> {
    let found = index.find(query).into_iter();
    found.map(|found| Arc::clone(found.entry)).collect()
}

fn to_phase(index: &mut Index<()>, phase: Phase) -> Change {
    let change = index.update("root/a", 1, |entry| entry.status.phase = phase);
    change.expect("another phase")
}

#[test]
fn a_watcher_is_told_first_who_is_there_and_then_what_changes() {
    let mut index = Index::new();
    index.insert(actor("root/a", &["fast"]), ());
    let mut watch = Watch::new(Query::tag("fast"), limit(8));
    assert!(watch.wants_snapshot());
    assert!(!watch.on_change(&index.insert(actor("root/b", &["fast"]), ()).unwrap()));
    assert_eq!(watch.take(), None);
    let there = entries(&index, watch.query());
    watch.on_snapshot(there.clone());
    assert!(!watch.wants_snapshot());
    let change = index.insert(actor("root/c", &["fast"]), ()).unwrap();
    assert!(watch.on_change(&change));
    assert_eq!(watch.take(), Some(Notice::Snapshot(there)));
    let entry = Arc::clone(index.get("root/c").unwrap().entry);
    assert_eq!(
        watch.take(),
        Some(Notice::Entered {
            entry,
            before: None
        })
    );
    assert_eq!(watch.take(), None);
}

#[test]
fn what_comes_to_be_meant_enters_and_what_is_no_longer_leaves() {
    let (mut index, mut watch) = watched("running or draining", 8);
    let mut told = |phase| {
        let change = to_phase(&mut index, phase);
        let is_told = watch.on_change(&change);
        let Change::Updated { before, after } = change else {
            unreachable!("an update");
        };
        let notice = watch.take();
        assert_eq!(notice.is_some(), is_told);
        (notice, before, after)
    };
    let (notice, before, entry) = told(Phase::Running);
    assert_eq!(
        notice,
        Some(Notice::Entered {
            entry,
            before: Some(before)
        })
    );
    let (notice, before, after) = told(Phase::Draining);
    assert_eq!(notice, Some(Notice::Changed { before, after }));
    let (notice, entry, after) = told(Phase::Backoff);
    assert_eq!(
        notice,
        Some(Notice::Left {
            entry,
            because: Because::Changed(after)
        })
    );
    assert_eq!(
        told(Phase::Starting).0,
        None,
        "it is nothing to those who watch the others"
    );
}

#[test]
fn what_leaves_the_index_leaves_with_its_reason() {
    let (mut index, mut watch) = watched("fast", 8);
    let entry = Arc::clone(index.get("root/a").unwrap().entry);
    let reason = LeaveReason::Ended(crate::ExitKind::Panic);
    let change = index.remove("root/a", 1, reason).unwrap();
    assert_eq!(Notice::of(&Query::tag("slow"), &change), None);
    assert!(watch.on_change(&change));
    assert_eq!(
        watch.take(),
        Some(Notice::Left {
            entry,
            because: Because::Gone(reason)
        })
    );
}

#[test]
fn a_place_that_is_given_anew_is_told_like_one_that_changed() {
    let (mut index, mut watch) = watched("fast", 8);
    let change = index.insert(actor("root/a", &["fast", "new"]), ()).unwrap();
    assert!(watch.on_change(&change));
    assert!(matches!(watch.take(), Some(Notice::Changed { .. })));
    let change = index.insert(actor("root/a", &["slow"]), ()).unwrap();
    assert!(watch.on_change(&change));
    assert!(matches!(
        watch.take(),
        Some(Notice::Left {
            because: Because::Changed(_),
            ..
        })
    ));
}

/// So many changes, each of which the watcher is told.
fn toggle(index: &mut Index<()>, watch: &mut Watch, times: usize) -> Vec<bool> {
    let changes = (0..times).map(|_| {
        let runs = index.get("root/a").unwrap().entry.status.phase == Phase::Running;
        let phase = if runs {
            Phase::Draining
        } else {
            Phase::Running
        };
        watch.on_change(&to_phase(index, phase))
    });
    changes.collect()
}

#[test]
fn a_watcher_that_is_too_slow_is_told_how_much_it_missed_and_who_is_there() {
    let (mut index, mut watch) = watched("fast", 2);
    let woken = toggle(&mut index, &mut watch, 5);
    assert_eq!(
        woken,
        [true, true, true, false, false],
        "to fetch, and once to ask"
    );
    assert_eq!(watch.take(), None, "what is left would be believed");
    assert!(watch.wants_snapshot());
    let there = entries(&index, watch.query());
    watch.on_snapshot(there.clone());
    assert_eq!(watch.take(), Some(Notice::Missed(5)));
    assert_eq!(watch.take(), Some(Notice::Snapshot(there)));
    assert_eq!(watch.take(), None);
    toggle(&mut index, &mut watch, 2);
    assert!(matches!(watch.take(), Some(Notice::Changed { .. })));
}

#[test]
fn as_many_changes_are_kept_as_the_limit_says_and_a_snapshot_beside_them() {
    let (mut index, mut watch) = watched("fast", 2);
    toggle(&mut index, &mut watch, 3);
    watch.on_snapshot(entries(&index, watch.query()));
    toggle(&mut index, &mut watch, 2);
    let told: Vec<Notice> = std::iter::from_fn(|| watch.take()).collect();
    assert_eq!(told.len(), 4);
    assert!(matches!(
        &told[..2],
        [Notice::Missed(3), Notice::Snapshot(_)]
    ));
}

#[test]
fn what_was_missed_before_and_not_told_is_counted_with_the_rest() {
    let (mut index, mut watch) = watched("fast", 1);
    toggle(&mut index, &mut watch, 3);
    watch.on_snapshot(entries(&index, watch.query()));
    toggle(&mut index, &mut watch, 2);
    assert_eq!(watch.take(), None);
    watch.on_snapshot(Vec::new());
    assert_eq!(watch.take(), Some(Notice::Missed(5)));
    assert_eq!(
        watch.take(),
        Some(Notice::Snapshot(Vec::new())),
        "the later one"
    );
    toggle(&mut index, &mut watch, 3);
    watch.on_snapshot(Vec::new());
    assert_eq!(
        watch.take(),
        Some(Notice::Missed(3)),
        "what was told is over"
    );
}

#[test]
fn a_snapshot_that_nobody_wants_is_not_told() {
    let (index, mut watch) = watched("fast", 1);
    watch.on_snapshot(entries(&index, watch.query()));
    assert_eq!(watch.take(), None);
}

/// What a watcher believes: entries by path.
fn believe(known: &mut BTreeMap<String, Arc<Entry>>, notice: Notice) {
    match notice {
        Notice::Missed(_) => {}
        Notice::Snapshot(entries) => {
            let entries = entries.into_iter();
            *known = entries
                .map(|entry| (entry.path.to_string(), entry))
                .collect();
        }
        Notice::Entered { entry, .. } => {
            assert_eq!(known.insert(entry.path.to_string(), entry), None);
        }
        Notice::Changed { before, after } => {
            assert_eq!(known.insert(after.path.to_string(), after), Some(before));
        }
        Notice::Left { entry, .. } => assert_eq!(known.remove(&*entry.path), Some(entry)),
    }
}

#[test]
fn a_watcher_that_has_taken_everything_knows_what_a_query_finds() {
    let mut lost = 0;
    for seed in 0..200 {
        let mut rng = SplitMix64::new(seed);
        let kept = usize::try_from(1 + rng.below(4)).unwrap();
        let (mut index, mut known) = (Index::new(), BTreeMap::new());
        let mut watch = Watch::new(registry::query(&mut rng, 2), limit(kept));
        for _ in 0..80 {
            let path = registry::path(&mut rng);
            let change = match rng.below(4) {
                0..=1 => index.insert(registry::entry(&mut rng), ()),
                2 => {
                    let status = registry::status(&mut rng);
                    index.update(path, 9, |entry| entry.status = status)
                }
                _ => index.remove(path, 9, LeaveReason::Removed),
            };
            if let Some(change) = change {
                watch.on_change(&change);
            }
            if rng.below(4) > 0 {
                continue;
            }
            if watch.wants_snapshot() {
                watch.on_snapshot(entries(&index, watch.query()));
            }
            while let Some(notice) = watch.take() {
                lost += u32::from(matches!(notice, Notice::Missed(_)));
                believe(&mut known, notice);
            }
            let found = entries(&index, watch.query()).into_iter();
            let found: BTreeMap<_, _> = found.map(|e| (e.path.to_string(), e)).collect();
            assert_eq!(known, found, "seed {seed}: {}", watch.query());
        }
    }
    assert!(lost > 20, "{lost} times");
}
