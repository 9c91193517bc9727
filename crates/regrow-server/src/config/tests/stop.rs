//! How an agent is stopped.

use regrow_process::Stage;

use super::*;

#[test]
fn each_step_of_a_stop_may_have_its_time() {
    let config = good(EVERYTHING);
    let worker = &config.agents[1];
    let stop = StopConfig {
        signal: StopSignal::Int,
        plan: StopPlan::within(Duration::from_secs(15))
            .stage(Stage::Drain, Duration::ZERO)
            .stage(Stage::Ask, Duration::from_secs(1))
            .stage(Stage::CloseStdin, Duration::from_secs(2))
            .stage(Stage::Terminate, Duration::from_secs(8)),
        line: Some("exit".to_owned()),
    };
    assert_eq!(worker.stop, stop);
}
