//! The command line's side of the API: HTTP over the daemon's Unix socket.

mod discovery;
mod exchange;
mod lines;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::wire::{
    Agent, Breaker, Breakers, Info, Pool, Pools, Problem, ScaleRequest, Sent, SignalRequest,
    Status, Tree, WaitReport,
};

pub(crate) use self::discovery::{Found, Place, discover};
use self::exchange::exchange;
pub(crate) use self::lines::LogStream;

/// An answer that asks for no waiting is there within this time, or the daemon is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What the daemon is given to answer beyond the wait that was asked of it.
const BEYOND_THE_WAIT: Duration = Duration::from_secs(10);
/// The longest answer that is read; a status of some thousand agents fits.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// Where an API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The socket in a state directory, where everything is allowed.
    Socket(PathBuf),
    /// A TCP address, where one may look.
    Tcp(SocketAddr),
}

/// One daemon, as the command line speaks to it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    endpoint: Endpoint,
}

/// What can be asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Start one that is not up.
    Start,
    /// Stop it, until it is started again.
    Stop,
    /// Stop it, then start it.
    Restart,
    /// Hold it where it is.
    Pause,
    /// Let it go on.
    Resume,
}

impl Verb {
    /// The word for it, as the API has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// What can be asked of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerVerb {
    /// To be open: for so long, or until it is closed.
    Open(Option<Duration>),
    /// To be closed.
    Close,
    /// To begin anew.
    Reset,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum WaitFor {
    /// The process runs and has outlived its start window
    Started,
    /// The agent may be given work
    Ready,
}

impl WaitFor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
        }
    }
}

/// What an agent is to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// As they are written.
    pub(crate) bytes: Vec<u8>,
    /// Whether it is the last.
    pub(crate) eof: bool,
    /// Which life it is for; any, where none is named.
    pub(crate) generation: Option<u32>,
    /// How long the agent may take to read it.
    pub(crate) within: Duration,
}

/// Which lines are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogQuery {
    /// Of these agents; of all where none is named.
    pub(crate) agents: Vec<String>,
    /// So many of the last lines; the daemon knows how many where nothing is said.
    pub(crate) tail: Option<usize>,
    /// From this moment on, as the API reads it.
    pub(crate) since: Option<String>,
    /// Whether to go on with the lines to come.
    pub(crate) follow: Follow,
}

/// Whether lines to come are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// What is there, and no more.
    No,
    /// Until one side ends it.
    Yes,
}

impl Client {
    /// A client of the daemon at `endpoint`; nothing is connected before the first question.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// What the daemon says of itself.
    pub(crate) async fn info(&self) -> Result<Info, ClientError> {
        self.ask(Method::GET, "/v1/info", ANSWER_WITHIN).await
    }

    /// All agents.
    pub(crate) async fn agents(&self) -> Result<Vec<Agent>, ClientError> {
        let status: Status = self.ask(Method::GET, "/v1/agents", ANSWER_WITHIN).await?;
        Ok(status.agents)
    }

    /// The agents of which the query with this text holds.
    pub(crate) async fn matching(&self, query: &str) -> Result<Vec<Agent>, ClientError> {
        let path = format!("/v1/agents?query={}", encoded(query));
        let status: Status = self.ask(Method::GET, &path, ANSWER_WITHIN).await?;
        Ok(status.agents)
    }

    /// The processes of an agent.
    pub(crate) async fn tree(&self, id: &str) -> Result<Tree, ClientError> {
        let path = format!("/v1/agents/{}/tree", encoded(id));
        self.ask(Method::GET, &path, ANSWER_WITHIN).await
    }

    /// Starts, stops or restarts an agent, and waits until that is done.
    pub(crate) async fn operate(
        &self,
        id: &str,
        verb: Verb,
        wait: Duration,
    ) -> Result<Agent, ClientError> {
        let path = format!(
            "/v1/agents/{}/{}?wait={}ms",
            encoded(id),
            verb.as_str(),
            wait.as_millis()
        );
        self.ask(Method::POST, &path, wait + BEYOND_THE_WAIT).await
    }

    /// Writes to an agent's standard input, and waits until it has read so far that all of it is in its pipe.
    pub(crate) async fn say(&self, id: &str, message: Message) -> Result<Sent, ClientError> {
        let Message {
            bytes,
            eof,
            generation,
            within,
        } = message;
        let mut path = format!(
            "/v1/agents/{}/send?timeout={}ms",
            encoded(id),
            within.as_millis()
        );
        if let Some(generation) = generation {
            write!(path, "&generation={generation}").expect("a String takes what it is given");
        }
        if eof {
            path.push_str("&eof=1");
        }
        let limit = within + BEYOND_THE_WAIT;
        self.within(limit, async {
            let asked = exchange(&self.endpoint, Method::POST, &path, bytes.into());
            answer(&path, accepted(asked.await?).await?).await
        })
        .await
    }

    /// Sends a signal to an agent.
    pub(crate) async fn signal(
        &self,
        id: &str,
        request: &SignalRequest,
    ) -> Result<Agent, ClientError> {
        let path = format!("/v1/agents/{}/signal", encoded(id));
        let body = serde_json::to_vec(request).expect("a request is plain text");
        self.within(ANSWER_WITHIN, async {
            let sent = exchange(&self.endpoint, Method::POST, &path, body.into());
            answer(&path, accepted(sent.await?).await?).await
        })
        .await
    }

    /// All breakers.
    pub(crate) async fn breakers(&self) -> Result<Vec<Breaker>, ClientError> {
        let all: Breakers = self.ask(Method::GET, "/v1/breakers", ANSWER_WITHIN).await?;
        Ok(all.breakers)
    }

    /// One breaker.
    pub(crate) async fn breaker(&self, id: &str) -> Result<Breaker, ClientError> {
        let path = format!("/v1/breakers/{}", encoded(id));
        self.ask(Method::GET, &path, ANSWER_WITHIN).await
    }

    /// Opens, closes or resets a breaker.
    pub(crate) async fn order(&self, id: &str, verb: BreakerVerb) -> Result<Breaker, ClientError> {
        let order = match verb {
            BreakerVerb::Open(None) => "open".to_owned(),
            BreakerVerb::Open(Some(time)) => format!("open?for={}ms", time.as_millis()),
            BreakerVerb::Close => "close".to_owned(),
            BreakerVerb::Reset => "reset".to_owned(),
        };
        let path = format!("/v1/breakers/{}/{order}", encoded(id));
        self.ask(Method::POST, &path, ANSWER_WITHIN).await
    }

    /// All pools, without what was decided of them.
    pub(crate) async fn pools(&self) -> Result<Vec<Pool>, ClientError> {
        let all: Pools = self.ask(Method::GET, "/v1/pools", ANSWER_WITHIN).await?;
        Ok(all.pools)
    }

    /// One pool.
    pub(crate) async fn pool(&self, id: &str) -> Result<Pool, ClientError> {
        let path = format!("/v1/pools/{}", encoded(id));
        self.ask(Method::GET, &path, ANSWER_WITHIN).await
    }

    /// Sizes a pool.
    pub(crate) async fn scale(
        &self,
        id: &str,
        request: &ScaleRequest,
    ) -> Result<Pool, ClientError> {
        let path = format!("/v1/pools/{}/scale", encoded(id));
        let body = serde_json::to_vec(request).expect("a request is plain text");
        self.within(ANSWER_WITHIN, async {
            let sent = exchange(&self.endpoint, Method::POST, &path, body.into());
            answer(&path, accepted(sent.await?).await?).await
        })
        .await
    }

    /// Asks the daemon to stop its agents in order and end.
    pub(crate) async fn down(&self) -> Result<(), ClientError> {
        let response = self.send(Method::POST, "/v1/down", ANSWER_WITHIN).await?;
        self.within(ANSWER_WITHIN, accepted(response)).await?;
        Ok(())
    }

    /// Waits until every agent has settled, or the time is over: then the report says who has not.
    pub(crate) async fn wait(
        &self,
        what: WaitFor,
        timeout: Duration,
    ) -> Result<WaitReport, ClientError> {
        let path = format!(
            "/v1/wait?for={}&timeout={}ms",
            what.as_str(),
            timeout.as_millis()
        );
        match self
            .ask(Method::GET, &path, timeout + BEYOND_THE_WAIT)
            .await
        {
            Err(ClientError::Problem(mut problem)) => match problem.wait.take() {
                Some(report) => Ok(report),
                None => Err(ClientError::Problem(problem)),
            },
            answered => answered,
        }
    }

    /// The lines that agents wrote.
    pub(crate) async fn logs(&self, query: &LogQuery) -> Result<LogStream, ClientError> {
        let response = self
            .send(Method::GET, &log_path(query), ANSWER_WITHIN)
            .await?;
        Ok(LogStream::new(accepted(response).await?.into_body()))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        within: Duration,
    ) -> Result<T, ClientError> {
        self.within(within, async {
            let response = accepted(self.send(method, path, within).await?).await?;
            answer(path, response).await
        })
        .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        within: Duration,
    ) -> Result<Response<Incoming>, ClientError> {
        let nothing = bytes::Bytes::new();
        self.within(within, exchange(&self.endpoint, method, path, nothing))
            .await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(ClientError::Timeout { after: limit }),
        }
    }
}

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ClientError {
    /// Nobody answers, and this is what was tried.
    #[error("{0}")]
    NotFound(NobodyThere),
    /// The daemon cannot be reached, or went away in the middle.
    #[error("regrow does not answer at {at}; `regrow ps` shows whether it runs")]
    Unreachable {
        /// Where it should be.
        at: String,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system does not let us in.
    #[error("not allowed to use {at}; only the user who started regrow may")]
    NotAllowed {
        /// The socket.
        at: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The daemon took too long.
    #[error("regrow did not answer within {} s", .after.as_secs())]
    Timeout {
        /// How long it was given.
        after: Duration,
    },
    /// The daemon said no, and why.
    #[error("{}", sentence(.0))]
    Problem(Box<Problem>),
    /// The daemon said something that makes no sense here.
    #[error("{what}; are regrow and its daemon of the same version?")]
    Answer {
        /// What it was.
        what: String,
    },
}

/// What was tried to find a daemon, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NobodyThere {
    /// What was tried, each with what came of it.
    pub(crate) tried: Vec<String>,
    /// What to do about it.
    pub(crate) advice: Advice,
}

/// What to do where no daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing runs: start one.
    Start,
    /// One answers at the usual address, with another state directory.
    Elsewhere(PathBuf),
    /// One runs and does not answer.
    Patience {
        /// Its process id, where it has written it.
        pid: Option<u32>,
    },
}

impl NobodyThere {
    /// Whether nothing runs and nothing is in the way of a start.
    pub(crate) fn is_at_rest(&self) -> bool {
        match self.advice {
            Advice::Start => true,
            Advice::Elsewhere(_) | Advice::Patience { .. } => false,
        }
    }
}

impl std::fmt::Display for NobodyThere {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tried = self.tried.join("; ");
        writeln!(formatter, "no regrow answers here: {tried}")?;
        match &self.advice {
            Advice::Start => formatter.write_str(
                "start one with `regrow up`, or name its state directory with --state-dir",
            ),
            Advice::Elsewhere(state) => {
                let state = state.display();
                write!(
                    formatter,
                    "one with another state directory runs: name it with --state-dir {state}"
                )
            }
            Advice::Patience { pid: Some(pid) } => write!(
                formatter,
                "it may be starting or ending: try again, and if it stays so, end it with `kill {pid}`"
            ),
            Advice::Patience { pid: None } => {
                formatter.write_str("it may be starting or ending: try again")
            }
        }
    }
}

/// A problem as one sentence with what to do about it.
fn sentence(problem: &Problem) -> String {
    let what = match problem.detail.trim() {
        "" => &problem.title,
        detail => detail,
    };
    match &problem.hint {
        Some(hint) => format!("{what}; {hint}"),
        None => what.to_owned(),
    }
}

/// The answer, if it is a yes; else the problem that it holds.
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = whole(response.into_body()).await?;
    Err(ClientError::Problem(Box::new(problem_of(status, &bytes))))
}

fn problem_of(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        type_uri: "about:blank".to_owned(),
        title: status
            .canonical_reason()
            .unwrap_or("unknown status")
            .to_owned(),
        status: status.as_u16(),
        detail: format!("regrow answered {status} and did not say why"),
        code: "unknown".to_owned(),
        hint: None,
        column: None,
        wait: None,
    })
}

/// What the body of an answer says.
async fn answer<T: DeserializeOwned>(
    path: &str,
    response: Response<Incoming>,
) -> Result<T, ClientError> {
    let bytes = whole(response.into_body()).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer {
        what: format!("the answer to {path} is not what this version expects ({error})"),
    })
}

async fn whole(body: Incoming) -> Result<bytes::Bytes, ClientError> {
    match Limited::new(body, LONGEST_ANSWER).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(ClientError::Answer {
            what: format!("the answer broke off ({error})"),
        }),
    }
}

fn log_path(query: &LogQuery) -> String {
    let tail = query.tail.map(|tail| format!("tail={tail}"));
    let since = query
        .since
        .iter()
        .map(|since| format!("since={}", encoded(since)));
    let agents = query
        .agents
        .iter()
        .map(|agent| format!("agent={}", encoded(agent)));
    let follow = match query.follow {
        Follow::No => None,
        Follow::Yes => Some("follow=1".to_owned()),
    };
    let said: Vec<String> = tail
        .into_iter()
        .chain(since)
        .chain(agents)
        .chain(follow)
        .collect();
    format!("/v1/logs?{}", said.join("&"))
}

/// Text as a part of an address: what is neither a letter nor a digit nor one of `-_.~` is escaped.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => write!(encoded, "%{byte:02X}").expect("a String takes what it is given"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
