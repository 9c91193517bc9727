//! The actor that ractor and regrow run alike.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What it can be told.
pub enum Order {
    Nothing,
    Ping(RpcReplyPort<()>),
    Fail,
    Panic,
}

/// Answers pings and dies on request.
#[derive(Clone)]
pub struct Worker;

/// Where each life tells that it is there; nowhere, for those of which nobody wants to hear.
pub type Up = Option<UnboundedSender<ActorRef<Order>>>;

/// A place to tell, and to hear, that a life is there.
pub fn ups() -> (Up, UnboundedReceiver<ActorRef<Order>>) {
    let (up, ups) = unbounded_channel();
    (Some(up), ups)
}

impl Actor for Worker {
    type Msg = Order;
    type State = ();
    type Arguments = Up;

    async fn pre_start(&self, myself: ActorRef<Order>, up: Up) -> Result<(), ActorProcessingErr> {
        if let Some(up) = up {
            drop(up.send(myself));
        }
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        order: Order,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Nothing => {}
            Order::Ping(reply) => drop(reply.send(())),
            Order::Fail => return Err("as asked".into()),
            Order::Panic => panic!("as asked"),
        }
        Ok(())
    }
}
