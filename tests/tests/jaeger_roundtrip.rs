//! The eight scenarios and the 25 captions through a real, unmodified Jaeger 2.13.

use spanlake_tests::e2e::{Jaeger, Oracle, Result, Spanlake, need};
use spanlake_tests::or_skip;

#[test]
fn a_real_jaeger_writes_and_reads_back() -> Result<()> {
    or_skip!(need("a real Jaeger", &["go"]));
    let oracle = Oracle::build()?;
    Jaeger::binary()?;
    let dir = tempfile::tempdir()?;
    let server = Spanlake::start(dir.path(), &[])?;
    let jaeger = Jaeger::start("durable", server.ports.grpc, dir.path())?;
    oracle.run(&[
        "jaeger",
        "--otlp",
        &jaeger.address("otlp_grpc")?,
        "--query-grpc",
        &jaeger.address("query_grpc")?,
        "--query-http",
        &jaeger.address("query_http")?,
    ])?;
    Ok(())
}
