//! How pools are.

use super::{Panel, Row, Unit, max, of, quantile, rate, sum};

pub(super) fn row() -> Row {
    Row {
        title: "Pools",
        panels: work().into_iter().chain(times()).collect(),
    }
}

/// Workers and jobs.
fn work() -> Vec<Panel> {
    let all = |metric| of(metric, "");
    let line = |title, unit, metric, legend| {
        Panel::lines(title, unit).with(max("pool", &all(metric)), legend)
    };
    vec![
        Panel::stack("Workers", Unit::Count).with(
            sum("pool, state", &all("regrow_pool_workers")),
            "{{pool}}: {{state}}",
        ),
        line(
            "Sizes",
            Unit::Count,
            "regrow_pool_workers_desired",
            "{{pool}}",
        )
        .with(
            max("pool", &all("regrow_pool_workers_min")),
            "{{pool}}: least",
        )
        .with(
            max("pool", &all("regrow_pool_workers_max")),
            "{{pool}}: most",
        )
        .help("What each pool wants, and between what it may be."),
        line(
            "Jobs waiting",
            Unit::Count,
            "regrow_pool_queue_jobs",
            "{{pool}}",
        ),
        line(
            "Oldest waiting job",
            Unit::Seconds,
            "regrow_pool_queue_oldest_age_seconds",
            "{{pool}}",
        )
        .limits(5.0, 30.0),
        Panel::stack("Jobs done", Unit::PerSecond).with(
            rate("outcome", &all("regrow_pool_jobs_total")),
            "{{outcome}}",
        ),
        Panel::stack("Jobs refused", Unit::PerSecond).with(
            rate("pool, reason", &all("regrow_pool_rejections_total")),
            "{{pool}}: {{reason}}",
        ),
    ]
}

/// How long it takes, and what becomes of the size.
fn times() -> Vec<Panel> {
    let all = |metric| of(metric, "");
    vec![
        Panel::lines("Jobs wait and take, 95%", Unit::Seconds)
            .with(
                quantile(0.95, "pool", "regrow_pool_queue_wait_seconds", ""),
                "{{pool}} waits",
            )
            .with(
                quantile(0.95, "pool", "regrow_pool_job_seconds", ""),
                "{{pool}} takes",
            )
            .help("One job in 64 is timed."),
        Panel::lines("Sizes change", Unit::PerSecond)
            .with(
                rate(
                    "pool, direction, trigger",
                    &all("regrow_pool_scale_events_total"),
                ),
                "{{pool}}: {{direction}} ({{trigger}})",
            )
            .with(
                rate("pool, reason", &all("regrow_pool_scale_blocked_total")),
                "{{pool}}: not, {{reason}}",
            ),
        Panel::lines("Growing takes, 95%", Unit::Seconds).with(
            quantile(0.95, "pool", "regrow_pool_scale_up_seconds", ""),
            "{{pool}}",
        ),
    ]
}
