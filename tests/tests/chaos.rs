//! kill -9 in the middle of everything: a real server, real writers, `KILLS` (default 50) ends at
//! random moments, of ingest, of shutdown, of recovery. After each restart every acknowledged
//! batch is there whole and equal, and no other batch is half there. `SEED=n` repeats a plan
//! (though not the moments).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use spanlake_proto::jaeger::storage::v2::{GetTraceParams, GetTracesRequest};
use spanlake_proto::raw::RawMessage;
use spanlake_tests::model::invent::Universe;
use spanlake_tests::model::spans::{Multiset, multiset, placed};
use spanlake_tests::model::wire::{Node, TRACES};
use spanlake_tests::model::{Dice, Model};
use spanlake_tests::server::{Launch, Server};

/// What the senders know of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// An answer said OK.
    Acked,
    /// No answer came: whole or absent.
    Unsure,
    /// No answer came, and a restart found it whole: it stays.
    Present,
    /// No answer came, and a restart did not find it: it stays away.
    Absent,
}

type Ledger = Arc<Mutex<BTreeMap<u64, Fate>>>;

/// Batch number `n`: its bytes and what a store must hold of it. Its traces are its own.
fn batch(n: u64) -> (Vec<u8>, Model) {
    for attempt in 0.. {
        let mut dice = Dice::new(n << 8 | attempt);
        let mut universe = Universe::plain(&mut dice);
        let parts: Vec<Node> = (0..dice.between(1, 6)).map(|_| universe.batch(&mut dice)).collect();
        let resources = parts.iter().flat_map(|p| p.nodes(1)).map(|r| own_traces(r, n));
        let bytes = Node::default().with_nodes(1, resources).tidy(&TRACES).encode(&TRACES);
        let mut model = Model::default();
        model.export(&bytes).expect("a plain batch is valid");
        if !model.traces.is_empty() {
            return (bytes, model);
        }
    }
    unreachable!("some attempt has a span")
}

fn own_traces(resource: &Node, n: u64) -> Node {
    let scopes = resource.nodes(2).map(|scope| {
        let spans = scope.nodes(2).map(|span| {
            let which = span.bytes(1).iter().fold(0u8, |x, b| x ^ b) % 3 + 1;
            let id = [&n.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, which]].concat();
            span.clone().with_bytes(1, id)
        });
        scope.clone().with_nodes(2, spans)
    });
    resource.clone().with_nodes(2, scopes)
}

fn trace_ids(n: u64) -> impl Iterator<Item = Vec<u8>> {
    (1..=3u8).map(move |which| [&n.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, which]].concat())
}

/// Writes until the server is gone: new batches, now and then one again.
async fn write(server_url: String, ledger: Ledger, next: Arc<AtomicU64>, mut dice: Dice) {
    let Ok(endpoint) = tonic::transport::Endpoint::from_shared(server_url) else { return };
    let Ok(channel) = endpoint.connect().await else { return };
    let mut client = spanlake_proto::raw_client::TraceServiceClient::new(channel);
    loop {
        let n = if dice.percent(15) {
            let ledger = ledger.lock().expect("ledger");
            let known: Vec<u64> = ledger.keys().copied().collect();
            if known.is_empty() { continue } else { *dice.pick(&known) }
        } else {
            next.fetch_add(1, Ordering::SeqCst)
        };
        // A batch that was absent may come into being from here on.
        ledger
            .lock()
            .expect("ledger")
            .entry(n)
            .and_modify(|fate| {
                if *fate == Fate::Absent {
                    *fate = Fate::Unsure;
                }
            })
            .or_insert(Fate::Unsure);
        let (bytes, _) = batch(n);
        match client.export(RawMessage(bytes.into())).await {
            Ok(answer) => {
                let partial = answer.into_inner().partial_success;
                assert!(
                    partial.as_ref().is_none_or(|p| p.rejected_spans == 0),
                    "batch {n}: {partial:?}"
                );
                ledger.lock().expect("ledger").insert(n, Fate::Acked);
            }
            Err(_) => return,
        }
    }
}

/// Holds what the store says of these batches against what the senders know.
async fn verify(server: &Server, ledger: &Ledger, batches: &[u64], when: &str) {
    let mut reader = server.reader().await;
    for some in batches.chunks(50) {
        let query = some
            .iter()
            .flat_map(|n| trace_ids(*n))
            .map(|trace_id| GetTraceParams { trace_id, start_time: None, end_time: None })
            .collect();
        let mut stream = reader
            .get_traces(GetTracesRequest { query })
            .await
            .unwrap_or_else(|e| panic!("{when}: GetTraces: {e}"))
            .into_inner();
        let mut found: BTreeMap<[u8; 16], Multiset> = BTreeMap::new();
        while let Some(chunk) =
            stream.message().await.unwrap_or_else(|e| panic!("{when}: stream: {e}"))
        {
            for (span, copies) in multiset(placed(&chunk.0).expect("OTLP")) {
                *found.entry(span.trace_id()).or_default().entry(span).or_default() += copies;
            }
        }
        for n in some {
            judge(*n, ledger, &found, when);
        }
    }
}

fn judge(n: u64, ledger: &Ledger, found: &BTreeMap<[u8; 16], Multiset>, when: &str) {
    let (_, expected) = batch(n);
    let got: BTreeMap<[u8; 16], Multiset> = trace_ids(n)
        .filter_map(|id| {
            let id: [u8; 16] = id.try_into().expect("16 bytes");
            Some((id, found.get(&id)?.clone()))
        })
        .collect();
    let mut ledger = ledger.lock().expect("ledger");
    let fate = ledger[&n];
    let whole = got == expected.traces;
    assert!(
        whole || got.is_empty(),
        "{when}: batch {n} ({fate:?}) is half there: {} of {} spans",
        got.values().flat_map(|s| s.values()).sum::<u64>(),
        expected.spans().count()
    );
    match (fate, whole) {
        (Fate::Acked | Fate::Present, false) => panic!("{when}: batch {n} ({fate:?}) is lost"),
        (Fate::Absent, true) => panic!("{when}: batch {n} was absent and is back"),
        (Fate::Unsure, true) => drop(ledger.insert(n, Fate::Present)),
        (Fate::Unsure, false) => drop(ledger.insert(n, Fate::Absent)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acked_batch_is_lost_and_none_is_half_there() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (kills, seed) = (number("KILLS", 50), number("SEED", 1));
    let mut dice = Dice::new(seed);
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    let next = Arc::new(AtomicU64::new(1));
    for kill in 0..kills {
        let when = format!("seed {seed}, after kill {kill}");
        if dice.percent(15) {
            // An end in the middle of recovery.
            let mut server = Launch::new(directory.path()).spawn();
            tokio::time::sleep(Duration::from_millis(dice.below(80) as u64)).await;
            server.kill();
        }
        let mut server = Launch::new(directory.path()).start();
        if kill % 10 == 9 {
            // Now and then an orderly end, so that segments lie beside the log.
            server.stop();
            server = Launch::new(directory.path()).start();
        }
        let known: Vec<(u64, Fate)> =
            ledger.lock().expect("ledger").iter().map(|(n, fate)| (*n, *fate)).collect();
        let mut asked: Vec<u64> =
            known.iter().filter(|(_, fate)| *fate == Fate::Unsure).map(|(n, _)| *n).collect();
        asked.extend(known.iter().rev().take(60).map(|(n, _)| *n));
        asked.extend((0..60.min(known.len())).map(|_| dice.pick(&known).0));
        asked.sort_unstable();
        asked.dedup();
        verify(&server, &ledger, &asked, &when).await;

        let url = format!("http://127.0.0.1:{}", server.ports.grpc);
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let dice = Dice::new(dice.roll());
                tokio::spawn(write(url.clone(), ledger.clone(), next.clone(), dice))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(dice.between(20, 700) as u64)).await;
        if dice.percent(25) {
            // An end in the middle of a shutdown, with its seal.
            server.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(dice.below(400) as u64)).await;
        }
        server.kill();
        for writer in writers {
            writer.await.expect("a writer saw something wrong");
        }
    }

    let mut server = Launch::new(directory.path()).start();
    let all: Vec<u64> = ledger.lock().expect("ledger").keys().copied().collect();
    verify(&server, &ledger, &all, "at the end").await;
    // And once more from what an orderly shutdown leaves.
    server.stop();
    let server = Launch::new(directory.path()).start();
    verify(&server, &ledger, &all, "after an orderly shutdown").await;
    let count =
        |wanted: Fate| ledger.lock().expect("ledger").values().filter(|f| **f == wanted).count();
    let (acked, present, absent) = (count(Fate::Acked), count(Fate::Present), count(Fate::Absent));
    println!(
        "{kills} kills: {acked} batches acked; of the others {present} whole, {absent} absent"
    );
    assert!(acked as u64 >= kills, "the writers got somewhere");
    assert!(present + absent > 0 || kills < 10, "some kill hit an Export in flight");
}
