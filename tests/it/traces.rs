//! A message carries its sender's trace to the handler, exactly, and nothing where nobody traces.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of tests: nothing can go on without"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};
use regrow::telemetry::{Edge, EventStream};
use regrow::testing::TestSystem;
use regrow::trace::{TraceContext, in_context, with_context};
use regrow::{Address, Backoff, ChildSpec, Payload, Supervisor};

/// What each message found, by its number.
type Found = Arc<Mutex<BTreeMap<u32, Option<TraceContext>>>>;

#[derive(Clone, Default)]
struct Looker(Found);

enum Look {
    Note(u32),
    /// The same, after a message that the actor sends to itself past its address.
    Twice(u32),
    Ask(RpcReplyPort<Option<TraceContext>>),
    PassOn(Address<Self>),
    Fail,
    Crash,
    Hang,
}

#[ractor::actor(message = Look, state = (), arguments = ())]
impl Looker {
    async fn pre_start(&self, _: ActorRef<Look>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Look>,
        message: Look,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let context = TraceContext::current();
        match message {
            Look::Note(number) => drop(self.0.lock().unwrap().insert(number, context)),
            Look::Twice(number) => {
                self.0.lock().unwrap().insert(number, context);
                myself.cast(Look::Note(number + 1_000))?;
            }
            Look::Ask(reply) => {
                tokio::task::yield_now().await;
                assert_eq!(TraceContext::current(), context);
                reply.send(context)?;
            }
            Look::PassOn(to) => to.send(Look::Note(0))?,
            Look::Fail => return Err("on purpose".into()),
            Look::Crash => panic!("on purpose"),
            Look::Hang => std::future::pending().await,
        }
        Ok(())
    }
}

async fn up() -> (TestSystem, Found, Address<Look>) {
    let looker = Looker::default();
    let child = |id| ChildSpec::actor(id, looker.clone(), ()).backoff(Backoff::none());
    let root = Supervisor::new("root").child(child("a")).child(child("b"));
    let system = TestSystem::start(root).await;
    let address = system.address("root/a").unwrap();
    (system, looker.0, address)
}

/// The links of the messages that were handled so far, by the span.
fn links(told: &mut EventStream) -> Vec<(TraceContext, Option<TraceContext>)> {
    let mut links = Vec::new();
    while let Some(event) = told.try_next() {
        if let Payload::MessageHandle {
            edge: Edge::Stop { .. },
            message_type,
            ..
        } = event.payload
        {
            assert!(message_type.ends_with("Look"), "{message_type}");
            let lineage = event.lineage.as_ref().unwrap();
            links.push((lineage.context.clone(), lineage.link.clone()));
        }
    }
    links
}

#[tokio::test(start_paused = true)]
async fn a_handler_runs_in_a_trace_of_its_own_that_links_to_its_callers() {
    let (system, _, address) = up().await;
    let mut told = system.telemetry().subscribe(256).unwrap();
    let caller = TraceContext::begin();
    let call = address.call(Look::Ask);
    let inside = with_context(caller.clone(), call).await.unwrap().unwrap();
    assert_ne!(inside.trace_id(), caller.trace_id());
    assert_eq!(links(&mut told), [(inside, Some(caller))]);
}

#[tokio::test(start_paused = true)]
async fn without_a_trace_that_is_recorded_a_message_carries_nothing_and_nothing_is_told() {
    let (system, _, address) = up().await;
    let mut told = system.telemetry().subscribe(256).unwrap();
    assert_eq!(address.call(Look::Ask).await.unwrap(), None);
    let unwanted = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let unwanted = TraceContext::parse(unwanted, None).unwrap();
    let call = address.call(Look::Ask);
    assert_eq!(with_context(unwanted, call).await.unwrap(), None);
    assert_eq!(links(&mut told), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_has_its_own_sender_whoever_else_sends_meanwhile_and_by_whatever_way() {
    const EACH: u32 = 200;
    let (system, found, address) = up().await;
    let mut told = system.telemetry().subscribe(100_000).unwrap();
    let senders = [0, 1, 2].map(|sender| {
        let address = address.clone();
        tokio::spawn(async move {
            let mut sent = Vec::new();
            for number in 0..EACH {
                let number = sender * 10_000 + number;
                let context = (number % 3 == 0).then(TraceContext::begin);
                match context.clone() {
                    Some(context) => in_context(context, || address.send(Look::Twice(number))),
                    None => address.send(Look::Twice(number)),
                }
                .unwrap();
                sent.push((number, context));
                tokio::task::yield_now().await;
            }
            sent
        })
    });
    let mut sent = Vec::new();
    for sender in senders {
        sent.extend(sender.await.unwrap());
    }
    // What the last message has sent is behind this one's answer, or behind the second's.
    for _ in 0..2 {
        address.call(Look::Ask).await.unwrap();
    }
    let links: Vec<_> = links(&mut told);
    let found = found.lock().unwrap();
    assert_eq!(found.len(), sent.len() * 2);
    for (number, context) in &sent {
        let inside = found[number].clone();
        let linked = links
            .iter()
            .find(|(span, _)| Some(span) == inside.as_ref())
            .and_then(|(_, link)| link.clone());
        assert_eq!(&linked, context, "message {number}");
        assert_eq!(found[&(number + 1_000)], None, "sent past the address");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_links_to_its_own_span() {
    let (mut system, _, address) = up().await;
    let mut told = system.telemetry().subscribe(256).unwrap();
    let first = TraceContext::begin();
    let pass_on = Look::PassOn(system.address("root/b").unwrap());
    in_context(first.clone(), || address.send(pass_on)).unwrap();
    system
        .expect("regrow.actor.message.handle.stop", "root/b")
        .await;
    let [(middle, from_first), (_, from_middle)] = &links(&mut told)[..] else {
        panic!("two messages")
    };
    assert_eq!(from_first.as_ref(), Some(&first));
    assert_eq!(from_middle.as_ref(), Some(middle));
}

#[tokio::test(start_paused = true)]
async fn the_span_of_a_message_has_the_four_ends_of_its_handler() {
    let (mut system, _, address) = up().await;
    let send = |message| in_context(TraceContext::begin(), || address.send(message)).unwrap();
    send(Look::Note(1));
    let name = "regrow.actor.message.handle";
    system.expect(&format!("{name}.start"), "root/a").await;
    system.expect(&format!("{name}.stop"), "root/a").await;
    for (message, what) in [(Look::Fail, "on purpose"), (Look::Crash, "panic")] {
        send(message);
        let event = system.expect(&format!("{name}.exception"), "root/a").await;
        let Some(Edge::Exception { reason, .. }) = event.payload.edge() else {
            panic!("{event:?}")
        };
        assert!(reason.contains(what), "{reason}");
        system.expect("regrow.child.started", "root/a").await;
    }
    send(Look::Hang);
    system.expect(&format!("{name}.start"), "root/a").await;
    let terminated = system.terminate_child("root/a");
    terminated.await.unwrap();
    system.expect(&format!("{name}.cancel"), "root/a").await;
}
