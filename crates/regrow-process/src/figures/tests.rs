//! Looks at real processes.

use std::process::{Child, Command, Stdio};

use regrow_core::figures::{Figures, Meter};

use super::*;

const AT_ONCE: Duration = Duration::from_millis(5);

/// A process in a group of its own, which is killed and reaped in the end.
struct Real(Child);

impl Real {
    fn new(script: &str) -> Self {
        use std::os::unix::process::CommandExt as _;
        let child = Command::new("sh")
            .args(["-c", script])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn leader(&self) -> Identity {
        os::identify(i32::try_from(self.0.id()).unwrap()).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // What it has started waits for the end of its standard input, too, and ends with the group.
        drop(os::signal_group(self.leader(), os::Signal::Kill));
        self.0.wait().unwrap();
    }
}

fn sampler() -> Arc<Sampler> {
    Arc::new(Sampler::new("run-of-a-test".into()))
}

/// What a life uses, look by look, until it is as wanted.
async fn until(
    enlistment: &mut Enlistment,
    meter: &mut Meter,
    what: impl Fn(&Figures) -> bool,
) -> Figures {
    let look = async {
        loop {
            enlistment.samples.changed().await.unwrap();
            let sample = enlistment.samples.borrow_and_update().clone().unwrap();
            let figures = meter.on_sample(&sample.readings, sample.at);
            if what(&figures) {
                return figures;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .expect("in time")
}

#[tokio::test]
async fn what_a_tree_uses_is_read_and_what_it_has_used_never_falls() {
    let sampler = sampler();
    sampler.set_period(AT_ONCE);
    // A child that works, and is gone when its parent reads a line.
    let script = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; read line'; read line";
    let mut real = Real::new(script);
    let mut meter = Meter::new(Instant::now());
    let mut life = sampler.enlist("a", 1, real.leader(), None);
    let busy = until(&mut life, &mut meter, |figures| {
        figures.processes == 2 && figures.spent.cpu > Duration::from_millis(50)
    })
    .await;
    assert!(busy.threads >= 2 && busy.descriptors >= 6, "{busy:?}");
    assert!(busy.memory_bytes > 100_000, "{busy:?}");
    assert!(busy.spent.read_bytes > 0, "{busy:?}");
    // The child ends; what it has used is its parent's now.
    io::Write::write_all(real.0.stdin.as_mut().unwrap(), b"go\n").unwrap();
    let alone = until(&mut life, &mut meter, |figures| figures.processes == 1).await;
    assert!(
        alone.spent.cpu >= busy.spent.cpu,
        "{alone:?} after {busy:?}"
    );
    assert!(alone.spent.read_bytes >= busy.spent.read_bytes);
    assert!(sampler.last().unwrap().took > Duration::ZERO);
}

#[tokio::test]
async fn one_that_left_group_and_parent_is_found_by_its_mark_and_remembered() {
    let sampler = sampler();
    sampler.set_period(AT_ONCE);
    let marks = "REGROW_INSTANCE=run-of-a-test REGROW_AGENT_ID=a REGROW_GENERATION=1";
    // In a session of its own, and its parent has ended. It lives as long as the pipe of the test is open.
    let real = Real::new(&format!(
        "exec 3<&0; ({marks} setsid sh -c 'read line <&3; exit' &) ; read line"
    ));
    let mut life = sampler.enlist("a", 1, real.leader(), None);
    let mut meter = Meter::new(Instant::now());
    until(&mut life, &mut meter, |figures| figures.processes == 2).await;
    let seen = life.seen();
    assert_eq!(seen.len(), 1);
    assert_ne!(seen[0], real.leader());
    let tree = sampler.tree("a").await.unwrap().unwrap();
    let names: Vec<&str> = tree.iter().map(|process| &*process.name).collect();
    assert_eq!(names, ["sh", "sh"]);
    assert!(tree.iter().all(|process| process.reading.memory_bytes > 0));
    assert_eq!(sampler.tree("b").await.unwrap(), None);
}

#[tokio::test]
async fn nobody_is_looked_at_when_it_is_switched_off_but_those_with_a_limit() {
    let sampler = sampler();
    sampler.set_period(Duration::ZERO);
    let real = Real::new("read line");
    let without = sampler.enlist("a", 1, real.leader(), None);
    assert_eq!(sampler.state().task, Task::None);
    let limit = Some(MemoryLimit::new(1));
    let with = sampler.enlist("b", 1, real.leader(), limit);
    assert_eq!(sampler.state().task, Task::Runs);
    assert_eq!(sampler.state().pause(), Some(PERIOD));
    assert_eq!(sampler.state().watched().count(), 1);
    // Who wants figures once an hour does not wait an hour for a limit; without one it does.
    sampler.set_period(PERIOD * 720);
    assert_eq!(sampler.state().pause(), Some(PERIOD));
    sampler.set_period(AT_ONCE);
    assert_eq!(sampler.state().pause(), Some(AT_ONCE));
    sampler.set_period(Duration::ZERO);
    drop((with, without));
    assert_eq!(sampler.go_on(), None);
    assert_eq!(sampler.state().task, Task::None);
    assert!(sampler.state().lives.is_empty());
}

#[tokio::test]
async fn what_several_share_counts_once_against_a_limit() {
    let sampler = sampler();
    sampler.set_period(AT_ONCE);
    // 8 MiB that are only read from: three children have the same pages as their parent.
    let script = "x=$(head -c 8388608 /dev/zero | tr '\\0' a); \
        exec 3<&0; for child in 1 2 3; do (read line <&3; exit) & done; read line";
    let real = Real::new(script);
    let (of, near) = (real.leader(), Some(MemoryLimit::new(16 << 20)));
    let mut limited = sampler.enlist("a", 1, of, near);
    let all = async {
        loop {
            limited.samples.changed().await.unwrap();
            let sample = limited.samples.borrow_and_update().clone().unwrap();
            let plain = memory(&sample.readings, None);
            if sample.readings.len() == 4 && plain > 32 << 20 {
                return (sample.memory_bytes, plain);
            }
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(20), all);
    let (just, plain) = all.await.expect("in time");
    assert!(
        (8 << 20..16 << 20).contains(&just),
        "{just} instead of {plain}"
    );
}

/// What the documentation of `Host::sample_every` says of the cost, in print: `cargo test … -- --nocapture`.
#[tokio::test]
async fn a_look_at_two_hundred_agents_takes_less_than_ten_times_that_at_ten() {
    let sampler = sampler();
    sampler.set_period(Duration::ZERO);
    let reals: Vec<Real> = (0..200).map(|_| Real::new("read line")).collect();
    let (mut lives, mut looks) = (Vec::new(), Vec::new());
    for (number, real) in reals.iter().enumerate() {
        lives.push(sampler.enlist(&format!("a{number}"), 1, real.leader(), None));
        if [10, 200].contains(&lives.len()) {
            sampler.set_period(AT_ONCE);
            // The best of several: other tests run at the same time.
            let took = (0..20).map(|_| {
                sampler.look().unwrap();
                sampler.last().unwrap().took
            });
            let took = took.min().unwrap();
            eprintln!("a look at {} agents takes {took:?}", lives.len());
            looks.push(took);
        }
    }
    // It reads the table of all processes once, however many agents there are.
    assert!(looks[1] < looks[0] * 10, "{looks:?}");
    let last = sampler.last().unwrap();
    assert_eq!((last.agents, last.processes), (200, 200));
}
