//! `regrow stop`, `start`, `restart`, `pause`, `resume` and `signal`.

use std::time::Instant;

use super::exit::chain;
use super::{CliError, Exit, Operate, SignalAgent, agent_line, complain, say, seconds, select};
use crate::client::{Verb, discover};
use crate::wire::{SignalRequest, SignalTarget};

/// Sends one signal to one agent.
pub(super) async fn signal(asked: SignalAgent) -> Result<(), CliError> {
    let client = discover(&asked.place.place()).await?.client;
    let request = SignalRequest {
        signal: asked.signal,
        to: if asked.leader {
            SignalTarget::Leader
        } else {
            SignalTarget::Group
        },
    };
    client.signal(&asked.agent, &request).await?;
    say(&format!(
        "sent {} to {}",
        request.signal.to_uppercase(),
        asked.agent
    ))
}

/// Does it to all agents at once, and tells of each in the order they were named.
pub(super) async fn run(verb: Verb, operate: Operate) -> Result<(), CliError> {
    let pool = operate.agents.iter().find_map(|word| select::pool(word));
    if let (Verb::Stop, Some(pool)) = (verb, pool) {
        return Err(CliError::StopOfPool(pool.to_owned()));
    }
    let client = discover(&operate.place.place()).await?.client;
    let agents = select::ids(&client, &operate.agents).await?;
    let width = agents.iter().map(String::len).max().unwrap_or_default();
    let begun = Instant::now();
    let tasks: Vec<_> = agents
        .into_iter()
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move {
                let answer = client.operate(&id, verb, operate.timeout).await;
                (answer, begun.elapsed())
            })
        })
        .collect();
    let mut worst = None;
    for task in tasks {
        let (answer, took) = task
            .await
            .expect("the client does not panic and is not cancelled");
        match answer {
            Ok(agent) => say(&agent_line(&agent, width, &seconds(took)))?,
            Err(error) => {
                let exit = Exit::of(&error);
                complain(&format!("regrow: {}", chain(&error)));
                worst.get_or_insert(exit);
            }
        }
    }
    match worst {
        None => Ok(()),
        Some(exit) => Err(CliError::Told(exit)),
    }
}
