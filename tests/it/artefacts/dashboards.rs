//! The dashboards, and that `deploy/grafana` holds what is said here.

use serde_json::Value;

use super::deployed;
use super::grafana::{Dashboard, Panel, Row, Unit, Variable};

mod pools;
mod probes;

/// Series of a metric of the systems that were chosen; `labels` narrow them further.
fn of(metric: &str, labels: &str) -> String {
    let and = if labels.is_empty() { "" } else { "," };
    format!(r#"{metric}{{job=~"$job",instance=~"$instance"{and}{labels}}}"#)
}

/// Narrow to what was chosen.
const TYPE: &str = r#"type=~"$type""#;
const SUPERVISOR: &str = r#"supervisor=~"$supervisor""#;
const ROUTE: &str = r#"route=~"$route""#;
/// Answers that say it is the server's fault. A client that went away without an answer has the code `none`.
const FAULTS: &str = r#"route=~"$route",code=~"5..""#;

fn sum(by: &str, series: &str) -> String {
    format!("sum by ({by}) ({series})")
}

fn max(by: &str, series: &str) -> String {
    format!("max by ({by}) ({series})")
}

/// How fast counters grow, added up.
fn rate(by: &str, series: &str) -> String {
    sum(by, &format!("rate({series}[$__rate_interval])"))
}

/// A sum over all series; 0 where there are none.
///
/// For counters too: a counter does not exist before it counts, and Prometheus does not see the step to its first value.
fn count(series: &str) -> String {
    format!("sum({series}) or vector(0)")
}

/// Below which time that share of a histogram's observations lies.
fn quantile(share: f64, by: &str, metric: &str, labels: &str) -> String {
    let and = if by.is_empty() { "" } else { ", " };
    let buckets = rate(
        &format!("le{and}{by}"),
        &of(&format!("{metric}_bucket"), labels),
    );
    format!("histogram_quantile({share}, {buckets})")
}

/// The observations of a histogram, bucket by bucket.
fn buckets(metric: &str, labels: &str) -> String {
    rate("le", &of(&format!("{metric}_bucket"), labels))
}

/// What one system at a time, or all, are chosen by.
fn variables(more: &[(&'static str, &str)]) -> Vec<Variable> {
    let systems = [
        ("job", "regrow_build_info".to_owned()),
        ("instance", r#"regrow_build_info{job=~"$job"}"#.to_owned()),
    ];
    let more = more.iter().map(|(label, metric)| (*label, of(metric, "")));
    systems
        .into_iter()
        .chain(more)
        .map(|(label, of)| Variable { label, of })
        .collect()
}

fn tree() -> Dashboard {
    Dashboard {
        uid: "regrow-tree",
        title: "regrow: tree",
        variables: variables(&[
            ("supervisor", "regrow_supervisor_children"),
            ("type", "regrow_children"),
        ]),
        rows: vec![
            now(),
            children(),
            restarts(),
            lives(),
            actors(),
            probes::probes(),
            breakers(),
            pools::row(),
            registry(),
            telemetry(),
        ],
    }
}

fn now() -> Row {
    let children = |phase: &str| {
        let labels = format!(r#"{SUPERVISOR},state="{phase}""#);
        count(&of("regrow_supervisor_children", &labels))
    };
    Row {
        title: "Now",
        panels: vec![
            Panel::number("Children running", Unit::Count, children("running")),
            Panel::number("Waiting to be restarted", Unit::Count, children("backoff"))
                .limits(1.0, 10.0),
            Panel::number("Given up on", Unit::Count, children("failed"))
                .limits(1.0, 1.0)
                .help("Parked until an operator starts them; /health says why."),
            Panel::number(
                "Restarts",
                Unit::Count,
                count(&of("regrow_supervisor_restarts_total", SUPERVISOR)),
            )
            .help("Since the programs began."),
            Panel::number(
                "Meltdowns",
                Unit::Count,
                count(&of("regrow_supervisor_meltdowns_total", SUPERVISOR)),
            )
            .limits(1.0, 1.0)
            .help("Supervisors that gave up, since the programs began."),
            Panel::number("Systems", Unit::Count, count(&of("regrow_build_info", ""))),
        ],
    }
}

fn children() -> Row {
    let not_up = format!(r#"{SUPERVISOR},state!~"running|completed|stopped""#);
    Row {
        title: "Children",
        panels: vec![
            Panel::stack("By phase", Unit::Count)
                .with(sum("status", &of("regrow_children", TYPE)), "{{status}}"),
            Panel::stack("Running, by type", Unit::Count).with(
                sum(
                    "kind, type",
                    &of("regrow_children", &format!(r#"{TYPE},status="running""#)),
                ),
                "{{type}} ({{kind}})",
            ),
            Panel::stack("Not up though they should be, by supervisor", Unit::Count)
                .with(
                    sum("supervisor", &of("regrow_supervisor_children", &not_up)),
                    "{{supervisor}}",
                )
                .help("Pending, starting, in backoff, ending, or given up on."),
            Panel::stack("Could not be ended, and still running", Unit::Count)
                .with(
                    sum("kind, type", &of("regrow_children_unresponsive", TYPE)),
                    "{{type}} ({{kind}})",
                )
                .help("Lives in code that neither asking nor force reaches; their places may have others by now."),
        ],
    }
}

fn restarts() -> Row {
    let restarts = of("regrow_supervisor_restarts_total", SUPERVISOR);
    Row {
        title: "Restarts",
        panels: vec![
            Panel::lines("By supervisor", Unit::PerSecond)
                .with(rate("supervisor", &restarts), "{{supervisor}}"),
            Panel::stack("By reason and scope", Unit::PerSecond)
                .with(rate("reason, scope", &restarts), "{{reason}}, {{scope}}"),
            Panel::lines("Restart allowance used", Unit::Ratio)
                .with(
                    max("supervisor", &of("regrow_supervisor_intensity_ratio", SUPERVISOR)),
                    "{{supervisor}}",
                )
                .limits(0.8, 1.0)
                .help("At 100% the next failure makes the supervisor give up. Without a limit there is no line."),
            Panel::lines("Time from death to next life", Unit::Seconds)
                .with(quantile(0.5, "supervisor", "regrow_supervisor_recovery_seconds", SUPERVISOR), "half, {{supervisor}}")
                .with(quantile(0.95, "supervisor", "regrow_supervisor_recovery_seconds", SUPERVISOR), "95%, {{supervisor}}"),
            Panel::heat(
                "Recoveries",
                Unit::Seconds,
                buckets("regrow_supervisor_recovery_seconds", SUPERVISOR),
            ),
            Panel::lines("Delay before a restart", Unit::Seconds)
                .with(quantile(0.95, "supervisor", "regrow_supervisor_backoff_seconds", SUPERVISOR), "95%, {{supervisor}}"),
        ],
    }
}

fn lives() -> Row {
    Row {
        title: "Lives",
        panels: vec![
            Panel::lines("Starts", Unit::PerSecond).with(
                rate("kind, type", &of("regrow_child_starts_total", TYPE)),
                "{{type}} ({{kind}})",
            ),
            Panel::lines("Starts that failed", Unit::PerSecond).with(
                rate(
                    "type, reason",
                    &of("regrow_child_start_failures_total", TYPE),
                ),
                "{{type}}: {{reason}}",
            ),
            Panel::stack("Ends", Unit::PerSecond).with(
                rate("reason", &of("regrow_child_terminations_total", TYPE)),
                "{{reason}}",
            ),
            Panel::lines("Start takes", Unit::Seconds).with(
                quantile(0.95, "type", "regrow_child_start_duration_seconds", TYPE),
                "95%, {{type}}",
            ),
            Panel::lines("Stop takes", Unit::Seconds)
                .with(
                    quantile(0.95, "outcome", "regrow_child_stop_duration_seconds", TYPE),
                    "95%, {{outcome}}",
                )
                .help("escalated: it did not end in time and was killed."),
            Panel::lines("Life lasts", Unit::Seconds).with(
                quantile(0.5, "type", "regrow_child_lifetime_seconds", TYPE),
                "half, {{type}}",
            ),
        ],
    }
}

fn actors() -> Row {
    let lines = |title, unit, expression| Panel::lines(title, unit).with(expression, "{{type}}");
    let sum = |metric| sum("type", &of(metric, TYPE));
    let max = |metric| max("type", &of(metric, TYPE));
    let bad = format!(r#"{TYPE},outcome!="ok""#);
    Row {
        title: "Actors",
        panels: vec![
            lines(
                "Messages handled",
                Unit::PerSecond,
                rate("type", &of("regrow_messages_handled_total", TYPE)),
            ),
            Panel::lines("Messages that failed", Unit::PerSecond).with(
                rate("type, outcome", &of("regrow_messages_handled_total", &bad)),
                "{{type}}: {{outcome}}",
            ),
            lines("Actors busy", Unit::Count, sum("regrow_actors_busy")),
            lines(
                "Messages waiting",
                Unit::Count,
                sum("regrow_mailbox_messages"),
            ),
            lines(
                "Deepest mailbox",
                Unit::Count,
                max("regrow_mailbox_messages_max"),
            ),
            lines(
                "Oldest message",
                Unit::Seconds,
                max("regrow_mailbox_oldest_age_seconds"),
            )
            .limits(10.0, 30.0),
            lines(
                "Messages wait, 95%",
                Unit::Seconds,
                quantile(0.95, "type", "regrow_message_wait_seconds", TYPE),
            ),
            lines(
                "Handlers take, 95%",
                Unit::Seconds,
                quantile(0.95, "type", "regrow_message_handle_seconds", TYPE),
            ),
            lines(
                "Longest running handler",
                Unit::Seconds,
                max("regrow_handler_oldest_age_seconds"),
            )
            .limits(10.0, 60.0),
        ],
    }
}

fn breakers() -> Row {
    let all = |metric| of(metric, "");
    let state = of("regrow_breaker_state", r#"state!="closed""#);
    Row {
        title: "Breakers",
        panels: vec![
            Panel::lines("Not closed", Unit::Count)
                .with(max("breaker, state", &state), "{{breaker}}: {{state}}")
                .help("1 while the breaker is in that state."),
            Panel::stack("Calls", Unit::PerSecond).with(
                rate("outcome", &all("regrow_breaker_calls_total")),
                "{{outcome}}",
            ),
            Panel::lines("Changes", Unit::PerSecond).with(
                rate(
                    "breaker, from, to, cause",
                    &all("regrow_breaker_transitions_total"),
                ),
                "{{breaker}}: {{from}} to {{to}} ({{cause}})",
            ),
            Panel::lines("Failed and slow", Unit::Ratio)
                .with(
                    max("breaker", &all("regrow_breaker_failure_ratio")),
                    "failed, {{breaker}}",
                )
                .with(
                    max("breaker", &all("regrow_breaker_slow_ratio")),
                    "slow, {{breaker}}",
                )
                .help("Of the window; there is no line below the minimum of calls."),
            Panel::lines("Slow calls", Unit::PerSecond).with(
                rate("breaker, outcome", &all("regrow_breaker_slow_calls_total")),
                "{{breaker}}: {{outcome}}",
            ),
            Panel::lines("Calls take, 95%", Unit::Seconds)
                .with(
                    quantile(0.95, "breaker", "regrow_breaker_call_seconds", ""),
                    "{{breaker}}",
                )
                .help("One call in 64 is timed."),
        ],
    }
}

fn registry() -> Row {
    let all = |metric| of(metric, "");
    Row {
        title: "Registry",
        panels: vec![
            Panel::lines("Entries", Unit::Count)
                .with(sum("kind", &all("regrow_registry_entries")), "{{kind}}"),
            Panel::lines("Operations", Unit::PerSecond)
                .with(
                    rate(
                        "operation, result",
                        &all("regrow_registry_operations_total"),
                    ),
                    "{{operation}}: {{result}}",
                )
                .help("Of look-ups and queries one in 64 is seen and counts for all of them."),
            Panel::lines("Look-ups take, 99%", Unit::Seconds).with(
                quantile(0.99, "operation", "regrow_registry_lookup_seconds", ""),
                "{{operation}}",
            ),
        ],
    }
}

fn telemetry() -> Row {
    let all = |metric| of(metric, "");
    Row {
        title: "Telemetry itself",
        panels: vec![
            Panel::stack("Events", Unit::PerSecond).with(
                rate("domain", &all("regrow_telemetry_events_total")),
                "{{domain}}",
            ),
            Panel::lines("Events dropped", Unit::PerSecond).with(
                rate("sink, reason", &all("regrow_telemetry_dropped_total")),
                "{{sink}}: {{reason}}",
            ),
            Panel::lines(
                "Handlers detached, label values folded into other",
                Unit::Count,
            )
            .with(
                sum("handler", &all("regrow_telemetry_handler_failures_total")),
                "detached: {{handler}}",
            )
            .with(
                sum("metric", &all("regrow_telemetry_label_overflows_total")),
                "folded: {{metric}}",
            )
            .help("Since the programs began."),
        ],
    }
}

fn processes_and_http() -> Dashboard {
    Dashboard {
        uid: "regrow-processes",
        title: "regrow: processes and HTTP",
        variables: variables(&[
            ("type", "regrow_process_processes"),
            ("route", "regrow_http_requests_total"),
        ]),
        rows: vec![at_a_glance(), figures(), processes(), http()],
    }
}

/// Which part of the requests got an answer that says it is the server's fault.
fn faults(by: &str) -> String {
    let requests = |labels| rate(by, &of("regrow_http_requests_total", labels));
    format!("{} / {}", requests(FAULTS), requests(ROUTE))
}

fn at_a_glance() -> Row {
    let processes = |phase: &str| {
        let labels = format!(r#"{TYPE},state="{phase}""#);
        count(&of("regrow_process_processes", &labels))
    };
    let requests = of("regrow_http_requests_total", ROUTE);
    Row {
        title: "Now",
        panels: vec![
            Panel::number("Processes running", Unit::Count, processes("running")),
            Panel::number("Given up on", Unit::Count, processes("failed"))
                .limits(1.0, 1.0)
                .help("Parked until an operator starts them; /health says why."),
            Panel::number(
                "Exits",
                Unit::Count,
                count(&of("regrow_process_exits_total", TYPE)),
            )
            .help("Since the programs began."),
            Panel::number(
                "Requests",
                Unit::PerSecond,
                format!("sum(rate({requests}[$__rate_interval])) or vector(0)"),
            ),
            Panel::number(
                "Requests that failed",
                Unit::Ratio,
                format!("{} or vector(0)", faults("")),
            )
            .limits(0.01, 0.05)
            .help("Answered with 5xx, by regrow or by an agent."),
            Panel::number(
                "Requests take, 95%",
                Unit::Seconds,
                quantile(0.95, "", "regrow_http_request_seconds", ROUTE),
            ),
        ],
    }
}

/// What processes use.
fn figures() -> Row {
    let now = |metric| sum("type", &of(metric, TYPE));
    let grows = |metric| rate("type", &of(metric, TYPE));
    let both = |panel: Panel, read: &str, written: &str| {
        panel
            .with(rate("type", &of(read, TYPE)), "{{type}}: read")
            .with(rate("type", &of(written, TYPE)), "{{type}}: written")
    };
    Row {
        title: "What agents use, with all that they have started",
        panels: vec![
            Panel::stack("Cores in use", Unit::Count)
                .with(now("regrow_process_cpu_cores"), "{{type}}")
                .help("Between the last two looks."),
            Panel::stack("CPU time per second", Unit::Count)
                .with(grows("regrow_process_cpu_seconds_total"), "{{type}}")
                .help("Agents that have ended since count, too."),
            Panel::stack("Memory", Unit::Bytes)
                .with(now("regrow_process_resident_memory_bytes"), "{{type}}")
                .help("A page that several processes share counts for each."),
            both(
                Panel::lines("Read and written", Unit::BytesPerSecond),
                "regrow_process_read_bytes_total",
                "regrow_process_written_bytes_total",
            ),
            both(
                Panel::lines("From and to disks", Unit::BytesPerSecond),
                "regrow_process_disk_read_bytes_total",
                "regrow_process_disk_written_bytes_total",
            ),
            Panel::lines("Processes, threads, descriptors", Unit::Count)
                .with(now("regrow_process_tree_processes"), "{{type}}: processes")
                .with(now("regrow_process_threads"), "{{type}}: threads")
                .with(
                    now("regrow_process_open_descriptors"),
                    "{{type}}: descriptors",
                ),
        ],
    }
}

fn processes() -> Row {
    let bytes = |metric| rate("type, stream", &of(metric, TYPE));
    Row {
        title: "Processes",
        panels: vec![
            Panel::stack("By phase", Unit::Count).with(
                sum("state", &of("regrow_process_processes", TYPE)),
                "{{state}}",
            ),
            Panel::lines("Exits", Unit::PerSecond).with(
                rate("type, reason", &of("regrow_process_exits_total", TYPE)),
                "{{type}}: {{reason}}",
            ),
            Panel::lines("Signals sent", Unit::PerSecond).with(
                rate("type, signal", &of("regrow_process_signals_total", TYPE)),
                "{{type}}: {{signal}}",
            ),
            Panel::lines("Ending a process takes, 95%", Unit::Seconds)
                .with(
                    quantile(0.95, "stage", "regrow_process_shutdown_seconds", TYPE),
                    "{{stage}}",
                )
                .help("Until its group, its descendants and its streams are gone; by the last step that was needed."),
            Panel::lines("Output", Unit::BytesPerSecond).with(
                bytes("regrow_process_output_bytes_total"),
                "{{type}}: {{stream}}",
            ),
            Panel::lines("Output dropped", Unit::BytesPerSecond)
                .with(
                    bytes("regrow_process_output_dropped_bytes_total"),
                    "{{type}}: {{stream}}",
                )
                .help("Written faster than anybody read."),
            Panel::stack("Ports", Unit::Count)
                .with(sum("state", &of("regrow_process_ports", "")), "{{state}}")
                .help("Of the range that agents get theirs from. Quarantined: given back a moment ago."),
        ],
    }
}

fn http() -> Row {
    let requests = of("regrow_http_requests_total", ROUTE);
    Row {
        title: "HTTP",
        panels: vec![
            Panel::stack("Requests by route", Unit::PerSecond)
                .with(rate("route, method", &requests), "{{method}} {{route}}"),
            Panel::stack("Requests by answer", Unit::PerSecond)
                .with(rate("code", &requests), "{{code}}")
                .help("none: the client went away first."),
            Panel::lines("Requests that failed", Unit::Ratio)
                .with(faults("route"), "{{route}}")
                .limits(0.01, 0.05)
                .help("Answered with 5xx, by regrow or by an agent."),
            Panel::lines("Requests take, half", Unit::Seconds).with(
                quantile(0.5, "route", "regrow_http_request_seconds", ROUTE),
                "{{route}}",
            ),
            Panel::lines("Requests take, 99%", Unit::Seconds).with(
                quantile(0.99, "route", "regrow_http_request_seconds", ROUTE),
                "{{route}}",
            ),
            Panel::heat(
                "Durations",
                Unit::Seconds,
                buckets("regrow_http_request_seconds", ROUTE),
            ),
        ],
    }
}

/// Every dashboard.
pub(super) fn all() -> [Dashboard; 2] {
    [tree(), processes_and_http()]
}

#[test]
fn the_dashboards_in_the_repository_are_those_of_this_code() {
    let bless = std::env::var_os("REGROW_BLESS").is_some();
    for dashboard in all() {
        let file = deployed("grafana").join(format!("{}.json", dashboard.uid));
        let json = dashboard.json();
        if bless {
            let text = serde_json::to_string_pretty(&json).expect("a value can be written");
            std::fs::write(&file, text + "\n").expect("the file can be written");
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        let written: Value = serde_json::from_str(&written).unwrap_or_default();
        assert!(
            written == json,
            "{} is out of date: run the tests once with REGROW_BLESS=1",
            file.display()
        );
    }
    let folder = std::fs::read_dir(deployed("grafana")).expect("the folder is there");
    let count = folder.flatten().count();
    assert_eq!(count, all().len(), "nothing else lies in deploy/grafana");
}
