//! Compiles idl/ with protox (no protoc needed). Out come, in OUT_DIR: the messages with typed
//! clients; servers and clients whose spans stay raw bytes; and `descriptors.bin` for gRPC reflection.

use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use tonic_prost_build::{Builder, configure};

const FILES: [&str; 5] = [
    "jaeger/storage/v2/trace_storage.proto",
    "jaeger/storage/v2/dependency_storage.proto",
    "jaeger/storage/v2/capabilities.proto",
    "jaeger/expression/v1/expression.proto",
    "opentelemetry/proto/collector/trace/v1/trace_service.proto",
];

/// OTLP's messages are those of the opentelemetry-proto crate, so that every OpenTelemetry
/// library in Rust speaks of the same types.
const OTLP: [(&str, &str); 4] = [
    (".opentelemetry.proto.common.v1", "::opentelemetry_proto::tonic::common::v1"),
    (".opentelemetry.proto.resource.v1", "::opentelemetry_proto::tonic::resource::v1"),
    (".opentelemetry.proto.trace.v1", "::opentelemetry_proto::tonic::trace::v1"),
    (
        ".opentelemetry.proto.collector.trace.v1",
        "::opentelemetry_proto::tonic::collector::trace::v1",
    ),
];

/// The messages a server passes through without decoding them.
const RAW: [&str; 2] = [
    ".opentelemetry.proto.trace.v1.TracesData",
    ".opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=idl");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["idl"])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    otlp(configure().build_server(false).out_dir(directory(&out, "client")?))
        .compile_fds(descriptors.clone())?;

    let raw = otlp(configure().out_dir(directory(&out, "raw")?))
        .codec_path("crate::codec::Codec")
        .extern_path(".jaeger.storage.v2", "crate::jaeger::storage::v2")
        .extern_path(".jaeger.expression.v1", "crate::jaeger::expression::v1");
    RAW.iter()
        .fold(raw, |builder, message| builder.extern_path(*message, "crate::raw::RawMessage"))
        .compile_fds(descriptors)?;
    Ok(())
}

fn otlp(builder: Builder) -> Builder {
    OTLP.iter().fold(builder, |builder, (package, path)| builder.extern_path(*package, *path))
}

fn directory(out: &Path, name: &str) -> std::io::Result<PathBuf> {
    let path = out.join(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}
