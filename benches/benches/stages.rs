//! The hot stages through the engine's public face, on a fixed made set, with the real log and its
//! real syncs: ingest to ack (the walk is in it), seal, by id, the newest 20 by every filter,
//! dependencies; reads from the head and from segments. `cargo bench -p spanlake-benches`. For figures that count CPU and not the
//! clock, and for a server's, see `spanlake-load`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use spanlake::{AttributeEquals, Cancel, Options, Store, Tenancy, TraceId, TraceQuery};
use spanlake_benches::arrivals::{Arrivals, Lateness};
use spanlake_benches::model::{Model, Question};
use spanlake_benches::scale::Scale;
use spanlake_benches::synthetic;
use tempfile::TempDir;

const TRACES: usize = 2_000;
const COPIES: u64 = 5;
const BATCH: u64 = 512;
const HOUR: u64 = 3_600_000_000_000;
const END: u64 = 1_760_000_000_000_000_000;

struct Data {
    batches: Vec<Bytes>,
    spans: u64,
    model: Model,
}

fn data(copies: u64) -> Data {
    let set = synthetic::set(TRACES, 1).expect("the made set decodes");
    let spans = set.spans() * copies;
    let scale = Scale::new(Arc::new(set), spans, HOUR, END);
    let on_time = Lateness { minutes: 0, days: 0 };
    let batches = Arrivals::new(scale.clone(), on_time, BATCH).map(|batch| batch.otlp).collect();
    Data { batches, spans, model: Model::of(scale).expect("the made set decodes") }
}

/// A store that seals only when told.
fn open() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options { seal_idle: u64::MAX / 2, ..Options::default() };
    let store = Store::open(dir.path(), options).expect("the store opens");
    (dir, store)
}

fn fill(store: &Store, batches: &[Bytes]) {
    for batch in batches {
        store.ingest(&Tenancy::default(), batch.clone()).expect("the batch is stored");
    }
}

/// Writing: one batch with its sync; and a seal of one copy.
fn write(c: &mut Criterion) {
    let data = data(1);
    let mut group = c.benchmark_group("write");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(data.spans));
    group.bench_function("ingest to ack, one batch at a time", |b| {
        b.iter_batched_ref(
            open,
            |(_dir, store)| fill(store, &data.batches),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("ingest to ack, all batches under way", |b| {
        b.iter_batched_ref(
            open,
            |(_dir, store)| submit_all(store, &data.batches),
            BatchSize::PerIteration,
        );
    });
    let filled = || {
        let (dir, store) = open();
        submit_all(&store, &data.batches);
        (dir, store)
    };
    group.bench_function("seal", |b| {
        b.iter_batched_ref(
            filled,
            |(_dir, store)| store.flush().expect("the head is sealed"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// As a server does it: the walks one after the other, the syncs shared.
fn submit_all(store: &Store, batches: &[Bytes]) {
    let (done, outcomes) = std::sync::mpsc::channel();
    for batch in batches {
        let done = done.clone();
        store.submit(&Tenancy::default(), batch.clone(), move |outcome| drop(done.send(outcome)));
    }
    drop(done);
    assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "a batch was refused");
}

/// Reading, from the head and from segments.
fn read(c: &mut Criterion) {
    let data = data(COPIES);
    let (_dir, store) = open();
    submit_all(&store, &data.batches);
    reads(c, "head", &data, &store);
    store.flush().expect("the head is sealed");
    reads(c, "segments", &data, &store);
}

fn reads(c: &mut Criterion, place: &str, data: &Data, store: &Store) {
    let (tenancy, view) = (Tenancy::default(), store.view());
    let mut group = c.benchmark_group(format!("read/{place}"));
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    let mut trace = 0;
    group.bench_function("trace by id", |b| {
        b.iter(|| {
            trace += 1;
            let id = data.model.trace_id(trace % COPIES as u32, trace % TRACES as u32);
            let mut stream = view.get_traces(&tenancy, vec![TraceId(id)], Cancel::new());
            let chunk = stream.next_chunk(1 << 20).expect("the trace is read");
            black_box(chunk.expect("the trace is there"))
        });
    });
    group.bench_function("unknown id", |b| {
        let id = TraceId([7; 16]);
        b.iter(|| {
            let mut stream = view.get_traces(&tenancy, vec![id], Cancel::new());
            assert!(stream.next_chunk(1 << 20).expect("the store is read").is_none());
        });
    });
    group.bench_function("dependencies", |b| {
        b.iter(|| {
            let calls = view.dependencies(&tenancy, None, None, &Cancel::new());
            black_box(calls.expect("the graph is drawn"))
        });
    });
    for (name, query) in questions(&data.model) {
        group.bench_function(BenchmarkId::new("20 newest", name), |b| {
            b.iter(|| {
                let found = view.find_summaries(&tenancy, &query, &Cancel::new());
                black_box(found.expect("the search is answered"))
            });
        });
    }
    group.finish();
}

fn questions(model: &Model) -> Vec<(&'static str, TraceQuery)> {
    let service = model.services().into_iter().next();
    let name = service.clone().unwrap_or_default();
    let operation = model.operations(&name).into_iter().next().map(|(operation, _)| operation);
    let slow = Some(model.duration_p99(&name));
    let attribute = |wanted| {
        let (key, value) = model.text(wanted);
        vec![AttributeEquals { key, value }]
    };
    let base = TraceQuery { limit: 20, ..TraceQuery::default() };
    let of_service = TraceQuery { service: service.clone(), ..base.clone() };
    let rare = model.rare().first().copied().map(attribute).unwrap_or_default();
    let common = model.common().map(attribute).unwrap_or_default();
    let long_ago = END - HOUR;
    // A question nobody can answer wrongly is no benchmark.
    let asked = Question { service, limit: 20, ..Question::default() };
    assert_eq!(model.newest(&asked).len(), 20);
    vec![
        ("by service", of_service.clone()),
        ("by operation", TraceQuery { operation: operation.clone(), ..of_service.clone() }),
        ("by duration", TraceQuery { duration_min: slow, ..of_service.clone() }),
        ("by time", TraceQuery { start_max: Some(long_ago), ..base.clone() }),
        ("by rare attribute", TraceQuery { attributes: rare, ..base.clone() }),
        ("by common attribute", TraceQuery { attributes: common.clone(), ..base }),
        (
            "by all filters",
            TraceQuery {
                operation,
                attributes: common,
                start_max: Some(long_ago),
                duration_min: slow.map(|slow| slow / 2),
                ..of_service
            },
        ),
    ]
}

criterion_group!(stages, write, read);
criterion_main!(stages);
