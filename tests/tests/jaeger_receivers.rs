//! One run each through Jaeger's older receivers and its sampling endpoint, with the configuration
//! of docs/jaeger.md as it stands there.

use spanlake_tests::e2e::{Config, Jaeger, Oracle, Result, Spanlake, need};
use spanlake_tests::or_skip;

#[test]
fn thrift_zipkin_and_sampling_work_in_front_of_spanlake() -> Result<()> {
    or_skip!(need("a real Jaeger", &["go"]));
    let oracle = Oracle::build()?;
    Jaeger::binary()?;
    let dir = tempfile::tempdir()?;
    let server = Spanlake::start(dir.path(), &[])?;
    let configs = [
        Config::Documented("docs/jaeger.md", "wait_for_result"),
        Config::Documented("docs/jaeger.md", "thrift_http"),
        Config::Tests("around"),
        Config::Tests("around-receivers"),
    ];
    let jaeger = Jaeger::start(&configs, server.ports.grpc, dir.path())?;
    oracle.run(&[
        "receivers",
        "--grpc",
        &server.grpc(),
        "--thrift-http",
        &jaeger.address("thrift_http")?,
        "--thrift-udp",
        &jaeger.address("thrift_udp")?,
        "--zipkin",
        &jaeger.address("zipkin")?,
        "--sampling",
        &jaeger.address("sampling_http")?,
    ])?;
    Ok(())
}
