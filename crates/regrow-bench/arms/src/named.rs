//! Looking up by name.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use ractor::{Actor, ActorRef};
use regrow::System;
use regrow_bench_harness::{Figures, Task};
use tokio::sync::OnceCell;

use crate::asked::{mean, shuffled};
use crate::tagged;
use crate::worker::{Order, Worker};

/// What everybody is called, wherever they are: regrow's paths.
pub fn names(n: usize) -> Vec<String> {
    shuffled(n).map(|place| format!("root/w{place}")).collect()
}

/// One thread that looks up, and two at once.
pub fn figures<T>(task: Task, names: &[String], look: impl Fn(&str) -> T + Sync) -> Figures {
    let look = |name: &String| look(name);
    vec![
        ("one", mean(1, task.ops, names, look)),
        ("two", mean(2, task.ops, names, look)),
    ]
}

/// Those who are looked up stay from round to round.
static SYSTEM: OnceCell<System> = OnceCell::const_new();

/// By path to an address, which one can send to.
pub async fn regrow(task: Task) -> Figures {
    let system = SYSTEM.get_or_init(|| tagged::filled(task.n)).await;
    figures(task, &names(task.n), |path| {
        system.address::<Order>(path).expect("it is there")
    })
}

/// By path to an entry of the registry, which says how it is.
pub async fn regrow_entry(task: Task) -> Figures {
    let system = SYSTEM.get_or_init(|| tagged::filled(task.n)).await;
    let registry = system.registry();
    figures(task, &names(task.n), |path| {
        registry.get(path).expect("it is there")
    })
}

/// `where_is`, and the reference made of it.
pub async fn ractor(task: Task) -> Figures {
    static NAMED: OnceCell<()> = OnceCell::const_new();
    let names = names(task.n);
    let start = || async {
        for name in &names {
            let spawned = Worker::spawn(Some(name.clone()), Worker, None).await;
            spawned.expect("it starts");
        }
    };
    NAMED.get_or_init(start).await;
    figures(task, &names, |name| {
        let actor = ractor::registry::where_is(name).expect("it is there");
        ActorRef::<Order>::from(actor)
    })
}

fn values(names: &[String]) -> impl Iterator<Item = (String, Arc<str>)> {
    names
        .iter()
        .map(|name| (name.clone(), Arc::from(name.as_str())))
}

/// A hit in a map that nobody can change, and nothing taken out: the floor.
pub async fn hashmap(task: Task) -> Figures {
    let names = names(task.n);
    let map: HashMap<_, _, RandomState> = values(&names).collect();
    figures(task, &names, |name| {
        std::ptr::from_ref(map.get(name).expect("it is there"))
    })
}

/// A hit in a map that others may change, without a lock, and an `Arc` taken out.
pub async fn papaya(task: Task) -> Figures {
    let names = names(task.n);
    let map: papaya::HashMap<_, _, RandomState> = values(&names).collect();
    figures(task, &names, |name| {
        Arc::clone(map.pin().get(name).expect("it is there"))
    })
}

/// The same with locks.
pub async fn dashmap(task: Task) -> Figures {
    let names = names(task.n);
    let map: DashMap<_, _, RandomState> = values(&names).collect();
    figures(task, &names, |name| {
        Arc::clone(&map.get(name).expect("it is there"))
    })
}
