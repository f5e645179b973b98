// Writes one trace per transport with the official SDK, and leaves what it sent, as the SDK itself
// encodes it, in OUT/js-TRANSPORT.pb. usage: node write.mjs GRPC_PORT HTTP_PORT OUT
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter as GrpcExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const [grpcPort, httpPort, out] = process.argv.slice(2);
const http = `http://127.0.0.1:${httpPort}/v1/traces`;

// Passes spans on to the real exporter and keeps those that were accepted.
class Witness {
  constructor(inner) {
    this.inner = inner;
    this.accepted = [];
    this.errors = [];
  }
  export(spans, done) {
    this.inner.export(spans, (result) => {
      if (result.code === 0) this.accepted.push(...spans);
      else this.errors.push(result.error);
      done(result);
    });
  }
  forceFlush() {
    return this.inner.forceFlush?.() ?? Promise.resolve();
  }
  shutdown() {
    return this.inner.shutdown();
  }
}

async function write(name, exporter) {
  const witness = new Witness(exporter);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': `js-${name}`, 'service.version': '1.2', ports: [1, 2] }),
    spanProcessors: [new BatchSpanProcessor({ exporter: witness, maxExportBatchSize: 4 })],
  });
  const tracer = provider.getTracer('js-scope', '3.4', { schemaUrl: 'https://opentelemetry.io/schemas/1.30.0' });

  const root = tracer.startSpan('checkout', {
    kind: SpanKind.SERVER,
    attributes: { text: 'łódź 🚀', int: 42, double: 72.5, bool: true, list: ['a', 'b'], empty: '' },
  });
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  for (let i = 0; i < 9; i++) {
    const child = tracer.startSpan(
      `call ${i}`,
      { kind: SpanKind.CLIENT, attributes: { i }, links: [{ context: root.spanContext(), attributes: { why: 'because' } }] },
      inside,
    );
    child.addEvent('sent', { bytes: 100 + i });
    if (i === 3) {
      child.recordException(new Error('no stock'));
      child.setStatus({ code: SpanStatusCode.ERROR, message: 'no stock' });
    }
    child.end();
  }
  root.end();
  await provider.forceFlush();
  await provider.shutdown();
  if (witness.errors.length || witness.accepted.length !== 10) {
    throw new Error(`${name}: ${witness.accepted.length} of 10 spans accepted; ${witness.errors}`);
  }
  writeFileSync(join(out, `js-${name}.pb`), ProtobufTraceSerializer.serializeRequest(witness.accepted));
}

await write('grpc', new GrpcExporter({ url: `http://127.0.0.1:${grpcPort}` }));
await write('http-protobuf', new ProtoExporter({ url: http, compression: 'gzip' }));
await write('http-json', new JsonExporter({ url: http }));
