//! An application that depends on the traits: with processes, and with agents that answer from memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use regrow::{ExitReason, Phase};
use regrow_process::{
    AgentEnd, AgentError, AgentHandle, AgentRunner, AgentStatus, AgentTypes, Answer, Later, Line,
    Process, ProcessRunner, ReadLine, Signal, Spawn, SpawnAgentError, Stream,
};
use uuid::Uuid;

/// An application's own code, which does not know what runs its agents.
async fn ask(runner: &dyn AgentRunner, question: &str) -> Option<String> {
    let agent = runner.spawn(Spawn::of("echo")).await.unwrap();
    agent
        .write_stdin(format!("{question}\n").into_bytes())
        .await
        .unwrap();
    let answer = agent.read_stdout().await.map(|line| line.text());
    let same = runner.get(agent.id()).unwrap();
    assert_eq!(
        (same.name(), same.type_name(), runner.list().len()),
        ("echo-agent-1", "echo", 1)
    );
    agent.pause().await.unwrap();
    agent.resume().await.unwrap();
    runner.signal(agent.id(), Signal::Usr1).await.unwrap();
    assert_eq!(agent.stop().await.unwrap().phase, Phase::Stopped);
    assert!(runner.list().is_empty());
    answer
}

#[tokio::test]
async fn an_application_can_take_processes() {
    let patient = Process::new("echo", "sh")
        .args(["-c", "trap '' USR1; exec cat"])
        .start_window(Duration::ZERO);
    let types = AgentTypes::new().with(patient);
    let runner = ProcessRunner::start(types).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(60), ask(&runner, "who?"));
    assert_eq!(answer.await.unwrap().as_deref(), Some("who?"));
    runner.shut_down().await;
}

#[tokio::test]
async fn an_application_is_tested_without_processes() {
    let runner = Memory::default();
    assert_eq!(ask(&runner, "who?").await.as_deref(), Some("who?"));
}

/// Agents that answer what they are told, without processes.
#[derive(Debug, Default)]
struct Memory(Arc<Mutex<Vec<Echo>>>);

#[derive(Debug, Clone)]
struct Echo {
    id: Uuid,
    name: String,
    lines: Arc<Mutex<VecDeque<Vec<u8>>>>,
    others: Arc<Mutex<Vec<Self>>>,
}

impl AgentRunner for Memory {
    fn spawn(&self, request: Spawn) -> Answer<'_, Box<dyn AgentHandle>, SpawnAgentError> {
        let mut others = self.0.lock().unwrap();
        let agent = Echo {
            id: Uuid::new_v4(),
            name: format!("{}-agent-{}", request.type_name(), others.len() + 1),
            lines: Arc::default(),
            others: Arc::clone(&self.0),
        };
        others.push(agent.clone());
        Box::pin(async move { Ok(Box::new(agent) as _) })
    }

    fn list(&self) -> Vec<Box<dyn AgentHandle>> {
        let agents = self.0.lock().unwrap().clone();
        agents
            .into_iter()
            .map(|agent| Box::new(agent) as _)
            .collect()
    }

    fn get(&self, id: Uuid) -> Option<Box<dyn AgentHandle>> {
        let agents = self.list();
        agents.into_iter().find(|agent| agent.id() == id)
    }

    fn signal(&self, _id: Uuid, _signal: Signal) -> Answer<'_, (), AgentError> {
        Box::pin(async { Ok(()) })
    }

    fn kill(&self, id: Uuid) -> Answer<'_, AgentEnd, AgentError> {
        Box::pin(async move { Err(AgentError::NotFound { id }) })
    }
}

impl AgentHandle for Echo {
    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn type_name(&self) -> &'static str {
        "echo"
    }

    fn status(&self) -> AgentStatus {
        let mut status = AgentStatus::default();
        let is_there = self
            .others
            .lock()
            .unwrap()
            .iter()
            .any(|other| other.id == self.id);
        status.phase = if is_there {
            Phase::Running
        } else {
            Phase::Stopped
        };
        status.exit = (!is_there).then_some(ExitReason::Exit(0));
        status
    }

    fn write_stdin(&self, bytes: Vec<u8>) -> Answer<'_, u32, AgentError> {
        self.lines.lock().unwrap().push_back(bytes);
        Box::pin(async { Ok(1) })
    }

    fn read_stdout(&self) -> Later<'_, Option<ReadLine>> {
        let bytes = self.lines.lock().unwrap().pop_front();
        let line = bytes.map(|bytes| Line {
            seq: 0,
            at: SystemTime::UNIX_EPOCH,
            stream: Stream::Stdout,
            generation: 1,
            bytes: bytes.trim_ascii_end().into(),
            cut: 0,
        });
        Box::pin(async { line.map(|line| ReadLine { line, missed: 0 }) })
    }

    fn read_stderr(&self) -> Later<'_, Option<ReadLine>> {
        Box::pin(async { None })
    }

    fn wait(&self) -> Later<'_, AgentEnd> {
        Box::pin(async { self.status().end() })
    }

    fn exit_code(&self) -> Option<i32> {
        self.status().exit_code()
    }

    fn signal(&self, _signal: Signal) -> Answer<'_, (), AgentError> {
        Box::pin(async { Ok(()) })
    }

    fn pause(&self) -> Answer<'_, (), AgentError> {
        Box::pin(async { Ok(()) })
    }

    fn resume(&self) -> Answer<'_, (), AgentError> {
        Box::pin(async { Ok(()) })
    }

    fn restart(&self) -> Answer<'_, (), AgentError> {
        Box::pin(async { Ok(()) })
    }

    fn stop(&self) -> Answer<'_, AgentEnd, AgentError> {
        self.others
            .lock()
            .unwrap()
            .retain(|other| other.id != self.id);
        Box::pin(async { Ok(self.status().end()) })
    }

    fn kill(&self) -> Answer<'_, AgentEnd, AgentError> {
        self.stop()
    }
}
