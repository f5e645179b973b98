//! The data and the model against what is known of the sets without them: the brute-force
//! answers that lie beside them, and properties of copies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message as _;
use spanlake_benches::arrivals::{Arrivals, Lateness};
use spanlake_benches::model::{Model, Question};
use spanlake_benches::scale::Scale;
use spanlake_benches::set::Set;
use spanlake_benches::synthetic;
use spanlake_proto::otlp::collector::ExportTraceServiceRequest;
use spanlake_proto::otlp::trace::Span;

const NOW: u64 = 1_800_000_000_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const LATE: Lateness = Lateness { minutes: 10, days: 1 };

/// A file of the recorded sets. They lie beside the project and may be absent.
fn recorded(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("SPANLAKE_TEST_DATA").map_or_else(beside, PathBuf::from);
    let file = dir.join(name);
    if !file.is_file() {
        eprintln!("not tested: {} is not there", file.display());
        return None;
    }
    Some(file)
}

fn sent(scale: &Scale) -> Vec<Span> {
    let batches = Arrivals::new(scale.clone(), LATE, 512);
    let requests = batches.map(|b| ExportTraceServiceRequest::decode(b.otlp).unwrap());
    let resource_spans = requests.flat_map(|request| request.resource_spans);
    resource_spans.flat_map(|r| r.scope_spans).flat_map(|s| s.spans).collect()
}

fn synthetic_scale(copies: u64) -> Scale {
    let set = synthetic::set(50, 7).unwrap();
    let spans = set.spans();
    Scale::new(Arc::new(set), spans * copies, HOUR, NOW)
}

#[test]
fn the_same_seed_makes_the_same_spans_in_the_promised_shape() {
    let spans = sent(&synthetic_scale(1));
    assert_eq!(spans, sent(&synthetic_scale(1)));
    assert_eq!(spans.len(), 500);
    assert!(spans.iter().all(|span| span.attributes.len() == 11));
    let traces: HashSet<_> = spans.iter().map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 50);
}

#[test]
fn copies_share_no_id_and_keep_their_parents() {
    let spans = sent(&synthetic_scale(4));
    assert_eq!(spans.len(), 2000);
    let ids: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(ids.len(), 2000);
    let span_ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(span_ids.len(), 2000);
    let children = || spans.iter().filter(|span| !span.parent_span_id.is_empty());
    assert_eq!(children().count(), 4 * 50 * 9);
    assert!(children().all(|span| ids.contains(&(&span.trace_id, &span.parent_span_id))));
}

#[test]
fn copies_end_one_stride_apart_and_the_last_one_ends_at_the_end() {
    let scale = synthetic_scale(3);
    let spans = sent(&scale);
    let last = spans.iter().map(|span| span.end_time_unix_nano).max().unwrap();
    assert_eq!(last, NOW);
    let within = |span: &&Span| span.start_time_unix_nano + HOUR > last;
    assert_eq!(spans.iter().filter(within).count(), 500);
    let first = spans.iter().map(|span| span.start_time_unix_nano).min().unwrap();
    assert_eq!(first, scale.range().0);
}

#[test]
fn copies_that_follow_are_others_and_later() {
    let scale = synthetic_scale(3);
    let all = [scale.clone(), scale.after(0, 2), scale.after(2, 1)].map(|scale| sent(&scale));
    assert_eq!(all.each_ref().map(Vec::len), [1500, 1000, 500]);
    let ids: HashSet<_> = all.iter().flatten().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 3000);
    let starts = |spans: &[Span]| -> Vec<u64> {
        let mut starts: Vec<u64> = spans.iter().map(|span| span.start_time_unix_nano).collect();
        starts.sort_unstable();
        starts
    };
    let [first, then, last] = all.each_ref().map(|spans| starts(spans));
    assert!(first.last() < then.first() && then.last() < last.first());
}

/// Matching traces, newest first, by looking at every span that was sent.
fn brute_force(spans: &[Span], question: &Question) -> Vec<Vec<u8>> {
    let mut newest: HashMap<Vec<u8>, u64> = HashMap::new();
    let matching = |span: &&Span| {
        question.operation.as_ref().is_none_or(|name| span.name == *name)
            && question.start_min.is_none_or(|min| span.start_time_unix_nano >= min)
            && question.start_max.is_none_or(|max| span.start_time_unix_nano <= max)
            && question
                .duration_min
                .is_none_or(|min| span.end_time_unix_nano - span.start_time_unix_nano >= min)
    };
    for span in spans.iter().filter(matching) {
        let key = newest.entry(span.trace_id.clone()).or_default();
        *key = span.start_time_unix_nano.max(*key);
    }
    let mut expected: Vec<_> = newest.into_iter().collect();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    expected.into_iter().take(question.limit).map(|(id, _)| id).collect()
}

#[test]
fn a_question_is_answered_as_brute_force_over_what_was_sent_answers_it() {
    // Copies far apart, and copies that overlap.
    for stride in [HOUR, HOUR / 240] {
        let set = Arc::new(synthetic::set(50, 7).unwrap());
        let spans = set.spans() * 9;
        let scale = Scale::new(set, spans, stride, NOW);
        let model = Model::of(scale.clone()).unwrap();
        let spans = sent(&scale);
        let base = Question { limit: 20, ..Question::default() };
        let questions = [
            base.clone(),
            Question { limit: 77, ..base.clone() },
            Question { start_max: Some(NOW - stride * 3 / 2), ..base.clone() },
            Question {
                operation: Some("/operation/3".to_owned()),
                duration_min: Some(30_000_000),
                start_max: Some(NOW - stride / 2),
                ..base.clone()
            },
            Question {
                operation: Some("/operation/1".to_owned()),
                duration_min: Some(49_000_000),
                start_min: Some(NOW - stride * 7),
                start_max: Some(NOW - stride * 2),
                ..base.clone()
            },
            Question { start_min: Some(NOW - stride / 3), limit: 5_000, ..base.clone() },
        ];
        for question in questions {
            let found: Vec<_> = model.newest(&question).iter().map(|f| f.id.to_vec()).collect();
            assert!(!found.is_empty(), "{question:?}");
            assert_eq!(found, brute_force(&spans, &question), "{question:?}");
        }
        let nobody = Question { operation: Some("no such".to_owned()), ..base };
        assert!(model.newest(&nobody).is_empty());
    }
}

#[test]
fn recorded_sets_have_the_answers_that_lie_beside_them() {
    // A debug build would take minutes for the large one.
    let large = (!cfg!(debug_assertions)).then_some("nezha-trainticket-sample");
    for name in ["astronomy", "zipkin"].into_iter().chain(large) {
        let (Some(data), Some(answers)) =
            (recorded(&format!("{name}.otlp.zst")), recorded(&format!("{name}.expected.json")))
        else {
            continue;
        };
        check_recorded(&data, &answers);
    }
}

fn check_recorded(data: &Path, answers: &Path) {
    let answers: serde_json::Value =
        serde_json::from_reader(std::fs::File::open(answers).unwrap()).unwrap();
    let set = Arc::new(Set::load(data).unwrap());
    assert_eq!(answers["spans"], set.spans());
    let model = Model::of(Scale::new(Arc::clone(&set), 1, HOUR, NOW)).unwrap();
    assert_eq!(answers["traces"], model.traces());
    let services = answers["spans_by_service"].as_object().unwrap();
    let expected: HashSet<String> = services.keys().cloned().collect();
    assert_eq!(model.services().into_iter().collect::<HashSet<_>>(), expected);
    let edges = answers["dependencies"].as_array().unwrap();
    let name = |edge: &serde_json::Value, at: usize| edge[at].as_str().unwrap().to_owned();
    let expected: BTreeMap<(String, String), u64> = edges
        .iter()
        .map(|edge| ((name(edge, 0), name(edge, 1)), edge[2].as_u64().unwrap()))
        .collect();
    assert_eq!(model.dependencies(), expected);
    let twice = Model::of(Scale::new(set, answers["spans"].as_u64().unwrap() + 1, HOUR, NOW));
    let doubled = expected.into_iter().map(|(edge, calls)| (edge, 2 * calls)).collect();
    assert_eq!(twice.unwrap().dependencies(), doubled);
}

#[test]
fn request_ids_and_ports_are_drawn_again_and_nothing_else() {
    let Some(data) = recorded("astronomy.otlp.zst") else { return };
    let set = Arc::new(Set::load(&data).unwrap());
    let spans = set.spans();
    let text = |spans: &[Span], key: &str| -> HashSet<String> {
        let all = spans.iter().flat_map(|span| &span.attributes);
        all.filter(|pair| pair.key == key).map(|pair| format!("{:?}", pair.value)).collect()
    };
    let once = sent(&Scale::new(Arc::clone(&set), spans, HOUR, NOW));
    let twice = sent(&Scale::new(set, spans * 2, HOUR, NOW));
    for key in ["guid:x-request-id", "session.id"] {
        assert_eq!(text(&twice, key).len(), 2 * text(&once, key).len(), "{key}");
    }
    for key in ["http.status_code", "rpc.method", "app.product.id", "user_agent"] {
        assert_eq!(text(&twice, key), text(&once, key), "{key}");
    }
    let ports = text(&twice, "net.peer.port").len() as f64;
    assert!(ports > 1.8 * text(&once, "net.peer.port").len() as f64);
}
