//! The team that is tortured: of each habit some, and each supervised in another way.

use std::fmt::Write as _;

use regrow_core::SplitMix64;

/// What an agent may be used to.
const HABITS: [&str; 12] = [
    "crash",
    "exit",
    "hang",
    "flood",
    "leak",
    "escape",
    "double-fork",
    "slow-stop",
    "ignore-signals",
    "broken-lines",
    "huge-lines",
    "fork-while-killed",
];

const ALWAYS: &str = "{ policy: permanent, base: 200ms, max: 2s, max_restarts: 10000, within: 1s }";
const FEW: &str = "{ policy: permanent, base: 100ms, max: 1s, max_restarts: 3, within: 20s }";
const FAILED: &str = "{ policy: transient, base: 200ms, max: 1s, max_restarts: 10000, within: 1s }";

/// The rules by which agents are started again: without an end, with one, only after failures, never.
const RESTARTS: [&str; 10] = [
    ALWAYS,
    ALWAYS,
    ALWAYS,
    FEW,
    FEW,
    FEW,
    FAILED,
    FAILED,
    FAILED,
    "temporary",
];

/// One agent in this many has a port.
pub(crate) const A_PORT_IN: usize = 5;

/// The configuration: so many agents, and room for those that operators spawn.
pub(crate) fn yaml(seed: u64, agents: usize, ports: (u16, u16)) -> String {
    let mut dice = SplitMix64::new(seed);
    let mut yaml = format!(
        "ports: {}-{}\nlimits: {{ max_agents: {} }}\nlog: {{ format: json, level: debug }}\n\
         defaults: {{ start_window: 300ms }}\nagents:\n",
        ports.0,
        ports.1,
        2 * agents
    );
    for number in 0..agents {
        agent(&mut yaml, number, &mut dice);
    }
    yaml
}

fn agent(yaml: &mut String, number: usize, dice: &mut SplitMix64) {
    let command = command(dice)
        .iter()
        .map(|word| format!("'{word}'"))
        .collect::<Vec<_>>()
        .join(", ");
    let mut settings = vec![format!("command: ['${{REGROW_EXE}}', {command}]")];
    if number.is_multiple_of(A_PORT_IN) {
        settings.push("port: auto".to_owned());
    }
    // Who is there once cannot be there always.
    if dice.below(10) == 0 {
        settings.push("once: true".to_owned());
        settings.push(format!("restart: {FAILED}"));
    } else {
        settings.push(format!("restart: {}", pick(dice, &RESTARTS)));
    }
    if dice.below(4) == 0 {
        settings.push("stdin: null".to_owned());
    }
    let signal = pick(dice, &["TERM", "TERM", "INT", "USR1"]);
    let timeout = 1_000 + dice.below(3_000);
    settings.push(format!(
        "stop: {{ signal: {signal}, timeout: {timeout}ms }}"
    ));
    if dice.below(20) == 0 && number > 0 {
        settings.push(format!("depends_on: [a{}]", number - 1));
    }
    writeln!(yaml, "  a{number}: {{ {} }}", settings.join(", ")).expect("a text takes all");
}

/// A chaotic agent of its own seed: half of them do everything, the others have one to three habits.
pub(crate) fn command(dice: &mut SplitMix64) -> Vec<String> {
    let seed = dice.next_u64().to_string();
    let mut words = vec![
        "sample-agent".to_owned(),
        "chaos".to_owned(),
        "--seed".to_owned(),
        seed,
    ];
    if dice.below(2) == 0 {
        let habits: Vec<&str> = (0..=dice.below(3)).map(|_| pick(dice, &HABITS)).collect();
        words.extend(["--behaviours".to_owned(), habits.join(",")]);
    }
    words
}

/// One of these.
pub(crate) fn pick<T: Copy>(dice: &mut SplitMix64, from: &[T]) -> T {
    let count = u64::try_from(from.len()).expect("few enough to count");
    from[usize::try_from(dice.below(count)).expect("below their count")]
}
