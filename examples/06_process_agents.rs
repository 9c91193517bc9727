//! Agents that are programs, inside yours: three types, started, talked to, held, killed and grown back, stopped.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::time::Duration;

use regrow_process::{Agent, AgentType, AgentTypes, Process, ProcessRunner, Role, Signal};

/// Whatever reads lines and writes lines can be an agent; here it is a few words of shell.
fn shell(type_name: &str, script: &str) -> Process {
    Process::new(type_name, "sh")
        .args(["-c", script])
        .start_window(Duration::from_millis(50))
}

/// Asks an agent, and waits for its answer.
async fn ask(agent: &Agent, question: &str) -> Result<String, Box<dyn std::error::Error>> {
    agent.write_line(question).await?;
    let answer = agent.read_stdout().await.ok_or("it has ended")?;
    Ok(format!("{}: {}", agent.name(), answer.text()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan = "while read -r goal; do echo \"first $goal, then rest\"; done";
    let code = "while read -r task; do echo \"$task is done, in life $REGROW_GENERATION\"; done";
    let types = AgentTypes::new()
        .with(shell("planning", plan))
        .with(AgentType::of(Role::Worker, shell("coder", code)).at_most(1))
        // A review is over when it is over: so says its role.
        .with(shell("review", "read -r work; echo \"'$work'? fine\""));
    let runner = ProcessRunner::start(types).await?;
    let planner = runner.spawn("planning").await?;
    let coder = runner.spawn("coder").await?;
    let reviewer = runner.spawn("review").await?;
    println!("{}", ask(&planner, "parse").await?);
    if let Err(refused) = runner.spawn("coder").await {
        println!("{refused}");
    }

    // What is written to one that is held it reads when it goes on.
    coder.pause().await?;
    coder.write_line("parse").await?;
    println!("{} is {}", coder.name(), coder.status().phase);
    coder.resume().await?;
    let done = coder.read_stdout().await.ok_or("it has ended")?;
    println!("{}", done.text());

    // One that dies grows back, under the same name and id.
    runner.signal(coder.id(), Signal::Kill).await?;
    coder.wait_until(|a| a.generation == 2 && a.is_up()).await;
    let done = ask(&coder, "rest").await?;
    println!("{done}");

    println!("{}", ask(&reviewer, &done).await?);
    let end = reviewer.wait().await;
    let (name, code) = (reviewer.name(), end.exit_code());
    println!("{name} has {} {code:?}", end.phase);
    println!("{} has {}", planner.name(), planner.stop().await?.phase);
    for left in runner.list() {
        println!("{} is left", left.name());
    }
    runner.shut_down().await;
    println!("{} has {}", coder.name(), coder.wait().await.phase);
    Ok(())
}

// Output:
// planning-agent-1: first parse, then rest
// no room for one more agent of type "coder": at_most is 1; stop one, or raise it
// coder-agent-1 is paused
// parse is done, in life 1
// coder-agent-1: rest is done, in life 2
// review-agent-1: 'coder-agent-1: rest is done, in life 2'? fine
// review-agent-1 has completed Some(0)
// planning-agent-1 has stopped
// coder-agent-1 is left
// coder-agent-1 has stopped
