//! The eight scenarios and the 25 captions through a real, unmodified Jaeger 2.13, with the
//! configurations of the documentation as they stand there.

use spanlake_tests::e2e::{Config, Jaeger, Oracle, Result, Spanlake, need};
use spanlake_tests::or_skip;

#[test]
fn a_real_jaeger_writes_and_reads_back() -> Result<()> {
    through_jaeger("docs/jaeger.md", "")
}

#[test]
fn the_readmes_configuration_works_as_pasted() -> Result<()> {
    through_jaeger("README.md", "^jaeger/(GetServices|GetTrace)$")
}

fn through_jaeger(document: &'static str, only: &str) -> Result<()> {
    or_skip!(need("a real Jaeger", &["go"]));
    let oracle = Oracle::build()?;
    Jaeger::binary()?;
    let dir = tempfile::tempdir()?;
    let server = Spanlake::start(dir.path(), &[])?;
    let configs = [Config::Documented(document, "wait_for_result"), Config::Tests("around")];
    let jaeger = Jaeger::start(&configs, server.ports.grpc, dir.path())?;
    oracle.run(&[
        "jaeger",
        "--otlp",
        &jaeger.address("otlp_grpc")?,
        "--query-grpc",
        &jaeger.address("query_grpc")?,
        "--query-http",
        &jaeger.address("query_http")?,
        "--only",
        only,
    ])?;
    Ok(())
}
