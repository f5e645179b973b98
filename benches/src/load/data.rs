//! Which spans: the set, its copies and their times; and a note beside a data directory of what
//! was sent into it, so that a later run can ask about it without sending it again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use spanlake_benches::scale::Scale;
use spanlake_benches::set::Set;
use spanlake_benches::{Result, synthetic};

use crate::arguments::Arguments;
use crate::live;

/// The made set.
const MADE: &str = "clickhouse";
/// Traces of the made set, so that a copy is longer than a row group or any dictionary's reach.
const MADE_TRACES_MAX: u64 = 20_000;
const MADE_SPANS_A_TRACE: u64 = 10;
const MINUTE: u64 = 60_000_000_000;

/// Spans that are known.
#[derive(Debug)]
pub(crate) struct Known {
    /// The copies to send, or those that were sent.
    pub(crate) scale: Scale,
    /// Later copies of which some spans lie there too.
    pub(crate) later: u32,
}

/// What is to be sent, or was.
pub(crate) fn known(arguments: &Arguments) -> Result<Known> {
    if let (true, Some(dir)) = (arguments.ask_only, &arguments.data_dir) {
        return remembered(dir, arguments);
    }
    let set = Arc::new(set(&arguments.set, arguments.spans, arguments.seed)?);
    let window = (arguments.window_hours * 3600.0 * 1e9) as u64;
    let copies = arguments.spans.div_ceil(set.spans()).max(1);
    let stride = window / copies;
    // A minute ago, and before what flows in later, so that no clock finds spans in the future.
    let later = match live::copies(set.spans(), arguments) {
        0 => 0,
        copies => stride * (copies - 1) + set.length() + 1,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let scale = Scale::new(set, arguments.spans, stride, now - MINUTE - later);
    Ok(Known { scale, later: 0 })
}

fn set(name: &str, spans: u64, seed: u64) -> Result<Set> {
    if name == MADE {
        let traces = (spans / MADE_SPANS_A_TRACE).clamp(1, MADE_TRACES_MAX);
        return synthetic::set(traces as usize, seed);
    }
    let path = PathBuf::from(name);
    if path.is_file() {
        return Set::load(&path);
    }
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let dir = std::env::var_os("SPANLAKE_TEST_DATA").map_or_else(beside, PathBuf::from);
    Set::load(&dir.join(format!("{name}.otlp.zst")))
}

fn note(data_dir: &Path) -> PathBuf {
    let mut name = data_dir.as_os_str().to_owned();
    name.push(".load.json");
    name.into()
}

/// Notes what a data directory holds.
pub(crate) fn remember(data_dir: &Path, known: &Known, arguments: &Arguments) -> Result<()> {
    let scale = &known.scale;
    let note_of = json!({
        "set": arguments.set, "seed": arguments.seed, "set_spans": scale.set().spans(),
        "spans": scale.spans(), "stride": scale.stride(), "end": scale.range().1,
        "later": known.later,
    });
    Ok(std::fs::write(note(data_dir), format!("{note_of:#}\n"))?)
}

fn remembered(data_dir: &Path, arguments: &Arguments) -> Result<Known> {
    let path = note(data_dir);
    let text = std::fs::read_to_string(&path)
        .map_err(|e| format!("{}: {e}; it is written by a run with --data-dir", path.display()))?;
    let note: Value = serde_json::from_str(&text)?;
    let number = |key: &str| note[key].as_u64().ok_or(format!("{}: no {key}", path.display()));
    if note["set"] != arguments.set.as_str() || note["seed"] != arguments.seed {
        return Err(format!(
            "{}: sent were {} of seed {}",
            path.display(),
            note["set"],
            note["seed"]
        )
        .into());
    }
    let set = Arc::new(set(&arguments.set, number("set_spans")?, arguments.seed)?);
    let scale = Scale::new(set, number("spans")?, number("stride")?, number("end")?);
    Ok(Known { scale, later: u32::try_from(number("later")?)? })
}
