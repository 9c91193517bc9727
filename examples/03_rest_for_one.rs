//! Children that build on each other: when one fails, those that were started after it are stopped and started again with it.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::{ChildSpec, Payload, Strategy, Supervisor, System};

#[derive(Clone)]
struct Part;

struct Break;

impl Actor for Part {
    type Msg = Break;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Break>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Break>,
        Break: Break,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Err("out of order".into())
    }
}

/// The store stands alone, the index is built from the store, and searches go to the index.
fn engine() -> Supervisor {
    let part = |id: &'static str| ChildSpec::actor(id, Part, ());
    Supervisor::new("engine")
        .strategy(Strategy::RestForOne)
        .child(part("store"))
        .child(part("index"))
        .child(part("search"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::start(engine()).await?;
    let mut events = system.telemetry().subscribe(1_000)?;
    system.address::<Break>("engine/index")?.send(Break)?;

    while let Some(event) = events.next().await {
        let path = &event.subject.path;
        if let Payload::ChildStopping { cause, .. } = &event.payload {
            println!("{path} is asked to stop, because of its {cause}");
        } else if let Payload::ChildTerminated { reason, .. } = &event.payload {
            println!("{path} has ended: {reason}");
        } else if let Payload::ChildStarted { .. } = &event.payload {
            println!("{path} is up: life {}", event.subject.generation);
            if path.id() == "search" {
                break;
            }
        }
    }
    let store = system.which_child("engine/store").await?;
    println!(
        "{} has seen nothing of it: life {}",
        store.path, store.generation
    );
    drop(system.shut_down().await);
    Ok(())
}

// Output:
// engine/index has ended: error: out of order
// engine/search is asked to stop, because of its sibling
// engine/search has ended: shutdown
// engine/index is up: life 2
// engine/search is up: life 2
// engine/store has seen nothing of it: life 1
