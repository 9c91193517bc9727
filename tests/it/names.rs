//! Names that children go by beside their paths, and groups.

use std::sync::Arc;
use std::time::Duration;

use regrow::testing::{Puppet, TestSystem};
use regrow::{
    Candidate, ClaimError, Conflict, DynamicSupervisor, Registered, Registry, Supervisor, System,
};

async fn crew(n: usize) -> TestSystem {
    let root = Supervisor::new("root").child(DynamicSupervisor::new("guests"));
    let root = (0..n).fold(root, |root, n| root.child(Puppet::spec(&format!("w{n}"))));
    TestSystem::start(root).await
}

fn child(registry: &Registry, id: &str) -> Registered {
    registry.get(&format!("root/{id}")).expect("it is there")
}

fn holder(registry: &Registry, name: &str) -> Option<String> {
    registry.whereis(name).map(|child| child.path().to_string())
}

#[tokio::test(start_paused = true)]
async fn a_name_has_one_holder_and_who_comes_later_is_told_who() {
    let mut system = crew(2).await;
    let registry = system.registry();
    let (ann, bob) = (child(&registry, "w0"), child(&registry, "w1"));
    assert!(matches!(
        registry.claim("lead", &ann, Conflict::Reject).await,
        Ok(None)
    ));
    // Each life may claim it again.
    assert!(matches!(
        registry.claim("lead", &ann, Conflict::Reject).await,
        Ok(None)
    ));
    let refused = registry.claim("lead", &bob, Conflict::Reject).await;
    let refused = refused.expect_err("it is taken");
    assert_eq!(refused.to_string(), "name \"lead\" is taken by \"root/w0\"");
    system
        .expect("regrow.registry.entry.conflict", "root/w1")
        .await;
    assert_eq!(holder(&registry, "lead").as_deref(), Some("root/w0"));

    let from = registry.claim("lead", &bob, Conflict::Replace).await;
    assert_eq!(from.expect("it is given"), Some(ann.clone()));
    assert_eq!(holder(&registry, "lead").as_deref(), Some("root/w1"));
    assert!(!registry.release("lead", &ann).await, "it is not hers");
    assert!(registry.release("lead", &bob).await);
    assert_eq!(holder(&registry, "lead"), None);
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_ones_own_sees_the_holder_and_one_that_panics_refuses() {
    let system = crew(2).await;
    let registry = system.registry();
    let (ann, bob) = (child(&registry, "w0"), child(&registry, "w1"));
    ann.set_load(9);
    registry
        .claim("lead", &ann, Conflict::Reject)
        .await
        .expect("it is free");
    let busy = |holder: &Registered| {
        if holder.load() > 5 {
            Conflict::Replace
        } else {
            Conflict::Reject
        }
    };
    let from = registry.claim_with("lead", &bob, busy).await;
    assert_eq!(from.expect("she is busy"), Some(ann.clone()));
    assert!(registry.claim_with("lead", &ann, busy).await.is_err());
    let panics = registry.claim_with("lead", &ann, |_| panic!("boom")).await;
    assert!(matches!(panics, Err(ClaimError::Taken { holder, .. }) if holder == bob));
    assert_eq!(registry.names_of(&bob), ["lead".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_name_survives_a_restart_and_goes_with_the_place() {
    let mut system = crew(1).await;
    let registry = system.registry();
    system
        .start_child("root/guests", Puppet::spec("gus"))
        .await
        .unwrap();
    let (ann, gus) = (child(&registry, "w0"), child(&registry, "guests/gus"));
    registry
        .claim("guest", &gus, Conflict::Reject)
        .await
        .expect("it is free");
    registry.join("table", &gus).await.expect("it can");
    system.puppet("root/guests/gus").crash("boom");
    system
        .expect("regrow.supervisor.restart.stop", "root/guests/gus")
        .await;
    assert_eq!(
        holder(&registry, "guest").as_deref(),
        Some("root/guests/gus")
    );

    system.terminate_child("root/guests/gus").await.unwrap();
    // At once, and whoever claims it next gets it.
    assert_eq!(holder(&registry, "guest"), None);
    assert_eq!(registry.group("table"), []);
    assert!(matches!(
        registry.claim("guest", &ann, Conflict::Reject).await,
        Ok(None)
    ));
    let late = registry.claim("other", &gus, Conflict::Reject).await;
    assert!(matches!(late, Err(ClaimError::Gone { .. })));
    registry.caught_up().await;
    assert_eq!(holder(&registry, "guest").as_deref(), Some("root/w0"));
}

#[tokio::test(start_paused = true)]
async fn a_group_has_many_in_the_order_in_which_they_joined() {
    let system = crew(3).await;
    let registry = system.registry();
    for id in ["w2", "w0", "w1", "w0"] {
        registry
            .join("pool", &child(&registry, id))
            .await
            .expect("it can");
    }
    let members = || {
        let group = registry.group("pool");
        let paths: Vec<String> = group.iter().map(|one| one.path().to_string()).collect();
        paths.join(" ")
    };
    assert_eq!(members(), "root/w2 root/w0 root/w1");
    assert!(registry.leave("pool", &child(&registry, "w0")).await);
    assert!(!registry.leave("pool", &child(&registry, "w0")).await);
    assert_eq!(members(), "root/w2 root/w1");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_name_is_refused_with_its_length_and_so_is_one_too_many() {
    let system = crew(1).await;
    let registry = system.registry();
    let ann = child(&registry, "w0");
    let claim = |name: String| registry.claim(name, &ann, Conflict::Reject);
    let said = claim(String::new()).await.unwrap_err().to_string();
    assert_eq!(
        said,
        "\"\" cannot be a name: it has 0 bytes, and 1 to 256 are allowed"
    );
    assert!(matches!(
        claim("x".repeat(257)).await,
        Err(ClaimError::Invalid { .. })
    ));
    for n in 0..1_024 {
        claim(format!("n{n}")).await.expect("it is free");
    }
    assert!(matches!(
        claim("more".to_owned()).await,
        Err(ClaimError::TooMany { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn an_ended_system_gives_no_names() {
    let system = crew(1).await;
    let registry = system.registry();
    let ann = child(&registry, "w0");
    drop(system.shut_down().await);
    let end = tokio::time::timeout(
        Duration::from_secs(60),
        registry.claim("lead", &ann, Conflict::Reject),
    );
    assert!(matches!(end.await, Ok(Err(ClaimError::Over))));
}

/// 16 tasks want one name, round after round: one gets it, and the others are told who.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_who_want_one_name_one_gets_it_and_the_others_are_told_who() {
    const ROUNDS: usize = 10_000;
    let root = (0..16).fold(Supervisor::new("root"), |root, n| {
        root.child(Puppet::spec(&format!("w{n}")))
    });
    let system = Arc::new(System::start(root).await.expect("it starts"));
    let registry = system.registry();
    let children: Vec<Registered> = (0..16)
        .map(|n| child(&registry, &format!("w{n}")))
        .collect();
    for round in 0..ROUNDS {
        let name: Arc<str> = format!("n{}", round % 7).into();
        let claims = children.iter().cloned().map(|child| {
            let (registry, name) = (registry.clone(), Arc::clone(&name));
            tokio::spawn(async move { registry.claim(name, &child, Conflict::Reject).await })
        });
        let claims: Vec<_> = claims.collect();
        let (mut winners, mut told) = (Vec::new(), Vec::new());
        for (child, claim) in children.iter().zip(claims) {
            match claim.await.expect("it does not panic") {
                Ok(_) => winners.push(child.clone()),
                Err(ClaimError::Taken { holder, .. }) => told.push(holder),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(winners.len(), 1, "in round {round}");
        assert_eq!(told.len(), 15);
        assert!(told.iter().all(|holder| *holder == winners[0]));
        assert_eq!(
            registry.whereis(&name).expect("it is held").path(),
            winners[0].path()
        );
        assert!(registry.release(name, &winners[0]).await);
    }
    assert!(
        children
            .iter()
            .all(|child| !Candidate::path(child).is_empty())
    );
    drop(system.shut_down().await);
}
