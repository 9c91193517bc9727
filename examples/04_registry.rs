//! Agents say what they can do. A client finds them by that, picks one, and watches it fail and grow back.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::{Backoff, ChildSpec, FirstRestart, Notice, Query, Select, Supervisor, System};

struct Agent;

struct Riddle;

impl Actor for Agent {
    type Msg = Riddle;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Riddle>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Riddle>,
        Riddle: Riddle,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Err("there is no word for it".into())
    }
}

/// It announces itself when it starts. What is known before can be said of the spec: `.capabilities(["translate"])`.
fn agent(id: &'static str, can: &'static str, load: u64) -> ChildSpec {
    let delay = Duration::from_millis(500);
    ChildSpec::actor_from(id, move |context| {
        let me = context.registered().expect("it has a place");
        me.edit(|profile| profile.capabilities.extend([can.into()]));
        me.set_load(load);
        (Agent, ())
    })
    .backoff(Backoff::exponential(delay..=delay).first(FirstRestart::Delayed))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let team = Supervisor::new("team")
        .child(agent("ann", "translate", 7))
        .child(agent("bob", "translate", 2))
        .child(agent("eve", "draw", 0));
    let system = System::start(team).await?;
    let registry = system.registry();
    let query: Query = "cap:translate and ready".parse()?;
    let pick = || registry.pick(&query, &Select::LeastLoaded);
    println!("{} can translate", registry.find(&query).len());
    // From here on the index is up to date, and so is who watches.
    registry.caught_up().await;
    let mut watcher = registry.watch(query.clone());
    loop {
        let notice = watcher.next().await;
        if let Notice::Snapshot(ready) = notice {
            let agent = pick().ok_or("nobody can translate")?;
            println!("of {} the least loaded: {}", ready.len(), agent.path());
            agent.address::<Riddle>()?.send(Riddle)?;
        } else if let Notice::Left { entry, .. } = notice {
            let other = pick().ok_or("nobody can translate")?;
            println!("{} is away; meanwhile: {}", entry.path, other.path());
        } else if let Notice::Entered { entry, .. } = notice {
            println!("{} is back: life {}", entry.path, entry.status.generation);
            break;
        }
    }
    drop(system.shut_down().await);
    Ok(())
}

// Output:
// 2 can translate
// of 2 the least loaded: team/bob
// team/bob is away; meanwhile: team/ann
// team/bob is back: life 2
