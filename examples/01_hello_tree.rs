//! A tree of one: start it, call it, stop it.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::{ChildSpec, Supervisor, System};

#[derive(Clone)]
struct Greeter;

struct Greet(String, RpcReplyPort<String>);

impl Actor for Greeter {
    type Msg = Greet;
    type State = u32;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Greet>, (): ()) -> Result<u32, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Greet>,
        Greet(name, reply): Greet,
        greeted: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        *greeted += 1;
        // Whoever asked may have gone meanwhile.
        drop(reply.send(format!("hello, {name}: you are number {greeted}")));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tree = Supervisor::new("root").child(ChildSpec::actor("greeter", Greeter, ()));
    let system = System::start(tree).await?;

    let greeter = system.address::<Greet>("root/greeter")?;
    println!(
        "{}",
        greeter.call(|reply| Greet("Ada".into(), reply)).await?
    );
    println!(
        "{}",
        greeter.call(|reply| Greet("Joe".into(), reply)).await?
    );

    let report = system.shut_down().await;
    println!(
        "the tree has ended: {}; killed: {}",
        report.reason,
        report.killed.len()
    );
    Ok(())
}

// Output:
// hello, Ada: you are number 1
// hello, Joe: you are number 2
// the tree has ended: shutdown; killed: 0
