//! What the demo says between the drawings.
//!
//! Ports, counts and ids flow in, text flows out. Every command it prints can be pasted as it is.

use std::net::SocketAddr;
use std::path::Path;

use super::jaeger::{Jaeger, Origin, ReadBack};
use super::traffic::Wrote;
use crate::eyes::Look;
use crate::eyes::text::{clean, count};
use crate::life::ports::Addresses;

/// Defaults of surface.md, to say which door had to move.
const STORAGE: u16 = 17271;
const OTLP_GRPC: u16 = 4317;
const OTLP_HTTP: u16 = 4318;
const ADMIN: u16 = 17270;

/// The ports that serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doors {
    pub(super) storage: u16,
    /// The OTLP port, or the storage port, which speaks OTLP too.
    pub(super) otlp_grpc: u16,
    pub(super) otlp_http: Option<u16>,
    pub(super) admin: Option<u16>,
}

impl Doors {
    /// `None` without a storage port.
    pub(super) fn of(addresses: &Addresses) -> Option<Self> {
        let port = |door: &Vec<SocketAddr>| door.first().map(SocketAddr::port);
        let storage = port(&addresses.grpc)?;
        Some(Self {
            storage,
            otlp_grpc: port(&addresses.otlp_grpc).unwrap_or(storage),
            otlp_http: port(&addresses.otlp_http),
            admin: port(&addresses.admin),
        })
    }
}

/// Before anything is stored.
pub(super) fn opening(data_dir: &Path, doors: &Doors, look: Look) -> String {
    let title = format!(
        "Spanlake demo: a small shop, stored in {}",
        clean(&data_dir.display().to_string())
    );
    let mut out = format!("{}\n", look.paint.bold(&title));
    let mut door = |what: &str, address: String, port: u16, usual: u16| {
        let moved = if port == usual { String::new() } else { format!("  ({usual} was taken)") };
        out.push_str(&format!("  {what:<28} {address}{moved}\n"));
    };
    let local = |port| format!("127.0.0.1:{port}");
    door("Jaeger storage v2, OTLP gRPC", local(doors.storage), doors.storage, STORAGE);
    if doors.otlp_grpc != doors.storage {
        door("OTLP gRPC", local(doors.otlp_grpc), doors.otlp_grpc, OTLP_GRPC);
    }
    if let Some(port) = doors.otlp_http {
        door("OTLP HTTP", format!("http://127.0.0.1:{port}"), port, OTLP_HTTP);
    }
    if let Some(port) = doors.admin {
        door("health, metrics", format!("http://127.0.0.1:{port}/metrics"), port, ADMIN);
    }
    out
}

/// After the last hour was sent.
pub(super) fn wrote(wrote: &Wrote, look: Look) -> String {
    let line = format!(
        "\nwrote {} traces, {} spans of the last hour over OTLP in {:.1} s, each Export durable before its answer;\nread back over Jaeger's storage API:",
        count(wrote.traces),
        count(wrote.spans),
        wrote.took.as_secs_f64()
    );
    format!("{}\n", look.paint.dim(&line))
}

/// A heading over a drawing.
pub(super) fn section(title: &str, look: Look) -> String {
    format!("\n{}\n", look.paint.bold(&format!("== {title}")))
}

/// Where Jaeger is and what it reads.
pub(super) fn jaeger(jaeger: &Jaeger, read: &ReadBack, look: Look) -> String {
    let ports = &jaeger.ports;
    let mut out = section("Jaeger in front", look);
    out.push_str(&format!(
        "{} reads {} services and all {} spans of that trace through Spanlake\n",
        clean(&jaeger.version),
        read.services,
        read.spans
    ));
    out.push_str(&format!("  query, UI    http://127.0.0.1:{}\n", ports.query_http));
    out.push_str(&format!(
        "  OTLP gRPC    127.0.0.1:{} (the shop now sends here)\n",
        ports.otlp_grpc
    ));
    out.push_str(&format!("  OTLP HTTP    http://127.0.0.1:{}\n", ports.otlp_http));
    out.push_str(&format!("  config, log  {}\n", clean(&jaeger.config.display().to_string())));
    if jaeger.origin == Origin::BuiltByGo {
        out.push_str(&format!(
            "This Jaeger was built from its Go module, which holds no built UI: its page is a placeholder, its\n\
             API is whole. For the UI put the `jaeger` of a release (https://www.jaegertracing.io/download/) on\n\
             the PATH and start this again. Or copy the config, add to its jaeger_query\n\
             `ui: {{assets_path: DIR}}` with DIR a built jaeger-ui, and run {} --config COPY\n",
            clean(&jaeger.program.display().to_string())
        ));
    }
    out
}

/// What to try, with the ports and the id of this run.
pub(super) fn next(doors: &Doors, failed: &str, jaeger: bool, look: Look) -> String {
    let program = program(std::env::args().next());
    let at = if doors.storage == STORAGE {
        String::new()
    } else {
        format!(" --server 127.0.0.1:{}", doors.storage)
    };
    let mut out = section("Try next, in another terminal", look);
    for command in [
        "services --operations".to_owned(),
        "traces --status error --since 1h".to_owned(),
        "traces --service catalog --min-duration 1s".to_owned(),
        "traces --tag http.response.status_code=402 --limit 5".to_owned(),
        format!("trace {failed} --attributes"),
        format!("trace {failed} --json"),
    ] {
        out.push_str(&format!("  {program} {command}{at}\n"));
    }
    if !jaeger {
        let otlp = doors.otlp_http.unwrap_or(doors.otlp_grpc);
        out.push_str(&format!(
            "  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{otlp} your-own-program\n"
        ));
        out.push_str(&format!(
            "  {program} demo --jaeger    (stop this one first: one server a directory)\n"
        ));
    }
    let alive = "The shop is open: one or two new traces a second. Ctrl-C closes it.";
    out + "\n" + &look.paint.dim(alive) + "\n"
}

/// The program as it was called, fit for a shell.
fn program(called: Option<String>) -> String {
    let called = called.unwrap_or_else(|| "spanlake".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if !called.is_empty() && called.chars().all(plain) {
        return called;
    }
    format!("'{}'", clean(&called).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eyes::Paint;

    const LOOK: Look = Look { columns: 100, paint: Paint::Plain };

    #[test]
    fn a_door_that_moved_is_named() {
        let doors =
            Doors { storage: 17271, otlp_grpc: 40_001, otlp_http: Some(4318), admin: Some(17270) };
        assert_eq!(
            opening(Path::new("./spanlake-demo"), &doors, LOOK),
            "Spanlake demo: a small shop, stored in ./spanlake-demo\n\
             \u{20} Jaeger storage v2, OTLP gRPC 127.0.0.1:17271\n\
             \u{20} OTLP gRPC                    127.0.0.1:40001  (4317 was taken)\n\
             \u{20} OTLP HTTP                    http://127.0.0.1:4318\n\
             \u{20} health, metrics              http://127.0.0.1:17270/metrics\n"
        );
    }

    #[test]
    fn commands_carry_the_real_port() {
        let doors = Doors { storage: 40_000, otlp_grpc: 40_000, otlp_http: None, admin: None };
        let text = next(&doors, "ab12", false, LOOK);
        assert!(text.contains(" trace ab12 --attributes --server 127.0.0.1:40000\n"), "{text}");
        let usual = Doors { storage: 17271, ..doors };
        assert!(!next(&usual, "ab12", false, LOOK).contains("--server"));
    }

    #[test]
    fn the_program_is_quoted_for_a_shell() {
        assert_eq!(program(Some("target/debug/spanlake".into())), "target/debug/spanlake");
        assert_eq!(program(Some("/my dir/it's".into())), "'/my dir/it'\\''s'");
        assert_eq!(program(None), "spanlake");
    }
}
