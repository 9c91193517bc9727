//! Rules of who is known, where a whole daemon would need luck to break them.

use regrow::Supervisor;

use super::*;

async fn roster(folder: &Path) -> Roster {
    let text = "ports: 39000-39999\nagents: { only: { command: [sleep, '1000'] } }\n";
    let config = crate::config::parse(text, &folder.join("regrow.yaml"), &|_| None).unwrap();
    let system = System::launch(Supervisor::new(child::ROOT)).await.unwrap();
    let cast = Cast {
        logs: PathBuf::from("logs"),
        processes: Vec::new(),
        breakers: Breakers::default(),
        agents: Book::default(),
        pools: Pools::default(),
        ports: Ports::new(config.ports.clone()),
    };
    Roster::new(config, Host::new(), system, cast, watch::Sender::new(0))
}

fn request(id: &str) -> SpawnRequest {
    serde_json::from_value(serde_json::json!({
        "agent_id": id, "command": "sleep", "args": ["1000"]
    }))
    .unwrap()
}

#[tokio::test]
async fn a_look_before_an_id_was_given_anew_does_not_forget_who_has_it_now() {
    let folder = tempfile::tempdir().unwrap();
    let roster = roster(folder.path()).await;
    roster.spawn(&request("x")).await.unwrap();
    let known = roster.known();
    // Another look finds it gone, and its id is given anew.
    roster.system.terminate_child("root/x").await.unwrap();
    roster.system.delete_child("root/x").await.unwrap();
    roster.all().await;
    let anew = roster.spawn(&request("x")).await.unwrap();
    roster.forget_the_gone(known, &Family::default());
    assert_eq!(roster.ids(), ["x"]);
    assert_eq!(roster.ports.counts().allocated, 1);
    let shown = roster.one("x").await.unwrap();
    assert_eq!((shown.port, anew.port.is_some()), (anew.port, true));
    assert!(roster.system.shut_down().await.killed.is_empty());
}

#[tokio::test]
async fn no_pool_is_sized_while_regrow_is_being_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let roster = roster(folder.path()).await;
    roster.drain();
    let asked = serde_json::from_value(serde_json::json!({ "workers": 1 })).unwrap();
    let refused = roster.scale("w", &asked).await.unwrap_err();
    assert_eq!(refused.to_string(), "regrow is being stopped");
    assert!(roster.system.shut_down().await.killed.is_empty());
}
