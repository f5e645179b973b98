"""Writes one trace per transport with the official SDK, and leaves what it sent, as the SDK itself
encodes it, in OUT/python-TRANSPORT.pb. usage: write.py GRPC_PORT HTTP_PORT OUT"""

import sys
from pathlib import Path

import grpc
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context


class Witness(SpanExporter):
    """Passes spans on to the real exporter and keeps those that were accepted."""

    def __init__(self, inner):
        self.inner = inner
        self.accepted = []

    def export(self, spans):
        result = self.inner.export(spans)
        if result == SpanExportResult.SUCCESS:
            self.accepted.extend(spans)
        return result

    def shutdown(self):
        self.inner.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.inner.force_flush(timeout_millis)


def write(name, exporter, out):
    witness = Witness(exporter)
    resource = Resource.create({"service.name": f"python-{name}", "service.version": "1.2", "ports": [1, 2]})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(witness, max_export_batch_size=4))
    tracer = provider.get_tracer("python-scope", "3.4", schema_url="https://opentelemetry.io/schemas/1.30.0",
                                 attributes={"scope.key": 7})
    values = {"text": "łódź 🚀", "int": 2**62, "double": 72.5, "bool": True, "list": ["a", "b"], "empty": "", "whole": 72.0}
    root = tracer.start_span("checkout", kind=SpanKind.SERVER, attributes=values)
    inside = set_span_in_context(root)
    for i in range(9):
        link = Link(root.get_span_context(), {"why": "because"})
        child = tracer.start_span(f"call {i}", inside, SpanKind.CLIENT, {"i": i}, [link])
        child.add_event("sent", {"bytes": 100 + i})
        if i == 3:
            child.record_exception(ValueError("no stock"))
            child.set_status(Status(StatusCode.ERROR, "no stock"))
        child.end()
    root.end()
    provider.force_flush()
    provider.shutdown()
    if len(witness.accepted) != 10:
        sys.exit(f"{name}: {len(witness.accepted)} of 10 spans accepted")
    (out / f"python-{name}.pb").write_bytes(encode_spans(witness.accepted).SerializeToString())


def main():
    grpc_port, http_port, out = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    write("grpc", GrpcExporter(f"127.0.0.1:{grpc_port}", insecure=True), out)
    write("grpc-gzip", GrpcExporter(f"127.0.0.1:{grpc_port}", insecure=True, compression=grpc.Compression.Gzip), out)
    url = f"http://127.0.0.1:{http_port}/v1/traces"
    write("http", HttpExporter(url), out)
    write("http-gzip", HttpExporter(url, compression=Compression.Gzip), out)


main()
