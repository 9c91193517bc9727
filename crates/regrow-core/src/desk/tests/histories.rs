//! Random histories: whatever comes in whatever order, each job has one end, and nobody has what he may not have.

use proptest::prelude::*;

use super::*;

mod shell;

use shell::Shell;

/// What happens. Where one of several is meant, it is the one of that number, counted round and round.
#[derive(Clone, Debug)]
enum Event {
    Submit(Kind),
    Reserve,
    UseReserved(Kind),
    Unreserve,
    Cancel(usize),
    /// A caller goes and says nothing.
    Leave(usize),
    /// One that was told comes.
    Come(usize),
    Finish(usize, Outcome),
    /// A worker comes, with some of the tags, and is up at once in most cases.
    Add(usize),
    Change(usize, Change),
    /// Time passes; the desk is woken up if it wants to be.
    Pass(u64),
    /// Time passes, and something else comes before it is woken up.
    Late(u64),
    Close,
    Open,
}

/// What becomes of a worker.
#[derive(Clone, Copy, Debug)]
enum Change {
    Remove,
    Ready(bool),
    /// Its next life is up, and ready or not.
    Restart(bool),
    End,
    Drain,
    Keep,
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    key: Option<u64>,
    tag: Option<usize>,
    priority: Priority,
    tenant: Option<usize>,
    deadline: Option<u64>,
}

#[derive(Clone, Debug)]
struct Plan {
    mode: Mode,
    concurrency: u32,
    max: usize,
    overflow: Overflow,
    overload: bool,
    dispatch: usize,
    ejects: bool,
}

const TAGS: [&str; 3] = ["big", "red", "odd"];
const TENANTS: [&str; 2] = ["a", "b"];

fn kinds() -> impl Strategy<Value = Kind> {
    use proptest::option::weighted;
    let priority = proptest::sample::select(Priority::ALL);
    let tenant = weighted(0.5, 0..TENANTS.len());
    (
        weighted(0.3, 0_u64..6),
        weighted(0.3, 0..TAGS.len()),
        priority,
        tenant,
        weighted(0.3, 0_u64..400),
    )
        .prop_map(|(key, tag, priority, tenant, deadline)| Kind {
            key,
            tag,
            priority,
            tenant,
            deadline,
        })
}

fn changes() -> impl Strategy<Value = Change> {
    let ready = || proptest::bool::weighted(0.7);
    prop_oneof![
        1 => Just(Change::Remove),
        4 => ready().prop_map(Change::Ready),
        3 => ready().prop_map(Change::Restart),
        2 => Just(Change::End),
        1 => Just(Change::Drain),
        1 => Just(Change::Keep),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let any = || any::<usize>();
    let outcome = || proptest::sample::select(Outcome::ALL);
    let event = prop_oneof![
        30 => kinds().prop_map(Event::Submit),
        2 => Just(Event::Reserve),
        2 => kinds().prop_map(Event::UseReserved),
        1 => Just(Event::Unreserve),
        4 => any().prop_map(Event::Cancel),
        2 => any().prop_map(Event::Leave),
        20 => any().prop_map(Event::Come),
        16 => (any(), outcome()).prop_map(|(at, outcome)| Event::Finish(at, outcome)),
        3 => any().prop_map(Event::Add),
        12 => (any(), changes()).prop_map(|(at, change)| Event::Change(at, change)),
        6 => (0_u64..80).prop_map(Event::Pass),
        1 => (0_u64..4_000).prop_map(Event::Pass),
        3 => (0_u64..120).prop_map(Event::Late),
        1 => Just(Event::Close),
        2 => Just(Event::Open),
    ];
    proptest::collection::vec(event, 1..150)
}

fn plans() -> impl Strategy<Value = Plan> {
    let mode = proptest::sample::select(vec![Mode::Pull, Mode::Give]);
    let overflow = proptest::sample::select(Overflow::ALL);
    let max = prop_oneof![1 => Just(0_usize), 4 => 1_usize..8, 4 => Just(50)];
    let flags = (any::<bool>(), any::<bool>());
    (mode, 1_u32..=4, max, overflow, 0_usize..3, flags).prop_map(
        |(mode, concurrency, max, overflow, dispatch, (overload, ejects))| Plan {
            mode,
            concurrency,
            max,
            overflow,
            overload,
            dispatch,
            ejects,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn in_random_histories_each_job_has_one_end_and_none_waits_that_somebody_is_free_for(
        plan in plans(),
        events in events(),
    ) {
        let mut shell = Shell::new(&plan);
        for event in events {
            shell.on_event(event);
        }
        shell.finish_everything();
    }
}
