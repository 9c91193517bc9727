//! A child that fails is started again: at once at first, then after delays that grow. Fails it too often, its supervisor gives up.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use regrow::{Backoff, ChildSpec, Payload, Supervisor, System};

#[derive(Clone)]
struct Line;

struct Cut;

impl Actor for Line {
    type Msg = Cut;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Cut>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Cut>,
        Cut: Cut,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Err("the line is dead".into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 100 ms, 200 ms, 300 ms, 300 ms … Without jitter, so that the output is the same each time: keep it where many restart at once.
    let backoff =
        Backoff::exponential(Duration::from_millis(100)..=Duration::from_millis(300)).jitter(0.0);
    let line = ChildSpec::actor("line", Line, ()).backoff(backoff);
    let system = System::start(
        Supervisor::new("root")
            .max_restarts(3, Duration::from_secs(10))
            .child(line),
    )
    .await?;

    let mut events = system.telemetry().subscribe(1_000)?;
    let line = system.address::<Cut>("root/line")?;
    line.send(Cut)?;
    while let Some(event) = events.next().await {
        let generation = event.subject.generation;
        if let Payload::ChildTerminated { reason, .. } = &event.payload {
            println!("life {generation} has ended: {reason}");
        } else if let Payload::RestartScheduled {
            delay,
            restarts_in_window,
            ..
        } = &event.payload
        {
            println!("  restart {restarts_in_window} of 3 in {delay:?}");
        } else if let Payload::ChildStarted { .. } = &event.payload {
            // The address is that of a place: it reaches whichever life is there.
            line.send(Cut)?;
        } else if let Payload::Meltdown { .. } = &event.payload {
            break;
        }
    }
    println!("the root has ended: {}", system.ended().await);
    Ok(())
}

// Output:
// life 1 has ended: error: the line is dead
//   restart 1 of 3 in 0ns
// life 2 has ended: error: the line is dead
//   restart 2 of 3 in 100ms
// life 3 has ended: error: the line is dead
//   restart 3 of 3 in 200ms
// life 4 has ended: error: the line is dead
// the root has ended: child "root/line" failed again after 3 restarts in 10s: error: the line is dead
