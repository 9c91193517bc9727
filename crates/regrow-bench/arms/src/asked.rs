//! Asking for one thing after the other, and what it takes.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use regrow_bench_harness::{Latencies, each};

/// How many are asked for between two looks at the clock.
const BURST: usize = 100;

/// Every number below `n` once, in an order that jumps.
pub fn shuffled(n: usize) -> impl Iterator<Item = usize> {
    // A prime, so that all are met, unless it divides `n`.
    (0..n).map(move |place| place * 7_919 % n)
}

/// Asks for one key after the other, `ops` times, on each of so many threads at once: how long each time took, until the last
/// thread was done, in nanoseconds. Everything was asked for once before.
pub fn mean<K: Sync, T>(
    threads: usize,
    ops: usize,
    keys: &[K],
    look: impl Fn(&K) -> T + Sync,
) -> f64 {
    for key in keys {
        black_box(look(black_box(key)));
    }
    let ready = AtomicUsize::new(0);
    let run = |thread: usize| {
        // Not the same key at the same time.
        let keys = keys.iter().cycle().skip(thread * keys.len() / threads);
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < threads {
            spin_loop();
        }
        let since = Instant::now();
        for key in keys.take(ops) {
            black_box(look(black_box(key)));
        }
        (since, Instant::now())
    };
    let spans = thread::scope(|scope| {
        let run = &run;
        let others: Vec<_> = (1..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        let mut spans = vec![run(0)];
        spans.extend(
            others
                .into_iter()
                .map(|other| other.join().expect("it does not panic")),
        );
        spans
    });
    let begin = spans.iter().map(|(begin, _)| *begin).min();
    let end = spans.iter().map(|(_, end)| *end).max();
    let took = end.zip(begin).map(|(end, begin)| end - begin);
    took.map_or(f64::NAN, |took| took.as_nanos() as f64 / ops as f64)
}

/// How long each time took, in nanoseconds.
pub struct Asked {
    /// The median, and what one in a hundred exceeds, of hundreds in a row.
    pub p50: f64,
    pub p99: f64,
    /// Of all, with whatever came between.
    pub mean: f64,
}

/// The same on this thread for so long, with a look at the clock after each hundred.
pub fn hundreds<K, T>(time: Duration, keys: &[K], look: impl Fn(&K) -> T) -> Asked {
    for key in keys {
        black_box(look(black_box(key)));
    }
    let (mut hundreds, mut ops) = (Latencies::default(), 0);
    let mut keys = keys.iter().cycle();
    let begin = Instant::now();
    while begin.elapsed() < time {
        let since = Instant::now();
        for key in keys.by_ref().take(BURST) {
            black_box(look(black_box(key)));
        }
        hundreds.note(since);
        ops += BURST;
    }
    let mean = each(begin, ops);
    let figures = hundreds.figures();
    let one = |at: usize| {
        figures
            .get(at)
            .map_or(f64::NAN, |(_, value)| value / BURST as f64)
    };
    Asked {
        p50: one(0),
        p99: one(1),
        mean,
    }
}
