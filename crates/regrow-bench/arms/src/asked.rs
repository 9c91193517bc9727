//! Asking for one thing after the other, and what it takes.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use regrow_bench_harness::Latencies;

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

/// The same on this thread, 100 times in a row: the median of those hundreds and what one in a hundred of them exceeds, for each
/// time.
pub fn hundreds<K, T>(ops: usize, keys: &[K], look: impl Fn(&K) -> T) -> [f64; 2] {
    for key in keys {
        black_box(look(black_box(key)));
    }
    let mut hundreds = Latencies::with_capacity(ops / BURST);
    let mut keys = keys.iter().cycle();
    for _ in 0..ops.div_ceil(BURST) {
        let since = Instant::now();
        for key in keys.by_ref().take(BURST) {
            black_box(look(black_box(key)));
        }
        hundreds.note(since);
    }
    let mut figures = [f64::NAN; 2];
    for (figure, (_, value)) in figures.iter_mut().zip(hundreds.figures()) {
        *figure = value / BURST as f64;
    }
    figures
}
