//! A file of who may be given work and where, kept right for what knows nothing of regrow: a DNS server, a proxy, a mesh.
#![expect(clippy::print_stdout, reason = "an example shows its output")]

use std::collections::BTreeMap;
use std::{fs, io, num::NonZeroUsize, sync::Arc, time::Duration};

use regrow::{Backoff, ChildSpec, Entry, Notice, Query, Supervisor, System};
use tokio::{sync::Notify, time::sleep};

type Endpoints = BTreeMap<Arc<str>, String>;

fn learn(known: &mut Endpoints, notice: Notice) -> io::Result<()> {
    match notice {
        Notice::Missed(_) => println!("too slow: who is there is told next"),
        Notice::Snapshot(all) => *known = all.iter().map(|entry| endpoint(entry)).collect(),
        Notice::Entered { entry, .. } => known.extend([endpoint(&entry)]),
        Notice::Changed { after, .. } => known.extend([endpoint(&after)]),
        Notice::Left { entry, .. } => drop(known.remove(&entry.path)),
    }
    let lines: Vec<String> = known.values().cloned().collect();
    println!("{}", lines.join(", "));
    // Whole or not at all: nobody reads half of it.
    let file = std::env::temp_dir().join(format!("endpoints-{}", std::process::id()));
    fs::write(file.with_extension("new"), lines.join("\n"))?;
    fs::rename(file.with_extension("new"), file)
}

fn endpoint(entry: &Entry) -> (Arc<str>, String) {
    let (path, port) = (&entry.path, &entry.profile.metadata["port"]);
    (Arc::clone(path), format!("{path} 127.0.0.1:{port}"))
}

/// It runs until it is told to fail.
fn agent(id: &'static str, port: u16, fails: &Arc<Notify>) -> ChildSpec {
    let fails = Arc::clone(fails);
    let agent = ChildSpec::task(id, move |_| {
        let fails = Arc::clone(&fails);
        async move {
            fails.notified().await;
            Err::<(), _>("tired")
        }
    });
    agent.meta("port", port).backoff(Backoff::none())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (ann, bob) = (Arc::default(), Arc::default());
    let team = Supervisor::new("team").child(agent("ann", 8001, &ann));
    let system = System::start(team.child(agent("bob", 8002, &bob))).await?;
    let query: Query = "kind:task and ready and meta:port>0".parse()?;
    // Two changes are kept, not 1,024, so that whoever looks late misses some.
    let registry = system.registry();
    let mut changes = registry.watch_with(query, NonZeroUsize::MIN.saturating_add(1));
    let mut known = Endpoints::new();
    learn(&mut known, changes.next().await)?;
    bob.notify_one();
    learn(&mut known, changes.next().await)?;
    learn(&mut known, changes.next().await)?;
    let lives = registry.get("team/ann").ok_or("ann is gone")?;
    for life in 2..=3 {
        ann.notify_one();
        while (lives.generation(), lives.is_ready()) != (life, true) {
            sleep(Duration::from_millis(50)).await;
        }
    }
    registry.caught_up().await;
    learn(&mut known, changes.next().await)?;
    learn(&mut known, changes.next().await)?;
    Ok(())
}

// Output:
// team/ann 127.0.0.1:8001, team/bob 127.0.0.1:8002
// team/ann 127.0.0.1:8001
// team/ann 127.0.0.1:8001, team/bob 127.0.0.1:8002
// too slow: who is there is told next
// team/ann 127.0.0.1:8001, team/bob 127.0.0.1:8002
// team/ann 127.0.0.1:8001, team/bob 127.0.0.1:8002
