//! What probes say, and how the whole is.

use super::{Panel, Row, Unit, of, quantile, rate};

pub(super) fn probes() -> Row {
    let all = |metric| of(metric, "");
    Row {
        title: "Probes",
        panels: vec![
            Panel::lines("Well", Unit::Count)
                .with(
                    format!("min by (probe) ({})", all("regrow_probe_up")),
                    "{{probe}}",
                )
                .help("0 while one of those that have the probe fails it."),
            Panel::lines("Not up", Unit::Count).with(
                format!(
                    "max by (component, status) ({}) == 1",
                    of("regrow_health_status", "status!=\"up\"")
                ),
                "{{component}}: {{status}}",
            ),
            Panel::stack("Asked", Unit::PerSecond).with(
                rate("result", &all("regrow_probe_executions_total")),
                "{{result}}",
            ),
            Panel::lines("Verdicts change", Unit::PerSecond).with(
                rate("probe, to", &all("regrow_probe_transitions_total")),
                "{{probe}}: {{to}}",
            ),
            Panel::lines("Answers take, 95%", Unit::Seconds).with(
                quantile(0.95, "probe", "regrow_probe_seconds", ""),
                "{{probe}}",
            ),
        ],
    }
}
