//! Every family that follows events.

use super::{FAST, Family, LIFECYCLE, LOOK_UPS, WORK};

macro_rules! families {
    ($( $id:ident = $name:literal [$($label:literal),*] $buckets:expr, $help:literal; )+) => {
        $( pub(super) static $id: Family = Family { name: $name, help: $help, labels: &[$($label),*], buckets: $buckets }; )+
        /// Every family that this handler can write.
        pub(crate) static FAMILIES: &[&Family] = &[$( &$id ),+];
    };
}

families! {
    STARTS = "regrow_child_starts_total" ["kind", "type"] &[], "Children that completed start-up.";
    START_FAILURES = "regrow_child_start_failures_total" ["kind", "type", "reason"] &[], "Child start-ups that failed.";
    START_SECONDS = "regrow_child_start_duration_seconds" ["kind", "type"] LIFECYCLE, "Time from spawn request to running.";
    TERMINATIONS = "regrow_child_terminations_total" ["kind", "type", "reason"] &[], "Child terminations by reason.";
    STOP_SECONDS = "regrow_child_stop_duration_seconds" ["kind", "type", "outcome"] LIFECYCLE,
        "Time from stop request to terminated.";
    LIFETIME_SECONDS = "regrow_child_lifetime_seconds" ["kind", "type"] LIFECYCLE, "Age of a child at termination.";
    RESTARTS = "regrow_supervisor_restarts_total" ["supervisor", "reason", "scope"] &[],
        "Child restarts; scope is one, rest or all.";
    BACKOFF_SECONDS = "regrow_supervisor_backoff_seconds" ["supervisor"] LIFECYCLE, "Delay chosen before a restart.";
    RECOVERY_SECONDS = "regrow_supervisor_recovery_seconds" ["supervisor"] LIFECYCLE,
        "Time from a child's death to the child running again.";
    MELTDOWNS = "regrow_supervisor_meltdowns_total" ["supervisor"] &[],
        "Restart intensity exceeded; the supervisor gave up.";
    PROCESS_EXITS = "regrow_process_exits_total" ["type", "reason"] &[], "OS-process exits by reason.";
    PROCESS_SIGNALS = "regrow_process_signals_total" ["type", "signal"] &[], "Signals sent.";
    PROCESS_SHUTDOWN_SECONDS = "regrow_process_shutdown_seconds" ["type", "stage"] LIFECYCLE,
        "Time to end a process completely, by the last stage needed.";
    PROCESS_OUTPUT = "regrow_process_output_bytes_total" ["type", "stream"] &[], "Bytes read from stdout and stderr.";
    PROCESS_DROPPED = "regrow_process_output_dropped_bytes_total" ["type", "stream"] &[],
        "Bytes dropped because nobody read them in time.";
    PROBES = "regrow_probe_executions_total" ["probe", "kind", "result"] &[],
        "Probe executions (success, warning, failure, timeout, error).";
    PROBE_SECONDS = "regrow_probe_seconds" ["probe", "kind"] FAST, "Probe execution time.";
    PROBE_TRANSITIONS = "regrow_probe_transitions_total" ["probe", "kind", "to"] &[], "Probe verdict changes.";
    HTTP_REQUESTS = "regrow_http_requests_total" ["route", "method", "code"] &[], "HTTP requests by route template.";
    HTTP_SECONDS = "regrow_http_request_seconds" ["route"] WORK, "HTTP request duration.";
    BREAKER_SECONDS = "regrow_breaker_call_seconds" ["breaker", "outcome"] WORK,
        "Duration of calls through the breaker; one in 64 is timed.";
    POOL_WAIT = "regrow_pool_queue_wait_seconds" ["pool"] WORK, "Time a job waited for a worker; one in 64 is timed.";
    POOL_JOB = "regrow_pool_job_seconds" ["pool", "outcome"] WORK, "Time a job ran on a worker; one in 64 is timed.";
    POOL_SCALES = "regrow_pool_scale_events_total" ["pool", "direction", "trigger"] &[],
        "Scaling actions (up, down; demand, queue, forecast, signal, manual, bound, idle, fallback).";
    POOL_BLOCKED = "regrow_pool_scale_blocked_total" ["pool", "reason"] &[],
        "Times that a pool began to want a size that it did not get (at_max, at_min, stabilising, rate, quota, start_backoff, busy, paused, observe_only).";
    POOL_SCALE_UP = "regrow_pool_scale_up_seconds" ["pool"] LIFECYCLE, "Scale-up decision to worker ready.";
    WAIT_SECONDS = "regrow_message_wait_seconds" ["type"] FAST, "Time a message waited in a mailbox; one in 64 is timed.";
    HANDLE_SECONDS = "regrow_message_handle_seconds" ["type"] FAST,
        "Time spent in the message handler; one in 64 is timed.";
    LOOKUP_SECONDS = "regrow_registry_lookup_seconds" ["operation"] LOOK_UPS,
        "Registry lookup latency; one in 64 is timed.";
    EVENTS = "regrow_telemetry_events_total" ["domain"] &[], "Telemetry events emitted.";
    HANDLER_FAILURES = "regrow_telemetry_handler_failures_total" ["handler"] &[],
        "Handlers that panicked and were detached.";
    DROPPED = "regrow_telemetry_dropped_total" ["sink", "reason"] &[], "Telemetry events a sink dropped.";
    OVERFLOWS = "regrow_telemetry_label_overflows_total" ["metric"] &[],
        "Label values folded into other by the cardinality guard.";
}
