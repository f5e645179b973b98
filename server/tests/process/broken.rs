//! A log that cannot be written any more: the store reads on, says so everywhere, and a restart
//! brings everything back that was acknowledged.

use std::process::Command;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Doors, Running, flags, get, http, run, spanlake, temp};
use crate::spans::{export, metric, trace_id};

/// Files may not grow past 256 KiB, and the signal that would tell is ignored: the write that
/// crosses the limit fails half-way with EFBIG, which no freed space ever mends.
const LIMITED: &str = "trap '' XFSZ && ulimit -f 512 && exec \"$@\"";

#[test]
fn a_broken_log_is_shown_everywhere_and_a_restart_mends_it() {
    let dir = temp();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", LIMITED, "sh", env!("CARGO_BIN_EXE_spanlake")]).args(flags(dir.path()));
    command.env_clear().current_dir("/");
    let mut server = Running::start(command);
    let doors = server.started();
    assert_eq!(health(&doors), [ServingStatus::Serving; 3]);

    let bulk = "x".repeat(60_000);
    let mut accepted = 0;
    loop {
        let body = export(accepted, &bulk);
        match http(doors.otlp_http, "POST", "/v1/traces", body.as_bytes(), "application/json") {
            (200, _) => accepted += 1,
            (503, _) => break,
            answer => panic!("{answer:?}"),
        }
        assert!(accepted < 100, "a file grew past its limit");
    }
    assert!(accepted > 0);

    assert!(server.line("cannot be written").contains("ERROR"));
    assert_eq!(get(doors.admin, "/healthz").0, 200);
    assert_eq!(get(doors.admin, "/readyz").0, 200);
    assert_eq!(get(doors.admin, "/readyz?check=write").0, 503);
    assert_eq!(metric(doors.admin, "spanlake_write_available "), 0.0);
    assert!(metric(doors.admin, "spanlake_wal_fsync_errors_total ") >= 1.0);
    let [whole, reader, writer] = health(&doors);
    assert_eq!((whole, reader), (ServingStatus::Serving, ServingStatus::Serving));
    assert_eq!(writer, ServingStatus::NotServing);
    assert_all_there(&doors, accepted);
    drop(server);

    let mut server = Running::serve(dir.path(), &[]);
    let doors = server.started();
    assert_eq!(get(doors.admin, "/readyz?check=write").0, 200);
    assert_all_there(&doors, accepted);
}

fn assert_all_there(doors: &Doors, accepted: u64) {
    let mut command = spanlake(&["traces", "--limit", "1000", "--json"]);
    command.args(["--server", &format!("http://{}", doors.grpc)]);
    let seen = run(command);
    assert_eq!(seen.code, Some(0), "{}", seen.stderr);
    for n in 0..accepted {
        assert!(seen.stdout.contains(&trace_id(n)), "{n} of {accepted} is missing");
    }
}

/// gRPC health of the whole, of Jaeger's reader and of OTLP.
fn health(doors: &Doors) -> [ServingStatus; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let url = format!("http://{}", doors.grpc);
        let endpoint = tonic::transport::Endpoint::from_shared(url).expect("is a URL");
        let mut client = HealthClient::new(endpoint.connect().await.expect("connects"));
        let mut found = [ServingStatus::Unknown; 3];
        let names = [
            "",
            "jaeger.storage.v2.TraceReader",
            "opentelemetry.proto.collector.trace.v1.TraceService",
        ];
        for (name, slot) in names.into_iter().zip(&mut found) {
            let request = HealthCheckRequest { service: name.to_owned() };
            *slot = client.check(request).await.expect(name).into_inner().status();
        }
        found
    })
}
