//! Programs that nobody here wrote.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::kit::{Daemon, Team, absent, descendants, need, until};

fn examples() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/real")
}

fn says_pong(port: u64) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).ok()?)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).ok()?;
    (&answer == b"+PONG\r\n").then_some(())
}

/// The command of the agent `time`, where it is installed.
fn mcp_server() -> String {
    std::env::var("REGROW_MCP_TIME").unwrap_or_else(|_| {
        let venv =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/mcp-server-time");
        venv.display().to_string()
    })
}

#[test]
fn a_web_server_a_database_and_a_tool_server_run_under_one_roof() {
    let is_absent = |tool: &str, needed: &str| {
        let absent = absent(tool);
        if !absent {
            need(needed);
        }
        absent
    };
    let python = is_absent("python3", "python3");
    let redis = is_absent("redis-server", "redis-server");
    let mcp = is_absent("mcp-server-time", &mcp_server());
    let file = std::fs::read_to_string(examples().join("regrow.yaml")).unwrap();
    let team = Team::new(&file);
    std::fs::create_dir(team.path().join("site")).unwrap();
    let page = std::fs::read_to_string(examples().join("site/index.html")).unwrap();
    std::fs::write(team.path().join("site/index.html"), &page).unwrap();
    let started = team
        .command(&[
            "up",
            "-d",
            "--wait",
            "--wait-timeout",
            "30s",
            "--listen",
            "127.0.0.1:0",
        ])
        .env("REGROW_MCP_TIME", mcp_server())
        .output()
        .unwrap();
    let daemon = Daemon::at(team);
    let expected = if python || redis || mcp { 8 } else { 0 };
    assert_eq!(started.status.code(), Some(expected), "{started:?}");

    if !redis {
        let port = daemon.agent("redis")["port"].as_u64().unwrap();
        until("redis says PONG", || says_pong(port));
    }
    if !redis && !python {
        let index = daemon.get("/agents/files/");
        assert_eq!((index.status, index.body.as_str()), (200, page.as_str()));
        assert_eq!(
            daemon.get("/agents/files/gone.html").status,
            404,
            "the agent's own answer"
        );
    }
    if !mcp {
        let time = daemon.agent("time");
        assert_eq!(
            (&time["phase"], &time["type"]),
            (&"running".into(), &"mcp".into()),
            "{time}"
        );
    }
    let family = descendants(daemon.pid);
    let said = daemon.regrow(&["down"]);
    assert_eq!(said.code, 0, "{said:?}");
    let left: Vec<_> = family.iter().filter(|seen| seen.lives()).collect();
    assert!(left.is_empty(), "{left:?}");
    // It has let go of its state directory, which is what `down` waits for, and is about to go itself.
    until("nobody is left", || {
        daemon.team.alive().is_empty().then_some(())
    });
}
