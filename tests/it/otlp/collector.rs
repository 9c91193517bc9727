//! A collector for tests: HTTP by hand, bodies by the official protobufs.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a request comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All is taken.
    Taken,
    /// All but so many log records is taken.
    TakenBut(i64),
    /// Nothing is, with this status.
    Refused(&'static str),
    /// There is no answer.
    Never,
}

/// All that was taken, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) heads: Vec<String>,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) scopes: Vec<InstrumentationScope>,
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
    /// Report by report.
    pub(crate) metrics: Vec<Vec<Metric>>,
}

/// Listens until it is dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
    answered: mpsc::UnboundedReceiver<()>,
    server: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Collector {
    /// Answers the n-th request, to this path, as it is told.
    pub(crate) async fn start(
        answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (news, answered) = mpsc::unbounded_channel();
        let received = Arc::new(Mutex::new(Received::default()));
        let (kept, requests) = (Arc::clone(&received), Arc::new(Mutex::new(0)));
        let next = Arc::new(move |path: &str| {
            let mut requests = requests.lock().unwrap();
            *requests += 1;
            answer(*requests - 1, path)
        });
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, next, news) = (Arc::clone(&kept), Arc::clone(&next), news.clone());
                tokio::spawn(async move {
                    // A connection that breaks is the client's to notice.
                    drop(serve(stream, &kept, &*next, &news).await);
                });
            }
        });
        Self {
            url,
            received,
            answered,
            server,
        }
    }

    /// Waits until one more request is answered.
    pub(crate) async fn next(&mut self) {
        self.answered.recv().await.unwrap();
    }

    pub(crate) fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    received: &Mutex<Received>,
    next: &(dyn Fn(&str) -> Answer + Send + Sync),
    news: &mpsc::UnboundedSender<()>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let path = head
            .strip_prefix("post ")
            .and_then(|rest| rest.split(' ').next());
        let path = path.unwrap_or_else(|| panic!("not a POST: {head}"));
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let answer = next(path);
        if matches!(answer, Answer::Taken | Answer::TakenBut(_)) {
            received.lock().unwrap().take(path, &head, body);
        }
        let text = match answer {
            Answer::Never => return std::future::pending().await,
            Answer::Taken => respond("200 OK", &[]),
            Answer::TakenBut(rejected_log_records) => {
                let answer = ExportLogsServiceResponse {
                    partial_success: Some(ExportLogsPartialSuccess {
                        rejected_log_records,
                        error_message: "too old".to_owned(),
                    }),
                };
                respond("200 OK", &answer.encode_to_vec())
            }
            Answer::Refused(status) => respond(status, &[]),
        };
        stream.write_all(&text).await?;
        // Whoever counted the answers may have gone.
        news.send(()).ok();
    }
}

fn respond(status: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

impl Received {
    fn take(&mut self, path: &str, head: &str, body: Vec<u8>) {
        match path {
            "/v1/traces" => {
                let request = ExportTraceServiceRequest::decode(&*body).unwrap();
                for group in request.resource_spans {
                    self.resources.extend(group.resource);
                    for scoped in group.scope_spans {
                        self.scopes.extend(scoped.scope);
                        self.spans.extend(scoped.spans);
                    }
                }
            }
            "/v1/logs" => {
                let request = ExportLogsServiceRequest::decode(&*body).unwrap();
                for group in request.resource_logs {
                    self.resources.extend(group.resource);
                    for scoped in group.scope_logs {
                        self.scopes.extend(scoped.scope);
                        self.logs.extend(scoped.log_records);
                    }
                }
            }
            "/v1/metrics" => {
                let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
                for group in request.resource_metrics {
                    self.resources.extend(group.resource);
                    for scoped in group.scope_metrics {
                        self.scopes.extend(scoped.scope);
                        self.metrics.push(scoped.metrics);
                    }
                }
            }
            other => panic!("no such path: {other}"),
        }
        self.heads.push(head.to_owned());
        self.bodies.push(body);
    }
}
