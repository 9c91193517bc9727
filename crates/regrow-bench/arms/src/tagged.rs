//! Finding those who bear a tag, and those who bear two.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use ractor::{Actor, ActorCell, pg};
use regrow::{ChildSpec, Query, Registry, System, Term};
use regrow_bench_harness::{Figures, Task};
use tokio::sync::OnceCell;
use tokio::task::block_in_place;

use crate::asked::{hundreds, mean, shuffled};
use crate::dynamic::empty;
use crate::named;
use crate::ours::worker;
use crate::worker::{Order, Worker};

/// How many bear one tag.
const BEARERS: usize = 100;

/// How many tags are asked for at most.
const ASKED: usize = 1_000;

/// Two sets of tags for `n` entries. Everybody bears one of each, each is borne by 100, and ten bear both `a7` and the `b` that
/// goes with it.
struct Tags {
    a: Vec<Arc<str>>,
    b: Vec<Arc<str>>,
}

impl Tags {
    fn of(n: usize) -> Self {
        let each = |letter: char| {
            let tags = 0..(n / BEARERS).max(1);
            tags.map(|tag| Arc::from(format!("{letter}{tag}")))
                .collect()
        };
        Self {
            a: each('a'),
            b: each('b'),
        }
    }

    fn of_place(&self, place: usize) -> [Arc<str>; 2] {
        let of = |tags: &[Arc<str>], place: usize| Arc::clone(&tags[place % tags.len()]);
        [of(&self.a, place), of(&self.b, place / 10)]
    }

    /// Those that are asked for, each with one that some bear too.
    fn asked(&self) -> impl Iterator<Item = [Arc<str>; 2]> {
        shuffled(self.a.len().min(ASKED)).map(|place| self.of_place(place))
    }

    fn terms(&self) -> Vec<Term> {
        self.asked().map(|[a, _]| Term::Tag(a)).collect()
    }

    fn queries(&self) -> Vec<Query> {
        self.asked().map(|[a, _]| Query::tag(a)).collect()
    }

    fn queries_of_two(&self) -> Vec<Query> {
        let query = |[a, b]: [Arc<str>; 2]| format!("{a} and {b}").parse();
        let queries = self.asked().map(query);
        queries.map(|query| query.expect("it is one")).collect()
    }
}

/// `n` children with their tags, and an index that knows them all.
pub async fn filled(n: usize) -> System {
    let (system, tags) = (empty().await, Tags::of(n));
    let child = |place| worker(place, None).tags(tags.of_place(place));
    let report = system.start_children("root", (0..n).map(child)).await;
    assert!(report.expect("it runs").failed.is_empty(), "all start");
    // There is no index before the first question.
    drop(system.registry().members(&tags.terms()[0]));
    system.registry().caught_up().await;
    system
}

/// All of which questions of this kind are answered is there.
async fn asked_once(registry: &Registry, query: &Query) {
    drop(registry.find(query));
    registry.caught_up().await;
}

/// Those who are found stay from round to round.
static SYSTEM: OnceCell<System> = OnceCell::const_new();

/// The list of those who bear a tag, as it lies ready.
pub async fn regrow(task: Task) -> Figures {
    let system = SYSTEM.get_or_init(|| filled(task.n)).await;
    let (registry, terms) = (system.registry(), Tags::of(task.n).terms());
    let bearers = registry.members(&terms[0]).len();
    assert_eq!(bearers, BEARERS.min(task.n), "all are found");
    let took = mean(1, task.ops, &terms, |term| registry.members(term));
    vec![("mean", took)]
}

async fn find(task: Task, queries: Vec<Query>) -> Figures {
    let registry = SYSTEM.get_or_init(|| filled(task.n)).await.registry();
    asked_once(&registry, &queries[0]).await;
    let took = mean(1, task.ops, &queries, |query| registry.find(query));
    vec![("mean", took)]
}

/// A list of one's own of those who bear a tag, each looked at whether it is still there.
pub async fn regrow_find(task: Task) -> Figures {
    find(task, Tags::of(task.n).queries()).await
}

/// The same of those who bear two.
pub async fn regrow_find_both(task: Task) -> Figures {
    find(task, Tags::of(task.n).queries_of_two()).await
}

/// How many bear two tags.
pub async fn regrow_count_both(task: Task) -> Figures {
    let registry = SYSTEM.get_or_init(|| filled(task.n)).await.registry();
    let queries = Tags::of(task.n).queries_of_two();
    assert_eq!(registry.count(&queries[0]), 10, "all are found");
    let took = mean(1, task.ops, &queries, |query| registry.count(query));
    vec![("mean", took)]
}

/// ractor's actors in groups instead of with tags.
async fn grouped(n: usize) {
    let tags = Tags::of(n);
    let mut groups: Vec<_> = tags.a.iter().chain(&tags.b).map(|_| Vec::new()).collect();
    for place in 0..n {
        let spawned = Worker::spawn(None, Worker, None).await;
        let actor: ActorCell = spawned.expect("it starts").0.get_cell();
        groups[place % tags.a.len()].push(actor.clone());
        groups[tags.a.len() + place / 10 % tags.b.len()].push(actor);
    }
    for (tag, actors) in tags.a.iter().chain(&tags.b).zip(groups) {
        pg::join(tag.to_string(), actors);
    }
}

static GROUPED: OnceCell<()> = OnceCell::const_new();

fn keys(n: usize) -> Vec<[String; 2]> {
    let asked = Tags::of(n);
    let keys = asked.asked().map(|tags| tags.map(|tag| tag.to_string()));
    keys.collect()
}

/// The members of a group.
pub async fn ractor(task: Task) -> Figures {
    GROUPED.get_or_init(|| grouped(task.n)).await;
    let keys = keys(task.n);
    assert_eq!(pg::get_members(&keys[0][0]).len(), BEARERS.min(task.n));
    let took = mean(1, task.ops, &keys, |[group, _]| pg::get_members(group));
    vec![("mean", took)]
}

/// How many are in two groups: what one writes oneself.
pub async fn ractor_both(task: Task) -> Figures {
    GROUPED.get_or_init(|| grouped(task.n)).await;
    let took = mean(1, task.ops, &keys(task.n), |[one, other]| {
        let members = pg::get_members(one);
        let ids: HashSet<_> = members.iter().map(ActorCell::get_id).collect();
        let others = pg::get_members(other);
        let common = others.iter().filter(|actor| ids.contains(&actor.get_id()));
        common.count()
    });
    vec![("mean", took)]
}

/// A hit in a map of lists that others may change, without a lock, and the list taken out: the floor.
pub async fn papaya(task: Task) -> Figures {
    let keys = keys(task.n);
    let list = |[tag, _]: &[String; 2]| (tag.clone(), Arc::<[u64]>::from([0; BEARERS]));
    let map: papaya::HashMap<_, _, RandomState> = keys.iter().map(list).collect();
    let took = mean(1, task.ops, &keys, |[tag, _]| {
        Arc::clone(map.pin().get(tag).expect("it is there"))
    });
    vec![("mean", took)]
}

/// Everything that can be asked, each question for `ops` milliseconds.
fn everything(system: &System, task: Task) -> Figures {
    let (registry, tags) = (system.registry(), Tags::of(task.n));
    let time = Duration::from_millis(task.ops as u64);
    let mut paths = named::names(task.n);
    paths.truncate(ASKED);
    let address = hundreds(time, &paths, |path| {
        system.address::<Order>(path).expect("it is there")
    });
    let members = hundreds(time, &tags.terms(), |term| registry.members(term));
    let find = hundreds(time, &tags.queries(), |query| registry.find(query));
    let and = hundreds(time, &tags.queries_of_two(), |query| registry.count(query));
    vec![
        ("address", address.p50),
        ("members", members.p50),
        ("members-p99", members.p99),
        ("members-mean", members.mean),
        ("find", find.p50),
        ("and", and.p50),
        ("and-mean", and.mean),
    ]
}

/// Everything that can be asked of `n` who stay as they are.
pub async fn calm(task: Task) -> Figures {
    let system = SYSTEM.get_or_init(|| filled(task.n)).await;
    asked_once(&system.registry(), &Tags::of(task.n).queries()[0]).await;
    block_in_place(|| everything(system, task))
}

/// The same while one more comes and goes all the time, each time with other tags.
pub async fn busy(task: Task) -> Figures {
    static OVER: AtomicBool = AtomicBool::new(false);
    let system = SYSTEM.get_or_init(|| filled(task.n)).await;
    asked_once(&system.registry(), &Tags::of(task.n).queries()[0]).await;
    let coming_and_going = tokio::spawn(come_and_go(system, task.n, &OVER));
    let since = Instant::now();
    let mut figures = block_in_place(|| everything(system, task));
    OVER.store(true, Ordering::Relaxed);
    let changes = coming_and_going.await.expect("it does not panic");
    let rate = changes as f64 / since.elapsed().as_secs_f64();
    figures.push(("changes", rate));
    figures
}

/// How many have come and how many have gone, until it is over.
async fn come_and_go(system: &'static System, n: usize, over: &'static AtomicBool) -> usize {
    let (tags, mut changes) = (Tags::of(n), 0);
    let asked: Vec<_> = tags.asked().collect();
    for (place, tags) in asked.iter().cycle().enumerate() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let child: ChildSpec = worker(n + place, None).tags(tags.clone());
        system.start_child("root", child).await.expect("it starts");
        let path = format!("root/w{}", n + place);
        system.terminate_child(&path).await.expect("it runs");
        changes += 2;
    }
    changes
}
