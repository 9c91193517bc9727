//! How a system is, as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use regrow::probe::{CheckResult, Probe, call};
use regrow::testing::{Puppet, TestSystem};
use regrow::{
    Backoff, Criticality, FirstRestart, GiveUp, Health, HealthPolicy, HealthReport, Restart,
    Supervisor,
};

fn find<'a>(report: &'a HealthReport, path: &str) -> &'a HealthReport {
    if report.path.as_str() == path {
        return report;
    }
    let child = report
        .children
        .iter()
        .find(|child| path == child.path.as_str() || path.starts_with(&format!("{}/", child.path)));
    find(child.expect("it is there"), path)
}

#[tokio::test(start_paused = true)]
async fn a_system_is_as_well_as_its_parts_by_policy_and_criticality() {
    let late = || {
        Backoff::exponential(Duration::from_secs(60)..=Duration::from_secs(60))
            .first(FirstRestart::Delayed)
    };
    let pool = Supervisor::new("pool")
        .no_intensity_limit()
        .health_policy(HealthPolicy::Quorum(2))
        .child(Puppet::spec("w1").backoff(late()))
        .child(Puppet::spec("w2").backoff(late()))
        .child(Puppet::spec("w3").backoff(late()));
    let tree = Supervisor::new("root")
        .no_intensity_limit()
        .child(pool)
        .child(Puppet::spec("db").required(true).backoff(late()))
        .child(
            Puppet::spec("extra")
                .criticality(Criticality::Optional)
                .backoff(late()),
        )
        .child(Puppet::spec("job").restart(Restart::Transient));
    let mut system = TestSystem::start(tree).await;
    assert_eq!(system.health().health, Some(Health::Up));

    for path in ["root/extra", "root/pool/w1"] {
        system.puppet(path).crash("boom");
        system
            .expect("regrow.supervisor.restart.scheduled", path)
            .await;
    }
    system.puppet("root/job").exit();
    system
        .expect("regrow.child.state_changed", "root/job")
        .await;
    let report = system.health();
    assert_eq!((report.health, report.why.as_str()), (Some(Health::Up), ""));
    assert_eq!(find(&report, "root/extra").health, Some(Health::Down));
    assert_eq!(find(&report, "root/job").health, None, "it is done");

    system.puppet("root/pool/w2").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/pool/w2")
        .await;
    let report = system.health();
    assert_eq!(find(&report, "root/pool").health, Some(Health::Down));
    assert_eq!(report.health, Some(Health::Degraded), "{report:?}");
    assert!(
        report
            .why
            .starts_with("pool is down: 1 of 3 work, and 2 have to be up"),
        "{}",
        report.why
    );

    system.puppet("root/db").crash("boom");
    system
        .expect("regrow.supervisor.restart.scheduled", "root/db")
        .await;
    let report = system.health();
    assert_eq!(report.health, Some(Health::Down));
    assert!(
        report
            .why
            .starts_with("db is down (required): it is backoff"),
        "{}",
        report.why
    );

    drop(system.terminate_child("root/db").await.expect("it stops"));
    assert_eq!(
        system.health().health,
        Some(Health::Degraded),
        "nobody wants it up"
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_say_how_the_whole_is_and_each_child_of_the_root() {
    let optional = Puppet::refusing("extra", 9)
        .criticality(Criticality::Optional)
        .give_up(GiveUp::Park)
        .limit(regrow::RestartIntensity::new(1, Duration::from_secs(5)));
    let pool = Supervisor::new("pool").child(Puppet::spec("w1"));
    let tree = Supervisor::new("root").child(pool).child(optional);
    let mut system = TestSystem::launch(tree).await;
    system.booted().await.expect("the others are up");
    drop(system.happened().await);
    let text = system.exporter().render();
    for line in [
        "regrow_health_status{component=\"root\",status=\"up\"} 1",
        "regrow_health_status{component=\"root/extra\",status=\"down\"} 1",
        "regrow_health_status{component=\"root/extra\",status=\"up\"} 0",
        "regrow_health_status{component=\"root/pool\",status=\"up\"} 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_probes_say_counts() {
    let well = Arc::new(AtomicBool::new(false));
    let dial = Arc::clone(&well);
    let check = call(move || {
        let well = dial.load(Ordering::SeqCst);
        std::future::ready(if well {
            CheckResult::success()
        } else {
            CheckResult::failure("no")
        })
    });
    let spec = Puppet::spec("a")
        .required(true)
        .probe(Probe::readiness(check));
    let mut system = TestSystem::start(Supervisor::new("root").child(spec)).await;
    let health = |system: &TestSystem| system.health().health;
    assert_eq!(
        health(&system),
        Some(Health::Unknown),
        "nobody has asked yet"
    );
    well.store(true, Ordering::SeqCst);
    system.expect("regrow.health.changed", "root/a").await;
    assert_eq!(health(&system), Some(Health::Up));
    drop(system.shut_down().await);
    assert_eq!(health(&system), Some(Health::Down));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_on_is_down() {
    let spec = Puppet::refusing("a", 9)
        .give_up(GiveUp::Park)
        .limit(regrow::RestartIntensity::new(1, Duration::from_secs(5)));
    let mut system = TestSystem::launch(Supervisor::new("root").child(spec)).await;
    system.booted().await.expect("the others are up");
    drop(system.happened().await);
    let report = system.health();
    assert_eq!(find(&report, "root/a").health, Some(Health::Down));
    assert_eq!(report.why, "a is down: it is failed");
}

#[tokio::test]
async fn a_policy_that_cannot_be_met_is_refused() {
    let tree = Supervisor::new("root").health_policy(HealthPolicy::Quorum(0));
    assert_eq!(
        tree.check().expect_err("it cannot").to_string(),
        "supervisor \"root\": health policy: quorum: expected at least 1, got 0"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_child_counted_is_forgotten_with_it_and_follows_a_new_spec() {
    let optional = |id: &str| Puppet::spec(id).criticality(Criticality::Optional);
    let crew = || Supervisor::new("crew").no_intensity_limit();
    let system = TestSystem::start(
        Supervisor::new("root")
            .no_intensity_limit()
            .child(crew().child(optional("a"))),
    )
    .await;
    let counts = |system: &TestSystem| {
        let report = system.health();
        find(&report, "root/crew/a").criticality
    };
    assert_eq!(counts(&system), Criticality::Optional);
    let again = crew().child(Puppet::spec("a").required(true));
    drop(
        system
            .reconfigure("root/crew", again)
            .await
            .expect("it may"),
    );
    assert_eq!(counts(&system), Criticality::Required);
    drop(system.terminate_child("root/crew").await.expect("it stops"));
    system.delete_child("root/crew").await.expect("it goes");
    let plain = crew().child(Puppet::spec("a"));
    drop(system.start_child("root", plain).await.expect("it starts"));
    assert_eq!(counts(&system), Criticality::Important);
}
