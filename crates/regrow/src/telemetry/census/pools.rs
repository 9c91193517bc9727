//! How each pool is, as gauges and counters.

use regrow_core::crew::WorkerState;
use regrow_core::desk::{Outcome, Reject};

use super::{
    ComputedFamily, POOL_DESIRED, POOL_JOBS, POOL_MAX, POOL_MIN, POOL_OLDEST, POOL_QUEUE,
    POOL_REJECTIONS, POOL_WORKERS, float,
};
use crate::pool::Pools;

pub(super) fn families(pools: &Pools) -> [ComputedFamily; 8] {
    let schemas = [
        &POOL_WORKERS,
        &POOL_DESIRED,
        &POOL_MIN,
        &POOL_MAX,
        &POOL_QUEUE,
        &POOL_OLDEST,
        &POOL_JOBS,
        &POOL_REJECTIONS,
    ];
    let mut families = schemas.map(ComputedFamily::new);
    let [workers, desired, min, max, queue, oldest, jobs, rejections] = &mut families;
    for pool in pools.all() {
        let status = pool.status();
        let path = status.path.as_str();
        for state in WorkerState::ALL {
            let count = status.desk.counts.of(*state);
            *workers.at([path, state.as_str()]) = f64::from(count);
        }
        *desired.at([path]) = f64::from(status.desired);
        *min.at([path]) = f64::from(status.min);
        *max.at([path]) = f64::from(status.max);
        *queue.at([path]) = float(status.desk.queued);
        *oldest.at([path]) = status.desk.oldest.as_secs_f64();
        let totals = status.desk.totals;
        for outcome in Outcome::ALL {
            let taken_back = match outcome {
                Outcome::Cancelled => totals.cancelled,
                Outcome::Ok
                | Outcome::Error
                | Outcome::Panicked
                | Outcome::Lost
                | Outcome::Timeout => 0,
            };
            *jobs.at([path, outcome.as_str()]) = float(totals.ended(*outcome) + taken_back);
        }
        for reason in Reject::ALL {
            *rejections.at([path, reason.as_str()]) = float(totals.rejected(*reason));
        }
    }
    families
}
