//! Requests to a pool of raw agents.

use regrow::pool::{Pool, PoolRef, ScaleMode, WorkerState};
use regrow::{ChildSpec, Supervisor, System};
use regrow_process::Process;

use super::*;
use crate::gateway::pool::KEY;

/// A pool `w` whose workers listen at these ports, the first at the first.
pub(crate) struct Workers {
    pub(crate) pool: PoolRef<Given>,
    ports: Vec<u16>,
    wait: Duration,
    _system: System,
}

impl Workers {
    pub(crate) async fn at(ports: &[u16], wait: Duration) -> Self {
        let idle = |worker: &regrow::pool::Worker| {
            let run = |context: regrow::TaskContext| async move {
                context.stopped().await;
                Ok::<_, std::convert::Infallible>(())
            };
            ChildSpec::task(worker.number.to_string(), run)
        };
        let count = u32::try_from(ports.len()).unwrap();
        let pool = Pool::of_children("w", idle).size(count..=count);
        let system = System::start(Supervisor::new("root").child(pool))
            .await
            .unwrap();
        let pool = system.pool("root/w").unwrap();
        let workers = Self {
            pool,
            ports: ports.to_vec(),
            wait,
            _system: system,
        };
        let all_ready = || workers.count(WorkerState::Idle) == count;
        until(all_ready).await;
        workers
    }

    pub(crate) fn crew(&self) -> Crew {
        Crew {
            pool: Some(self.pool.clone()),
            wait: self.wait,
        }
    }

    pub(crate) fn leased(&self, lease: &Lease<Given>) -> Leased {
        let number: usize = lease.worker().path().id().parse().unwrap();
        Leased {
            id: format!("w-{number}"),
            at: At::Port(self.ports[number - 1]),
            in_flight: Process::new("w", "true").handle().begin(),
        }
    }

    pub(crate) fn count(&self, state: WorkerState) -> u32 {
        self.pool.status().desk.counts.of(state)
    }
}

pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let soon = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), soon).await.unwrap();
}

impl Agents for Workers {
    async fn standing(&self, _id: &str) -> Option<Standing> {
        None
    }

    fn before(&self, _id: &str) -> Option<Before> {
        None
    }

    fn pool(&self, id: &str) -> Option<Crew> {
        (id == "w").then(|| self.crew())
    }

    fn pool_ids(&self) -> Vec<String> {
        vec!["w".to_owned()]
    }

    async fn given_up(&self, _pool: &str) -> Option<String> {
        None
    }

    fn worker(&self, lease: &Lease<Given>) -> Option<Leased> {
        Some(self.leased(lease))
    }

    fn begin(&self, _id: &str) -> Option<InFlight> {
        None
    }

    fn asked(
        &self,
        route: &'static str,
        method: &'static str,
        parent: Option<TraceContext>,
    ) -> Span {
        crate::daemon::asked(&regrow::Telemetry::default(), route, method, parent)
    }
}

struct OfPool {
    gateway: Gateway<Workers>,
    workers: Arc<Workers>,
}

async fn pool_at(ports: &[u16], wait: Duration) -> OfPool {
    let workers = Arc::new(Workers::at(ports, wait).await);
    let guard = Guard::new(
        "127.0.0.1:8000".parse().unwrap(),
        "token".into(),
        ".".into(),
    );
    OfPool {
        gateway: Gateway::new(Arc::clone(&workers), Arc::new(guard)),
        workers,
    }
}

impl OfPool {
    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let route::Reading::Pool(route) = route::read(&path) else {
            panic!("{path} leads to no pool")
        };
        let peer = Peer::Tcp(SocketAddr::from(([127, 0, 0, 1], 5000)));
        self.gateway.share(peer, route, request).await
    }

    async fn get(&self) -> Response<Body> {
        self.ask(Request::get("/pools/w/x").body(Body::empty()).unwrap())
            .await
    }
}

const WAIT: Duration = Duration::from_millis(100);

/// An agent that has its first request longer than any may wait for a worker, breaks it off once `before` is done, and answers the next.
async fn late(before: impl Future<Output = ()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await;
        let begun = Instant::now();
        until(move || begun.elapsed() > WAIT * 2).await;
        before.await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await;
        second.write_all(OK).await.unwrap();
        // Until it has been read.
        drop(second.read_u8().await);
    });
    port
}

#[tokio::test]
async fn a_question_is_asked_once_more_however_long_a_worker_had_it() {
    let fixture = pool_at(&[late(async {}).await], WAIT).await;
    let answer = fixture.get().await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await, "hi");
    let totals = fixture.workers.pool.status().desk.totals;
    assert_eq!(totals.submitted, 2);
}

#[tokio::test]
async fn a_question_that_gets_no_other_worker_is_told_of_the_one_that_it_had() {
    let (closed, close) = tokio::sync::oneshot::channel::<PoolRef<Given>>();
    let before = async move { close.await.unwrap().drain() };
    let fixture = pool_at(&[late(before).await], WAIT).await;
    drop(closed.send(fixture.workers.pool.clone()));
    let answer = fixture.get().await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(problem(answer).await.code, "agent_connection_broken");
}

/// An agent that answers everybody.
async fn willing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_request(&mut stream).await;
                stream.write_all(OK).await.unwrap();
                drop(stream.read_u8().await);
            });
        }
    });
    port
}

#[tokio::test]
async fn a_worker_that_does_not_listen_is_not_asked_again_where_there_is_another() {
    let fixture = pool_at(&[willing().await, free_port().await], WAIT * 200).await;
    for key in 0..8 {
        let request = Request::get("/pools/w/x").header(KEY, key.to_string());
        let answer = fixture.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK, "key {key}");
        assert_eq!(text(answer).await, "hi");
    }
    for _ in 0..8 {
        let answer = fixture.get().await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(text(answer).await, "hi");
    }
    until(|| fixture.workers.count(WorkerState::Busy) == 0).await;
}

#[tokio::test]
async fn a_pool_that_does_not_listen_is_unreachable() {
    for ports in [
        vec![free_port().await],
        vec![free_port().await, free_port().await, free_port().await],
    ] {
        let fixture = pool_at(&ports, WAIT * 200).await;
        let answer = fixture.get().await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(problem(answer).await.code, "pool_unreachable");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_leaves_nothing_behind() {
    let fixture = Arc::new(pool_at(&[willing().await], WAIT * 200).await);
    let busy = fixture.workers.pool.checkout().await.unwrap();
    let waiting = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move { fixture.get().await }
    });
    let desk = || fixture.workers.pool.status().desk;
    until(|| desk().queued == 1).await;
    waiting.abort();
    until(|| desk().queued == 0).await;
    assert_eq!(desk().totals.cancelled, 1);
    drop(busy);
    assert_eq!(text(fixture.get().await).await, "hi");
    assert_eq!(fixture.workers.pool.status().mode, ScaleMode::Auto);
}
