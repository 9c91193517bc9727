//! What an agent may use.

use regrow_process::Limits;

use super::*;

#[test]
fn each_limit_of_an_agent_can_be_said() {
    let config = good(EVERYTHING);
    let limits = LimitsConfig {
        memory: Some(4 << 30),
        system: Limits::default()
            .open_files(256)
            .processes(1000)
            .core(0)
            .file_size(10 << 30)
            .cpu_time(Duration::from_secs(3600))
            .address_space(1 << 40)
            .nice(-5),
    };
    assert_eq!(config.agents[1].limits, limits);
}

#[test]
fn a_limit_of_the_defaults_holds_until_an_agent_says_another_or_none() {
    let config = good(concat!(
        "defaults: { limits: { memory: 1GiB, nice: 5, open_files: 64 } }\n",
        "agents:\n",
        "  a: { command: x, limits: { memory: none, nice: 0 } }\n",
        "  b: { command: x }\n",
    ));
    let few = Limits::default().open_files(64);
    let of = |memory, nice| LimitsConfig {
        memory,
        system: few.nice(nice),
    };
    let limits: Vec<_> = config.agents.iter().map(|agent| agent.limits).collect();
    assert_eq!(limits, [of(None, 0), of(Some(1 << 30), 5)]);
    // Those that come by the API get them, too.
    assert_eq!(config.defaults.limits, of(Some(1 << 30), 5));
}

/// What is said of `limits: {…}` of an agent.
fn said_of(limits: &str) -> Vec<String> {
    errors(&format!(
        "agents:\n  a:\n    command: x\n    limits: {{ {limits} }}\n"
    ))
}

#[test]
fn a_bad_limit_is_told_with_what_fits() {
    assert_eq!(
        said_of("memory: 4G, core: x"),
        [
            "agents.yaml:4:23: agents.a.limits.memory: expected a size such as 10MiB, or none, got \"4G\"; \
             units are KiB, MiB, GiB and TiB",
            "agents.yaml:4:33: agents.a.limits.core: expected a size such as 10MiB, or none, got \"x\"; \
             units are KiB, MiB, GiB and TiB",
        ]
    );
    assert_eq!(
        said_of("memory: 512, cpu_time: 1500ms, open_files: 0, nice: 20"),
        [
            "agents.yaml:4:23: agents.a.limits.memory: expected a size from 1048576 to 1125899906842624 bytes, or none, got \"512\"",
            "agents.yaml:4:38: agents.a.limits.cpu_time: expected a duration of whole seconds, at least 1s, or none, got \"1500ms\"",
            "agents.yaml:4:58: agents.a.limits.open_files: expected a whole number from 1 to 1073741824, or none, got \"0\"",
            "agents.yaml:4:67: agents.a.limits.nice: expected a whole number from -20 (first) to 19 (last), or none, got \"20\"",
        ]
    );
    assert_eq!(
        errors("defaults: { limits: { pids: 3 } }\nagents: {}\n"),
        [
            "agents.yaml:1:23: defaults.limits.pids: expected a key of limits (memory, open_files, processes, core, file_size, \
             cpu_time, address_space, nice), got \"pids\"",
        ]
    );
}
