//! A client that stops reading in the middle of a stream blocks no other request and no engine
//! thread: with 64 of them hanging, everybody else is answered in time, no thread is lost, memory
//! stays, and the sleepers get the rest, equal, when they wake.

use std::time::{Duration, Instant};

use spanlake::{Cancel, Options, Store, Tenancy, TraceId};
use spanlake_proto::jaeger::storage::v2::{
    FindTracesRequest, GetServicesRequest, GetTraceParams, GetTracesRequest, TraceQueryParameters,
};
use spanlake_proto::raw::RawMessage;
use spanlake_tests::model::check::{compare_sets, drain};
use spanlake_tests::model::files::MemFiles;
use spanlake_tests::model::invent::pair;
use spanlake_tests::model::spans::{Multiset, multiset, placed};
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::server::{Launch, Server};
use tonic::Streaming;

const SLEEPERS: usize = 64;
const BIG: [u8; 16] = [0xb1; 16];
/// Far above what a healthy answer takes, far below a sleeper's patience.
const BOUND: Duration = Duration::from_secs(5);

fn batch(trace: [u8; 16], first: u32, spans: u32, padding: usize) -> Vec<u8> {
    let text = Node::default().with_bytes(1, vec![b'x'; padding]);
    let spans = (first..first + spans).map(|n| {
        Node::default()
            .with_bytes(1, trace)
            .with_bytes(2, (u64::from(n) + 1).to_be_bytes())
            .with_bytes(5, format!("step {}", n % 17))
            .with_number(7, 1_771_027_200_000_000_000 + u64::from(n) * 1000)
            .with_nodes(9, [pair(b"padding", text.clone())])
    });
    let scope = Node::default().with_nodes(2, spans);
    let service = pair(b"service.name", Node::default().with_bytes(1, "sleepy"));
    let resource = Node::default()
        .with_node(1, Node::default().with_nodes(1, [service]))
        .with_nodes(2, [scope]);
    Node::default().with_nodes(1, [resource]).encode(&TRACES)
}

fn ask(trace: [u8; 16]) -> GetTracesRequest {
    let one = GetTraceParams { trace_id: trace.to_vec(), start_time: None, end_time: None };
    GetTracesRequest { query: vec![one] }
}

/// Everything but sleeping: each kind of request, timed.
async fn everybody_else(server: &Server, round: u32) {
    let mut reader = server.reader().await;
    let mut writer = server.writer().await;
    let timed = async |what: &str, work: &mut dyn AsyncWork| {
        let start = Instant::now();
        let done = tokio::time::timeout(BOUND, work.run()).await;
        assert!(done.is_ok(), "round {round}: {what} has no answer after {:?}", start.elapsed());
    };
    let small = [1; 16];
    timed(
        "Export",
        &mut Work(async || {
            let bytes = batch(small, round, 1, 10);
            writer.export(RawMessage(bytes.into())).await.expect("Export");
        }),
    )
    .await;
    timed(
        "GetServices",
        &mut Work(async || {
            let answer = reader.get_services(GetServicesRequest {}).await.expect("GetServices");
            assert_eq!(answer.into_inner().services, ["sleepy"]);
        }),
    )
    .await;
    timed(
        "GetTraces",
        &mut Work(async || {
            let stream = reader.get_traces(ask(small)).await.expect("GetTraces").into_inner();
            assert_eq!(read_rest(stream).await.values().sum::<u64>(), u64::from(round) + 1);
        }),
    )
    .await;
    timed(
        "FindTraces",
        &mut Work(async || {
            let query = TraceQueryParameters {
                service_name: "sleepy".to_owned(),
                operation_name: "step 0".to_owned(),
                search_depth: 5,
                ..TraceQueryParameters::default()
            };
            let request = FindTracesRequest { query: Some(query) };
            let mut stream = reader.find_traces(request).await.expect("FindTraces").into_inner();
            assert!(stream.message().await.expect("a chunk").is_some());
        }),
    )
    .await;
    assert_eq!(server.admin("GET", "/healthz").expect("healthz").status, 200, "round {round}");
}

/// A little help for `timed`, which takes closures of different futures.
trait AsyncWork {
    fn run(&mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;
}

struct Work<F>(F);

impl<F: AsyncFnMut()> AsyncWork for Work<F> {
    fn run(&mut self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin((self.0)())
    }
}

async fn read_rest(mut stream: Streaming<RawMessage>) -> Multiset {
    let mut spans = Vec::new();
    while let Some(chunk) = stream.message().await.expect("the stream goes on") {
        spans.extend(placed(&chunk.0).expect("OTLP"));
    }
    multiset(spans)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_sleeping_readers_block_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = Launch::new(directory.path()).start();
    let mut writer = server.writer().await;
    // 40 MB: no buffer between the engine and a sleeper holds all of it.
    let mut expected = Vec::new();
    for part in 0..20 {
        let bytes = batch(BIG, part * 2000, 2000, 1000);
        expected.extend(placed(&bytes).expect("OTLP"));
        writer.export(RawMessage(bytes.into())).await.expect("Export");
    }
    let expected = multiset(expected);
    everybody_else(&server, 0).await;
    let (threads, memory) = (server.threads(), server.resident(false));

    let mut sleepers = Vec::new();
    for _ in 0..SLEEPERS {
        let mut reader = server.reader().await;
        let mut stream = reader.get_traces(ask(BIG)).await.expect("GetTraces").into_inner();
        let first = stream.message().await.expect("a first chunk").expect("a first chunk");
        let spans = placed(&first.0).expect("OTLP");
        sleepers.push((reader, stream, spans));
    }
    // Time for the server to run into every closed window.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 1..6 {
        everybody_else(&server, round).await;
    }
    let (more_threads, more_memory) = (server.threads(), server.resident(false));
    println!(
        "{SLEEPERS} sleepers: threads {threads} -> {more_threads}, resident {} -> {} MiB",
        memory >> 20,
        more_memory >> 20
    );
    // Blocking threads come and go with requests, but none per sleeper.
    assert!(more_threads < threads + SLEEPERS / 4, "threads went from {threads} to {more_threads}");
    let each = more_memory.saturating_sub(memory) / SLEEPERS as u64;
    assert!(each < 8 << 20, "a sleeper holds {} MiB", each >> 20);

    // Some leave in their sleep; one gets the rest and finds it equal.
    let (_reader, stream, first) = sleepers.pop().expect("a sleeper");
    drop(sleepers);
    let mut whole = read_rest(stream).await;
    for (span, n) in multiset(first) {
        *whole.entry(span).or_default() += n;
    }
    compare_sets(&whole, &expected, "the sleeper that woke");
    everybody_else(&server, 6).await;
    server.stop();
}

/// A shutdown does not wait for sleepers for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_does_not_hold_up_a_shutdown() {
    let directory = tempfile::tempdir().expect("a directory");
    let launch = Launch::new(directory.path()).flag("--shutdown.timeout", "3s");
    let mut server = launch.start();
    let mut writer = server.writer().await;
    for part in 0..10 {
        let bytes = batch(BIG, part * 2000, 2000, 1000);
        writer.export(RawMessage(bytes.into())).await.expect("Export");
    }
    drop(writer);
    let mut reader = server.reader().await;
    let mut stream = reader.get_traces(ask(BIG)).await.expect("GetTraces").into_inner();
    stream.message().await.expect("a first chunk");
    let start = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    // wait() polls, so it must not hold the runtime's threads.
    let (status, server) =
        tokio::task::spawn_blocking(move || (server.wait(Duration::from_secs(20)), server))
            .await
            .expect("waiting");
    let took = start.elapsed();
    assert!(status.is_some_and(|s| s.success()), "after {took:?}: {status:?}\n{}", server.words());
    assert!(took < Duration::from_secs(12), "the shutdown took {took:?} with a timeout of 3 s");
}

/// The same below the server: streams nobody pulls hold up neither ingest nor a flush nor a purge,
/// and go on from the state they saw.
#[test]
fn streams_that_nobody_pulls_block_no_engine_thread() {
    let files = MemFiles::new();
    let store = Store::open_in(files.world(1), Options::default()).expect("open");
    let tenancy = Tenancy::default();
    let bytes = batch(BIG, 0, 5000, 100);
    let expected = multiset(placed(&bytes).expect("OTLP"));
    store.ingest(&tenancy, bytes.into()).expect("ingest");
    let mut streams: Vec<_> = (0..SLEEPERS)
        .map(|_| store.view().get_traces(&tenancy, vec![TraceId(BIG)], Cancel::new()))
        .collect();
    let firsts: Vec<_> = streams
        .iter_mut()
        .map(|s| s.next_chunk(10_000).expect("a chunk").expect("a chunk"))
        .collect();
    let start = Instant::now();
    for part in 1..20 {
        store.ingest(&tenancy, batch(BIG, part * 5000, 100, 100).into()).expect("ingest");
        store.flush().expect("flush");
    }
    store.purge().expect("purge");
    assert!(start.elapsed() < Duration::from_secs(30), "took {:?}", start.elapsed());
    for (mut stream, first) in streams.into_iter().zip(firsts) {
        let mut spans = placed(&first.otlp).expect("OTLP");
        while let Some(chunk) = stream.next_chunk(1 << 20).expect("a chunk") {
            spans.extend(placed(&chunk.otlp).expect("OTLP"));
        }
        compare_sets(&multiset(spans), &expected, "what the stream saw when it began");
    }
    let now = store.view().get_traces(&tenancy, vec![TraceId(BIG)], Cancel::new());
    assert!(drain(now, 1000, "after the purge").is_empty());
}
