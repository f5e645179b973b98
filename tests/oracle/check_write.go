package main

// check_write.go: what goes in comes out equal, whatever it is, and one bad span never costs its
// batch (design.md invariants 7 and 8; jaeger-contract.md §2.8, §2.9, §12).

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func writeChecks(c *Conn) []Check {
	return []Check{
		{"write/everything round trips", func(t *T) { roundTrip(t, c, everything()) }},
		{"write/odd values round trip", func(t *T) { roundTrip(t, c, oddValues()) }},
		{"write/absurd times round trip", func(t *T) { roundTrip(t, c, absurdTimes()) }},
		{"write/empty resource and scope round trip", func(t *T) { roundTrip(t, c, bareSpans()) }},
		{"write/invalid UTF-8 kept", func(t *T) { checkInvalidUTF8(t, c) }},
		{"write/unknown fields kept", func(t *T) { checkUnknownFields(t, c) }},
		{"write/bad spans are told, good ones kept", func(t *T) { checkPartialSuccess(t, c) }},
		{"write/undecodable bytes refused", func(t *T) {
			for name, data := range map[string][]byte{
				"garbage":   []byte("this is not protobuf \xff\xff\xff"),
				"truncated": truncatedRequest(),
			} {
				_, err := c.ExportRaw(t.ctx, data)
				expectRefusal(t, name, err, codes.InvalidArgument, "")
			}
		}},
		{"write/empty request accepted", func(t *T) {
			_, err := c.ExportRaw(t.ctx, nil)
			t.Must(err, "empty export")
		}},
		{"write/a retry adds nothing, copies stay", func(t *T) { checkRetries(t, c) }},
		{"write/gzip and zstd", func(t *T) {
			for i, name := range []string{"gzip", "zstd"} {
				f := simpleSpan("compressed-service", uint64(i)+1)
				f.Span.TraceId = traceID(0xc0, uint64(i)+1)
				_, err := c.Export(t.ctx, pack([]Flat{f}, 1)[0], grpc.UseCompressor(name))
				t.Must(err, name)
				expectTrace(t, c, []Flat{f})
			}
		}},
		{"write/8,192 spans in one request", func(t *T) { checkLargeRequest(t, c) }},
		{"write/one very large span", func(t *T) { checkLargeSpan(t, c) }},
	}
}

// simpleSpan is a plain span of a service, its ids made of n.
func simpleSpan(service string, n uint64) Flat {
	start := nanos(at("20:00:00")) + n
	return Flat{
		Resource: &resource.Resource{Attributes: kvs("service.name", service)},
		Scope:    &common.InstrumentationScope{},
		Span: &trace.Span{TraceId: traceID(0x51, n), SpanId: spanID(n), Name: "simple",
			StartTimeUnixNano: start, EndTimeUnixNano: start + 1000},
	}
}

// expectTrace reads the spans' traces back and compares.
func expectTrace(t *T, c *Conn, spans []Flat) {
	for id, want := range byTrace(spans) {
		got, err := c.GetTraces(t.ctx, id)
		if err != nil {
			t.Errorf("reading %s: %v", id, err)
			continue
		}
		if d := difference(want, got.Spans[id]); d != "" {
			t.Errorf("trace %s: %s", id, d)
		}
	}
}

func roundTrip(t *T, c *Conn, spans []Flat) {
	t.Must(c.ExportAll(t.ctx, spans, len(spans)), "export")
	expectTrace(t, c, spans)
}

// everything fills every field of OTLP's span.
func everything() []Flat {
	nested := kvs("inner", "x", "list", []any{1, "two", 3.5, false, []byte{1}, nil, []any{}}, "empty", nil)
	f := Flat{
		Resource: &resource.Resource{
			Attributes: kvs("service.name", "everything-service", "bytes", []byte{0, 255}, "map", nested,
				"repeat", "first", "repeat", "second"),
			DroppedAttributesCount: 11,
		},
		ResourceSchema: "https://example.org/resource/1",
		Scope: &common.InstrumentationScope{Name: "scope", Version: "v2", DroppedAttributesCount: 12,
			Attributes: kvs("scope.key", 7, "scope.key", 7)},
		ScopeSchema: "https://example.org/scope/2",
		Span: &trace.Span{
			TraceId: traceID(0xe0, 1), SpanId: spanID(1), ParentSpanId: spanID(99), Name: "everything",
			TraceState: "vendor=1,other=2", Flags: 0x00000301, Kind: trace.Span_SPAN_KIND_CONSUMER,
			StartTimeUnixNano: 1_700_000_000_123_456_789, EndTimeUnixNano: 1_700_000_001_987_654_321,
			Attributes: kvs("s", "text", "i", math.MinInt64, "j", math.MaxInt64, "d", 0.1, "b", true, "raw", []byte("\x00\xff"),
				"list", []any{"a", 1, true}, "map", nested, "zero", 0, "s", "again"),
			DroppedAttributesCount: 1, DroppedEventsCount: 2, DroppedLinksCount: 3,
			Events: []*trace.Span_Event{
				{TimeUnixNano: 1_700_000_000_500_000_001, Name: "exception", DroppedAttributesCount: 4,
					Attributes: kvs("exception.message", "no", "n", 1, "raw", []byte{9})},
				{}, // no name, no time, nothing
				{Name: "second"},
			},
			Links: []*trace.Span_Link{
				{TraceId: traceID(5, 5), SpanId: spanID(5), TraceState: "l=1", Flags: 1,
					DroppedAttributesCount: 5, Attributes: kvs("why", "because", "deep", nested)},
				{TraceId: traceID(6, 6), SpanId: spanID(6)},
			},
			Status: &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "it broke"},
		},
	}
	// The same trace from a second resource that differs in its schema URL alone.
	g := Flat{Resource: f.Resource, ResourceSchema: "https://example.org/resource/2", Scope: f.Scope,
		ScopeSchema: f.ScopeSchema, Span: proto.Clone(f.Span).(*trace.Span)}
	g.Span.SpanId = spanID(2)
	return []Flat{f, g}
}

// oddValues: legal OTLP that storage tends to lose.
func oddValues() []Flat {
	f := simpleSpan("odd-service", 1)
	f.Span.TraceId = traceID(0xe0, 2)
	f.Span.Name = ""
	f.Span.Kind = 77 // an enum value of a later version
	f.Span.Status = &trace.Status{Code: 9, Message: "code of a later version"}
	f.Span.Attributes = []*common.KeyValue{
		kv("", "no key"), kv("no value", nil), {Key: "absent value"},
		kv("nan", math.NaN()), kv("inf", math.Inf(1)), kv("-inf", math.Inf(-1)), kv("-0", math.Copysign(0, -1)),
		kv("empty", ""), kv("empty bytes", []byte{}), kv("empty list", []any{}), kv("empty map", []*common.KeyValue{}),
		kv("zeros\x00inside", "a\x00b"), kv("wide", "łódź 東京 🚀"), kv("huge", 1e300), kv("tiny", 5e-324),
	}
	return []Flat{f}
}

func absurdTimes() []Flat {
	var out []Flat
	for i, times := range [][2]uint64{
		{0, 0}, {0, 1}, {1, 0}, {10, 5}, {math.MaxUint64, math.MaxUint64}, {math.MaxUint64, 0}, {0, math.MaxUint64},
		{1 << 63, 1<<63 + 5}, {9_300_000_000_000_000_000, 9_300_000_000_000_000_001},
		{4_102_444_800_000_000_000, 4_102_444_800_000_000_001},
	} {
		f := simpleSpan("absurd-service", uint64(i)+1)
		f.Span.TraceId = traceID(0xe0, 3)
		f.Span.StartTimeUnixNano, f.Span.EndTimeUnixNano = times[0], times[1]
		f.Span.Events = []*trace.Span_Event{{TimeUnixNano: math.MaxUint64}, {TimeUnixNano: 0}}
		out = append(out, f)
	}
	return out
}

func bareSpans() []Flat {
	span := &trace.Span{TraceId: traceID(0xe0, 4), SpanId: spanID(1), StartTimeUnixNano: 1e18, EndTimeUnixNano: 1e18}
	other := proto.Clone(span).(*trace.Span)
	other.SpanId = spanID(2)
	return []Flat{
		{Span: span},
		{Resource: &resource.Resource{}, Scope: &common.InstrumentationScope{Name: "only a scope"}, Span: other},
	}
}

// checkInvalidUTF8 damages strings of every part of a span, keeps a clean neighbour, and reads
// both back byte for byte.
func checkInvalidUTF8(t *T, c *Conn) {
	const marker, broken = "@BROKEN@", "ab\xff\xfe\xc0\x80zz"
	f := everything()[0]
	f.Resource = proto.Clone(f.Resource).(*resource.Resource)
	f.Scope = proto.Clone(f.Scope).(*common.InstrumentationScope)
	f.Span = proto.Clone(f.Span).(*trace.Span)
	f.Span.TraceId = traceID(0xe0, 5)
	f.Resource.Attributes = append(f.Resource.Attributes, kvs("r"+marker, marker)...)
	f.Scope.Name, f.Scope.Version = marker, "v"+marker
	f.Scope.Attributes = append(f.Scope.Attributes, kvs("s"+marker, marker)...)
	f.ResourceSchema, f.ScopeSchema = "r:"+marker, "s:"+marker
	f.Span.Name, f.Span.TraceState = "n"+marker, marker
	f.Span.Status.Message = "m" + marker
	f.Span.Attributes = append(f.Span.Attributes, kvs("k"+marker, marker, "list", []any{marker, 1},
		"map", kvs("deep"+marker, marker))...)
	f.Span.Events[0].Name = "e" + marker
	f.Span.Events[0].Attributes = append(f.Span.Events[0].Attributes, kvs("x"+marker, marker)...)
	f.Span.Links[0].TraceState = marker
	f.Span.Links[0].Attributes = append(f.Span.Links[0].Attributes, kvs("y", marker)...)
	clean := simpleSpan("clean-neighbour", 1)
	clean.Span.TraceId = traceID(0xe0, 6)

	data, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{f.alone(), clean.alone()}})
	t.Must(err, "marshalling")
	resp, err := c.ExportRaw(t.ctx, replaceBytes(data, marker, broken))
	t.Must(err, "exporting invalid UTF-8")
	if n := resp.GetPartialSuccess().GetRejectedSpans(); n != 0 {
		t.Errorf("%d spans rejected: %s", n, resp.PartialSuccess.ErrorMessage)
	}
	expectTrace(t, c, []Flat{clean})
	frames, err := c.Stream(t.ctx, traceReader+"GetTraces", "query { trace_id: "+bytesText(f.Span.TraceId)+" }")
	t.Must(err, "reading back")
	for i := range frames {
		frames[i] = replaceBytes(frames[i], broken, marker)
	}
	got, err := readTraces(frames)
	t.Must(err, "reading back")
	if d := difference([]Flat{f}, got.Spans[f.TraceID()]); d != "" {
		t.Errorf("%s", d)
	}
}

// checkUnknownFields adds fields of a later OTLP to a span, its resource and an attribute.
func checkUnknownFields(t *T, c *Conn) {
	f := simpleSpan("unknown-fields", 1)
	f.Span.TraceId = traceID(0xe0, 7)
	later := protowire.AppendBytes(protowire.AppendTag(nil, 500, protowire.BytesType), []byte("from the future"))
	later = protowire.AppendVarint(protowire.AppendTag(later, 501, protowire.VarintType), 42)
	f.Span.ProtoReflect().SetUnknown(later)
	roundTrip(t, c, []Flat{f})
	for i, part := range []string{"resource", "scope", "event", "link", "status", "attribute"} {
		g := everything()[0]
		g.Resource = proto.Clone(g.Resource).(*resource.Resource)
		g.Scope = proto.Clone(g.Scope).(*common.InstrumentationScope)
		g.Span = proto.Clone(g.Span).(*trace.Span)
		g.Span.TraceId = traceID(0xe1, uint64(i))
		map[string]proto.Message{"resource": g.Resource, "scope": g.Scope, "event": g.Span.Events[0], "link": g.Span.Links[0],
			"status": g.Span.Status, "attribute": g.Span.Attributes[0]}[part].ProtoReflect().SetUnknown(later)
		t.Must(c.ExportAll(t.ctx, []Flat{g}, 1), "export with an unknown field in the "+part)
		got, err := c.GetTraces(t.ctx, g.TraceID())
		t.Must(err, "reading")
		if d := difference([]Flat{g}, got.Spans[g.TraceID()]); d != "" {
			t.Errorf("unknown field in the %s: %s", part, d)
		}
	}
}

// checkPartialSuccess sends spans whose ids nobody could read back beside good ones.
func checkPartialSuccess(t *T, c *Conn) {
	good := []Flat{simpleSpan("partial-service", 1), simpleSpan("partial-service", 2)}
	for i := range good {
		good[i].Span.TraceId = traceID(0xe2, 1)
	}
	var bad []Flat
	for _, ids := range [][2][]byte{
		{nil, spanID(7)}, {make([]byte, 16), spanID(7)}, {[]byte("short"), spanID(7)}, {make([]byte, 17), spanID(7)},
		{traceID(0xe2, 2), nil}, {traceID(0xe2, 2), make([]byte, 8)}, {traceID(0xe2, 2), []byte("abc")},
	} {
		f := simpleSpan("partial-service", 7)
		f.Span.TraceId, f.Span.SpanId = ids[0], ids[1]
		bad = append(bad, f)
	}
	mixed := append(append([]Flat{good[0]}, bad...), good[1])
	resp, err := c.Export(t.ctx, pack(mixed, len(mixed))[0])
	t.Must(err, "export of good and bad spans")
	p := resp.GetPartialSuccess()
	if p.GetRejectedSpans() != int64(len(bad)) || p.GetErrorMessage() == "" {
		t.Errorf("partial success says %d rejected, %q; expected %d with a reason", p.GetRejectedSpans(), p.GetErrorMessage(), len(bad))
	}
	expectTrace(t, c, good)
	if got, err := c.GetTraces(t.ctx, hexOf(traceID(0xe2, 2))); err != nil || len(got.Order) != 0 {
		t.Errorf("a rejected span came back: %v, %v", got.Order, err)
	}
}

func truncatedRequest() []byte {
	data, err := proto.Marshal(pack(exampleTrace(), 5)[0])
	if err != nil {
		panic(err)
	}
	return data[:len(data)-3]
}

// checkRetries: the same request three times adds nothing; two equal spans in one request stay
// two; the most copies any one request carried remain.
func checkRetries(t *T, c *Conn) {
	f := everything()[0]
	f.Span = proto.Clone(f.Span).(*trace.Span)
	f.Span.TraceId = traceID(0xe3, nanos(time.Now())) // a new trace in every run
	id := f.TraceID()
	count := func() int {
		got, err := c.GetTraces(t.ctx, id)
		t.Must(err, "reading")
		return len(got.Spans[id])
	}
	for range 3 {
		t.Must(c.ExportAll(t.ctx, []Flat{f}, 1), "export")
		if n := count(); n != 1 {
			t.Errorf("a retry left %d copies, expected 1", n)
		}
	}
	for range 2 {
		t.Must(c.ExportAll(t.ctx, []Flat{f, f}, 2), "export")
		if n := count(); n != 2 {
			t.Errorf("two copies in one request became %d", n)
		}
	}
	t.Must(c.ExportAll(t.ctx, []Flat{f}, 1), "export")
	if n := count(); n != 2 {
		t.Errorf("a retry of one of two copies left %d, expected 2", n)
	}
	// Anything that differs is another span, however little.
	g := f
	g.ScopeSchema += "x"
	t.Must(c.ExportAll(t.ctx, []Flat{g}, 1), "export")
	got, err := c.GetTraces(t.ctx, id)
	t.Must(err, "reading")
	if d := difference([]Flat{f, f, g}, got.Spans[id]); d != "" {
		t.Errorf("a span that differs in its scope's schema URL: %s", d)
	}
	sums, err := c.FindSummaries(t.ctx, Query{Service: "everything-service", Depth: 1000})
	t.Must(err, "FindTraceSummaries")
	at := slices.IndexFunc(sums, func(s Summary) bool { return hex.EncodeToString(s.TraceID) == id })
	if at < 0 || sums[at].Spans != 3 {
		t.Errorf("the summary does not count 3 spans: %+v", sums)
	}
}

// checkLargeRequest: a default Jaeger batch of 8,192 spans is about 5 MB, more than gRPC's usual limit.
func checkLargeRequest(t *T, c *Conn) {
	var spans []Flat
	res := &resource.Resource{Attributes: kvs("service.name", "batch-service")}
	scope := &common.InstrumentationScope{Name: "batch"}
	for i := range uint64(8192) {
		f := simpleSpan("", i+1)
		f.Resource, f.Scope = res, scope
		f.Span.TraceId = traceID(0xba, i/8)
		f.Span.Attributes = kvs("filler", fmt.Sprintf("%d %s", i, strings.Repeat("x", 900)))
		spans = append(spans, f)
	}
	data, err := proto.Marshal(pack(spans, len(spans))[0])
	t.Must(err, "marshalling")
	t.Notef("one request of %d bytes", len(data))
	_, err = c.ExportRaw(t.ctx, data)
	t.Must(err, "export")
	want := byTrace(spans)
	ids := sortedKeys(want)
	got, err := c.GetTraces(t.ctx, ids...)
	t.Must(err, "reading 1,024 traces in one request")
	if len(got.Order) != len(ids) {
		t.Errorf("%d traces, expected %d", len(got.Order), len(ids))
	}
	for _, id := range ids {
		if d := difference(want[id], got.Spans[id]); d != "" {
			t.Fatalf("trace %s: %s", id, d)
		}
	}
}

// checkLargeSpan: a span larger than a chunk comes alone, and whole.
func checkLargeSpan(t *T, c *Conn) {
	big := simpleSpan("large-span-service", 1)
	big.Span.Attributes = kvs("statement", strings.Repeat("SELECT ", 450_000)) // 3.15 MB
	small := simpleSpan("large-span-service", 2)
	big.Span.TraceId, small.Span.TraceId = traceID(0xb1, 1), traceID(0xb1, 1)
	_, err := c.Export(t.ctx, pack([]Flat{big, small}, 2)[0])
	t.Must(err, "export")
	frames, err := c.Stream(t.ctx, traceReader+"GetTraces", "query { trace_id: "+bytesText(big.Span.TraceId)+" }")
	t.Must(err, "reading")
	var got []Flat
	for _, frame := range frames {
		var data trace.TracesData
		t.Must(proto.Unmarshal(frame, &data), "decoding")
		got = append(got, flatten(data.ResourceSpans)...)
	}
	if d := difference([]Flat{big, small}, got); d != "" {
		t.Errorf("%.500s", d)
	}
}

// zstd for gRPC requests, which grpc-go does not bring.
type zstdCompressor struct{}

func (zstdCompressor) Name() string { return "zstd" }
func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w)
}
func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }

func init() { encoding.RegisterCompressor(zstdCompressor{}) }

// contextWith is for checks that need a deadline of their own.
func contextWith(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}
