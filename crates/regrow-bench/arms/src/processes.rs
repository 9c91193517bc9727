//! An OS process that is killed, and how soon the next one is at work.
//!
//! What is supervised is the smallest program there is, which says that it runs and then does nothing: its own start is a part of every
//! figure. Each life is killed once it has lived for so long that nobody holds the next one back: runit, for one, starts nothing twice
//! within a second.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use regrow::{Backoff, Supervisor};
use regrow_bench_harness::{Figures, Latencies, Task};
use regrow_process::{Host, Process, become_subreaper};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::ours::{RESTARTS, WINDOW, down, up};

/// How long each life lasts.
const LIFE: Duration = Duration::from_millis(1_200);

/// How long the next one may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Where lives say that they run.
struct Watch {
    folder: PathBuf,
    path: String,
    socket: tokio::net::UnixDatagram,
}

impl Watch {
    fn new(arm: &str) -> Self {
        let name = format!("regrow-bench-{arm}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).expect("there is a folder for what is temporary");
        let path = folder.join("beacon");
        let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket can be made there");
        let path = path.to_str().expect("it is text").to_owned();
        Self {
            folder,
            path,
            socket,
        }
    }

    async fn next(&self) -> Pid {
        let mut pid = [0; 4];
        let told = tokio::time::timeout(LIMIT, self.socket.recv(&mut pid)).await;
        told.expect("a life begins").expect("it can be heard");
        Pid::from_raw(i32::from_le_bytes(pid)).expect("it has a number")
    }

    /// Kills one life after the other.
    async fn killed(&self, ops: usize) -> Figures {
        let mut latencies = Latencies::default();
        let mut pid = self.next().await;
        for _ in 0..ops {
            tokio::time::sleep(LIFE).await;
            let since = Instant::now();
            kill_process(pid, Signal::KILL).expect("it lives");
            pid = self.next().await;
            latencies.note(since);
        }
        latencies.figures()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// What is supervised: it was built beside this program.
fn beacon() -> PathBuf {
    let here = std::env::current_exe().expect("it has a path");
    let beacon = here.with_file_name("regrow-bench-beacon");
    assert!(beacon.exists(), "there is no {}", beacon.display());
    beacon
}

/// So many MiB, all of them touched: a parent that is large.
fn ballast(mebibytes: usize) -> Vec<u8> {
    vec![1; mebibytes << 20]
}

/// A process that is waited for and spawned again, and nothing else.
pub async fn tokio(task: Task) -> Figures {
    bare(task, "tokio", Stdio::null).await
}

/// The same with pipes, which nobody reads.
pub async fn tokio_piped(task: Task) -> Figures {
    bare(task, "tokio-piped", Stdio::piped).await
}

async fn bare(task: Task, arm: &str, stdio: fn() -> Stdio) -> Figures {
    let ballast = ballast(task.n);
    let watch = Watch::new(arm);
    let (beacon, path) = (beacon(), watch.path.clone());
    let again = tokio::spawn(async move {
        loop {
            let mut command = Command::new(&beacon);
            command.arg(&path).process_group(0).kill_on_drop(true);
            command.stdin(stdio()).stdout(stdio()).stderr(stdio());
            let mut life = command.spawn().expect("it starts");
            life.wait().await.expect("it ends");
        }
    });
    let figures = watch.killed(task.ops).await;
    again.abort();
    drop(std::hint::black_box(ballast));
    figures
}

/// A process as a child, as the program `regrow` has it: orphans come to us, output is read, and nothing is left behind.
pub async fn regrow(task: Task) -> Figures {
    let ballast = ballast(task.n);
    become_subreaper().expect("it may");
    let watch = Watch::new("regrow");
    let process = Process::new("agent", beacon())
        .args([&watch.path])
        .backoff(Backoff::none())
        .host(Host::new());
    let root = Supervisor::new("root").max_restarts(RESTARTS, WINDOW);
    let system = up(root.child(process)).await;
    let figures = watch.killed(task.ops).await;
    down(system).await;
    drop(std::hint::black_box(ballast));
    figures
}

/// runit's supervisor of one service.
pub async fn runit(task: Task) -> Figures {
    let watch = Watch::new("runit");
    let run = format!("#!/bin/sh\nexec {}\n", line(&watch));
    let service = watch.folder.join("service");
    std::fs::create_dir(&service).expect("a folder can be made there");
    write(&service.join("run"), &run, 0o700);
    let with = |runsv: &mut Command| {
        runsv.arg(&service);
    };
    peer(&watch, task, "runsv", with).await
}

/// supervisord, without the second that a start has to last.
pub async fn supervisord(task: Task) -> Figures {
    let watch = Watch::new("supervisord");
    let folder = watch.folder.display();
    let config = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/pid\n\
         [program:agent]\ncommand={}\nautorestart=true\nstartsecs=0\n",
        line(&watch)
    );
    let file = watch.folder.join("supervisord.conf");
    write(&file, &config, 0o600);
    let with = |it: &mut Command| {
        it.arg("-c").arg(&file);
    };
    peer(&watch, task, "supervisord", with).await
}

/// pm2 in the foreground.
pub async fn pm2(task: Task) -> Figures {
    let watch = Watch::new("pm2");
    let apps = format!(
        r#"{{"apps": [{{"name": "agent", "script": "{}", "args": ["{}"], "interpreter": "none"}}]}}"#,
        beacon().display(),
        watch.path
    );
    let file = watch.folder.join("agents.json");
    write(&file, &apps, 0o600);
    let home = watch.folder.join("home");
    let start = |it: &mut Command| {
        it.env("PM2_HOME", home).arg("start").arg(&file);
    };
    peer(&watch, task, "pm2-runtime", start).await
}

fn line(watch: &Watch) -> String {
    format!("{} {}", beacon().display(), watch.path)
}

fn write(file: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).expect("a file can be made there");
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(file, mode).expect("it is ours");
}

/// Another supervisor, which is ended when all is done; nothing, where it is not installed.
async fn peer(
    watch: &Watch,
    task: Task,
    program: &str,
    with: impl FnOnce(&mut Command),
) -> Figures {
    let mut command = Command::new(program);
    let null = Stdio::null;
    command.stdin(null()).stdout(null()).stderr(null());
    command.process_group(0).kill_on_drop(true);
    with(&mut command);
    let supervisor = match command.spawn() {
        Ok(supervisor) => supervisor,
        Err(error) if error.kind() == ErrorKind::NotFound => return Figures::new(),
        Err(error) => panic!("{program}: {error}"),
    };
    let figures = watch.killed(task.ops).await;
    end(supervisor).await;
    figures
}

async fn end(mut supervisor: Child) {
    let pid = supervisor.id().and_then(|pid| i32::try_from(pid).ok());
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        return;
    };
    kill_process(pid, Signal::TERM).ok();
    let ended = tokio::time::timeout(LIMIT, supervisor.wait()).await;
    ended.expect("it ends when asked").expect("it is ours");
    kill_process_group(pid, Signal::KILL).ok();
}
