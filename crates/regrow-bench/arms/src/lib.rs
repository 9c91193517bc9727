//! regrow, raw ractor, kameo and plain tokio, doing the same things.

mod asked;
mod breaker;
mod dynamic;
mod kameo_arms;
mod meter;
mod mini;
mod named;
mod ours;
mod pools;
mod probes;
mod processes;
mod raw;
mod tagged;
mod telemetry;
mod tokio_arms;
mod uncounted;
mod worker;

use regrow_bench_harness::{Arm, arm};

/// Everything that can be measured here.
pub fn arms() -> Vec<Arm> {
    vec![
        arm!("cast", "tokio", tokio_arms::cast),
        arm!("cast", "ractor", raw::cast),
        arm!("cast", "regrow", ours::cast),
        arm!("cast", "regrow-bare", ours::cast_bare),
        arm!("cast", "regrow-uncounted", ours::cast_uncounted),
        arm!("cast", "regrow-past", ours::cast_past),
        arm!("cast", "kameo", kameo_arms::cast),
        arm!("cast", "kameo-unbounded", kameo_arms::cast_unbounded),
        arm!("call", "tokio", tokio_arms::call),
        arm!("call", "ractor", raw::call),
        arm!("call", "ractor-deadline", raw::call_deadline),
        arm!("call", "regrow", ours::call),
        arm!("call", "regrow-deadline", ours::call_deadline),
        arm!("call", "regrow-open", ours::call_open),
        arm!("call", "kameo", kameo_arms::call),
        arm!("restart", "tokio", tokio_arms::restart),
        arm!("restart", "ractor-mini", raw::restart),
        arm!("restart", "regrow", ours::restart),
        arm!("restart", "regrow-past", ours::restart_past),
        arm!("restart", "regrow-quiet", ours::restart_quiet),
        arm!("restart", "kameo", kameo_arms::restart),
        arm!("restart-panic", "tokio", tokio_arms::restart_panic),
        arm!("restart-panic", "ractor-mini", raw::restart_panic),
        arm!("restart-panic", "regrow", ours::restart_panic),
        arm!("restart-panic", "kameo", kameo_arms::restart_panic),
        arm!("crash-loop", "ractor-mini", raw::crash_loop),
        arm!("crash-loop", "regrow", ours::crash_loop),
        arm!("crash-loop", "kameo", kameo_arms::crash_loop),
        arm!("one-for-all", "ractor-mini", raw::all),
        arm!("one-for-all", "regrow", ours::all),
        arm!("one-for-all", "kameo", kameo_arms::all),
        arm!("rest-for-one", "regrow", ours::rest),
        arm!("rest-for-one", "kameo", kameo_arms::rest),
        arm!("start", "tokio", tokio_arms::start),
        arm!("start", "ractor", raw::start),
        arm!("start", "ractor-mini", raw::start_mini),
        arm!("start", "regrow", ours::start),
        arm!("start", "kameo", kameo_arms::start),
        arm!("start-dynamic", "tokio", tokio_arms::start_warm),
        arm!("start-dynamic", "ractor", raw::start_warm),
        arm!("start-dynamic", "regrow", dynamic::start_pipelined),
        arm!("start-dynamic", "regrow-one-by-one", dynamic::start),
        arm!("start-dynamic", "regrow-batch", dynamic::start_batch),
        arm!("start-dynamic", "kameo", kameo_arms::start_warm),
        arm!("among", "regrow", dynamic::among),
        arm!("shutdown", "regrow-dynamic", dynamic::shutdown),
        arm!("shutdown", "tokio", tokio_arms::shutdown),
        arm!("shutdown", "ractor", raw::shutdown),
        arm!("shutdown", "regrow", ours::shutdown),
        arm!("shutdown", "kameo", kameo_arms::shutdown),
        arm!("breaker", "lock-and-clock", breaker::floor),
        arm!("breaker", "regrow", breaker::permit),
        arm!("breaker", "regrow-timed", breaker::timed),
        arm!("breaker", "regrow-call", breaker::call),
        arm!("lookup", "hashmap", named::hashmap),
        arm!("lookup", "papaya", named::papaya),
        arm!("lookup", "dashmap", named::dashmap),
        arm!("lookup", "ractor", named::ractor),
        arm!("lookup", "regrow", named::regrow),
        arm!("lookup", "regrow-entry", named::regrow_entry),
        arm!("lookup", "kameo", kameo_arms::lookup),
        arm!("tag", "papaya", tagged::papaya),
        arm!("tag", "ractor", tagged::ractor),
        arm!("tag", "regrow", tagged::regrow),
        arm!("tag", "regrow-find", tagged::regrow_find),
        arm!("tag-and", "papaya", tagged::papaya),
        arm!("tag-and", "ractor", tagged::ractor_both),
        arm!("tag-and", "regrow", tagged::regrow_count_both),
        arm!("tag-and", "regrow-find", tagged::regrow_find_both),
        arm!("registry", "regrow", tagged::calm),
        arm!("registry-busy", "regrow", tagged::busy),
        arm!("event", "counter", telemetry::counter),
        arm!("event", "regrow", telemetry::event),
        arm!("event", "regrow-counting", telemetry::counting),
        arm!("event", "regrow-logged", telemetry::event_logged),
        arm!("event", "regrow-unheard", telemetry::event_unheard),
        arm!("scrape", "exporter", telemetry::scrape_floor),
        arm!("scrape", "regrow", telemetry::scrape),
        arm!("pool", "in-turn", pools::in_turn),
        arm!("pool", "regrow", pools::regrow),
        arm!("pool", "factory", pools::factory),
        arm!("pool", "kameo", pools::kameo),
        arm!("pool-answers", "in-turn", pools::in_turn_answers),
        arm!("pool-answers", "regrow", pools::regrow_answers),
        arm!("pool-answers", "factory", pools::factory_answers),
        arm!("pool-answers", "kameo", pools::kameo_answers),
        arm!("probes", "core", probes::core),
        arm!("probes", "unprobed", probes::unprobed),
        arm!("probes", "regrow", probes::regrow),
        arm!("process", "tokio", processes::tokio),
        arm!("process", "tokio-piped", processes::tokio_piped),
        arm!("process", "regrow", processes::regrow),
        arm!("process", "runit", processes::runit),
        arm!("process", "pm2", processes::pm2),
        arm!("process", "supervisord", processes::supervisord),
    ]
}
