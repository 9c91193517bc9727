//! What needs a port to listen on.

use super::errors;

#[test]
fn a_listener_is_handed_over_only_where_there_is_a_port_to_listen_on() {
    let expected = "expected an agent with a port to listen on, got true";
    assert_eq!(
        errors("agents:\n  a:\n    command: x\n    handover: true\n"),
        [format!(
            "agents.yaml:4:5: agents.a.handover: {expected}; add port: auto to this agent"
        )]
    );
    let both = "agents:\n  a:\n    command: x\n    port: socket\n    handover: true\n";
    let only = "only the listener of a port can be handed over: port: auto";
    assert_eq!(
        errors(both),
        [format!(
            "agents.yaml:5:5: agents.a.handover: {expected}; {only}"
        )]
    );
}
