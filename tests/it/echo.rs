//! An actor that answers, for tests of what is measured on messages.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::{ChildSpec, System};

#[derive(Clone)]
pub(crate) struct Echo;

pub(crate) enum Question {
    Ping(RpcReplyPort<()>),
}

impl Actor for Echo {
    type Msg = Question;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Question>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Question>,
        Question::Ping(reply): Question,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        reply.send(())?;
        Ok(())
    }
}

/// The child `echo`, of type `talker`.
pub(crate) fn spec() -> ChildSpec {
    ChildSpec::actor("echo", Echo, ()).of_type("talker")
}

/// Asks `root/echo` so often that one message is timed.
pub(crate) async fn talk(system: &System) {
    let echo = system.address("root/echo").unwrap();
    for _ in 0..64 {
        echo.call(Question::Ping).await.unwrap();
    }
}
