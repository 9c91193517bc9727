//! A call through a circuit breaker that lets it through: what the breaker adds to it.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use regrow::breaker::{Breaker, CircuitRules};
use regrow_bench_harness::{Figures, Task, each};

/// An uncontended lock and unlock, and one look at the clock: twice that is the bar.
pub async fn floor(task: Task) -> Figures {
    let lock = Mutex::new(0_u64);
    let since = Instant::now();
    for _ in 0..task.ops {
        *black_box(&lock).lock().expect("nobody panics") += 1;
        black_box(Instant::now());
    }
    vec![("mean", each(since, task.ops))]
}

fn permits(task: Task, rules: CircuitRules) -> Figures {
    let breaker = Breaker::new("bench", rules).expect("the rules are right");
    let since = Instant::now();
    for _ in 0..task.ops {
        let permit = black_box(&breaker).try_acquire().expect("it is closed");
        permit.success();
    }
    vec![("mean", each(since, task.ops))]
}

/// A permit that is taken and given back after a success, by the default rules.
pub async fn permit(task: Task) -> Figures {
    permits(task, CircuitRules::default())
}

/// The same where it matters how long calls take: each looks at the clock twice.
pub async fn timed(task: Task) -> Figures {
    let rules = CircuitRules::default().slow_threshold(Duration::from_secs(60));
    permits(task, rules)
}

/// A future that is ready, called through the breaker.
pub async fn call(task: Task) -> Figures {
    let breaker = Breaker::new("bench", CircuitRules::default()).expect("the rules are right");
    let since = Instant::now();
    for call in 0..task.ops {
        let answer = breaker.call(async { Ok::<_, ()>(black_box(call)) }).await;
        black_box(answer).expect("it is closed");
    }
    vec![("mean", each(since, task.ops))]
}
