package main

// receivers.go: one run each through Jaeger's older receivers (Thrift over HTTP and UDP, Zipkin)
// and its sampling endpoint, with the payloads the old clients send (issue 3, point 6).

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/agent"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Receivers are the addresses of a Jaeger's older doors, and the store behind it.
type Receivers struct {
	store                                 *Conn
	thriftHTTP, thriftUDP, zipkin, sample string
}

func receiverChecks(r *Receivers) []Check {
	return []Check{
		{"receivers/thrift HTTP", func(t *T) { r.checkThriftHTTP(t) }},
		{"receivers/thrift UDP compact", func(t *T) { r.checkThriftUDP(t) }},
		{"receivers/zipkin", func(t *T) { r.checkZipkin(t) }},
		{"receivers/sampling from a file", func(t *T) { r.checkSampling(t) }},
	}
}

// thriftBatch is two spans as an old Jaeger client reports them.
func thriftBatch(service string, low int64) *jaeger.Batch {
	text, number, flag, real := "text", int64(42), true, 72.5
	start := time.Now().Add(-time.Minute).UnixMicro()
	tags := []*jaeger.Tag{
		{Key: "s", VType: jaeger.TagType_STRING, VStr: &text},
		{Key: "n", VType: jaeger.TagType_LONG, VLong: &number},
		{Key: "b", VType: jaeger.TagType_BOOL, VBool: &flag},
		{Key: "d", VType: jaeger.TagType_DOUBLE, VDouble: &real},
		{Key: "raw", VType: jaeger.TagType_BINARY, VBinary: []byte{0, 255}},
	}
	return &jaeger.Batch{
		Process: &jaeger.Process{ServiceName: service, Tags: tags[:1]},
		Spans: []*jaeger.Span{
			{TraceIdLow: low, TraceIdHigh: 7, SpanId: 1, OperationName: "parent", Flags: 1, StartTime: start, Duration: 5000, Tags: tags,
				Logs: []*jaeger.Log{{Timestamp: start + 10, Fields: tags[:2]}}},
			{TraceIdLow: low, TraceIdHigh: 7, SpanId: 2, ParentSpanId: 1, OperationName: "child", Flags: 1, StartTime: start + 100, Duration: 300},
		},
	}
}

// expectOld demands the batch's two spans, whatever the receiver made of the rest.
func (r *Receivers) expectOld(t *T, id, service string, wait time.Duration) []Flat {
	deadline := time.Now().Add(wait)
	var spans []Flat
	for {
		got, err := r.store.GetTraces(t.ctx, id)
		t.Must(err, "GetTraces")
		if spans = got.Spans[id]; len(spans) == 2 || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if len(spans) != 2 {
		t.Fatalf("trace %s has %d spans, expected 2", id, len(spans))
	}
	var names []string
	for _, f := range spans {
		names = append(names, f.Span.Name)
		if f.Service() != service {
			t.Errorf("service %q, expected %q", f.Service(), service)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"child", "parent"}) {
		t.Errorf("spans %v", names)
	}
	found, err := r.store.FindTraceIDs(t.ctx, Query{Service: service, Operation: "child", Depth: 10})
	t.Must(err, "FindTraceIDs")
	if len(found) != 1 || hexOf(found[0].TraceID) != id {
		t.Errorf("search by service and operation: %v", found)
	}
	return spans
}

func expectTags(t *T, spans []Flat) {
	for _, f := range spans {
		if f.Span.Name != "parent" {
			if !bytes.Equal(f.Span.ParentSpanId, spanID(1)) {
				t.Errorf("the child's parent is %x", f.Span.ParentSpanId)
			}
			continue
		}
		for _, want := range []string{"text", "42", "true", "72.5"} {
			if !slices.ContainsFunc([]string{"s", "n", "b", "d"}, func(k string) bool { return hasAttr(f.Span.Attributes, k, want) }) {
				t.Errorf("no tag with value %s in %v", want, f.Span.Attributes)
			}
		}
		if len(f.Span.Events) != 1 || f.Span.EndTimeUnixNano-f.Span.StartTimeUnixNano != 5_000_000 {
			t.Errorf("%d events, %d ns", len(f.Span.Events), f.Span.EndTimeUnixNano-f.Span.StartTimeUnixNano)
		}
	}
}

func (r *Receivers) checkThriftHTTP(t *T) {
	buffer := thrift.NewTMemoryBuffer()
	protocol := thrift.NewTBinaryProtocolConf(buffer, nil)
	t.Must(thriftBatch("thrift-http-service", 0x14268).Write(t.ctx, protocol), "writing thrift")
	code, body, err := post(t.ctx, "http://"+r.thriftHTTP+"/api/traces?format=jaeger.thrift", "application/x-thrift", buffer.Bytes())
	t.Must(err, "post")
	if code/100 != 2 {
		t.Fatalf("HTTP %d %s", code, body)
	}
	expectTags(t, r.expectOld(t, hexOf(traceID(7, 0x14268)), "thrift-http-service", 0))
}

func (r *Receivers) checkThriftUDP(t *T) {
	conn, err := net.Dial("udp", r.thriftUDP)
	t.Must(err, "dial")
	defer conn.Close()
	buffer := thrift.NewTMemoryBuffer()
	client := agent.NewAgentClientFactory(buffer, thrift.NewTCompactProtocolFactoryConf(nil))
	t.Must(client.EmitBatch(t.ctx, thriftBatch("thrift-udp-service", 0x6831)), "writing thrift")
	_, err = conn.Write(buffer.Bytes())
	t.Must(err, "sending")
	// A datagram has no answer, so this one is waited for.
	expectTags(t, r.expectOld(t, hexOf(traceID(7, 0x6831)), "thrift-udp-service", 20*time.Second))
}

func (r *Receivers) checkZipkin(t *T) {
	start := time.Now().Add(-time.Minute).UnixMicro()
	spans := []map[string]any{
		{"traceId": hexOf(traceID(7, 0x9411)), "id": hexOf(spanID(1)), "name": "parent", "kind": "SERVER", "timestamp": start, "duration": 5000,
			"localEndpoint": map[string]any{"serviceName": "zipkin-service", "ipv4": "10.0.0.1"},
			"tags":          map[string]string{"http.path": "/x", "error": "yes"},
			"annotations":   []map[string]any{{"timestamp": start + 5, "value": "happened"}}},
		{"traceId": hexOf(traceID(7, 0x9411)), "id": hexOf(spanID(2)), "parentId": hexOf(spanID(1)), "name": "child", "kind": "CLIENT",
			"timestamp": start + 100, "duration": 300, "localEndpoint": map[string]any{"serviceName": "zipkin-service"}},
	}
	body, err := json.Marshal(spans)
	t.Must(err, "encoding")
	code, answer, err := post(t.ctx, "http://"+r.zipkin+"/api/v2/spans", "application/json", body)
	t.Must(err, "post")
	if code/100 != 2 {
		t.Fatalf("HTTP %d %s", code, answer)
	}
	for _, f := range r.expectOld(t, hexOf(traceID(7, 0x9411)), "zipkin-service", 0) {
		want := map[string]trace.Span_SpanKind{"parent": trace.Span_SPAN_KIND_SERVER, "child": trace.Span_SPAN_KIND_CLIENT}[f.Span.Name]
		if f.Span.Kind != want {
			t.Errorf("%s is of kind %s", f.Span.Name, f.Span.Kind)
		}
		if f.Span.Name == "parent" && (!hasAttr(f.Span.Attributes, "http.path", "/x") || len(f.Span.Events) != 1 || f.Span.Events[0].Name != "happened") {
			t.Errorf("parent lost tags or annotations: %v", f.Span)
		}
	}
}

func (r *Receivers) checkSampling(t *T) {
	ask := func(service string) (answer struct {
		StrategyType  json.RawMessage
		Probabilistic struct{ SamplingRate float64 }         `json:"probabilisticSampling"`
		RateLimiting  struct{ MaxTracesPerSecond float64 }   `json:"rateLimitingSampling"`
		Operations    struct{ PerOperationStrategies []any } `json:"operationSampling"`
	}) {
		resp, err := http.Get("http://" + r.sample + "/sampling?service=" + service)
		t.Must(err, "asking for a strategy")
		defer resp.Body.Close()
		t.Must(json.NewDecoder(resp.Body).Decode(&answer), "decoding")
		return answer
	}
	if s := ask("sampled-service"); s.Probabilistic.SamplingRate != 0.25 || len(s.Operations.PerOperationStrategies) != 1 {
		t.Errorf("strategy of sampled-service: %+v", s)
	}
	if s := ask("any-other"); s.RateLimiting.MaxTracesPerSecond != 7 {
		t.Errorf("default strategy: %+v", s)
	}
}

func post(ctx context.Context, url, contentType string, body []byte) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("posting to %s: %w", url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}
