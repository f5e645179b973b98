package main

// otlp.go: building, sending and comparing OTLP. A span is compared with everything that
// belongs to it: its resource, its scope and both schema URLs.

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sort"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const exportMethod = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// value makes an OTLP value of a Go one.
func value(v any) *common.AnyValue {
	switch v := v.(type) {
	case nil:
		return &common.AnyValue{}
	case string:
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}
	case bool:
		return &common.AnyValue{Value: &common.AnyValue_BoolValue{BoolValue: v}}
	case int:
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: int64(v)}}
	case int64:
		return &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v}}
	case float64:
		return &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: v}}
	case []byte:
		return &common.AnyValue{Value: &common.AnyValue_BytesValue{BytesValue: v}}
	case []any:
		list := &common.ArrayValue{}
		for _, e := range v {
			list.Values = append(list.Values, value(e))
		}
		return &common.AnyValue{Value: &common.AnyValue_ArrayValue{ArrayValue: list}}
	case []*common.KeyValue:
		return &common.AnyValue{Value: &common.AnyValue_KvlistValue{KvlistValue: &common.KeyValueList{Values: v}}}
	}
	panic(fmt.Sprintf("no OTLP value for a %T", v))
}

func kv(key string, v any) *common.KeyValue { return &common.KeyValue{Key: key, Value: value(v)} }

func kvs(pairs ...any) []*common.KeyValue {
	var out []*common.KeyValue
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, kv(pairs[i].(string), pairs[i+1]))
	}
	return out
}

// Flat is one span with all that belongs to it.
type Flat struct {
	Resource       *resource.Resource
	ResourceSchema string
	Scope          *common.InstrumentationScope
	ScopeSchema    string
	Span           *trace.Span
}

func serviceOf(r *resource.Resource) string {
	name := ""
	for _, a := range r.GetAttributes() {
		if a.Key == "service.name" {
			if s, ok := a.Value.GetValue().(*common.AnyValue_StringValue); ok {
				return s.StringValue
			}
		}
	}
	return name
}

// Service names the span's service.
func (f Flat) Service() string { return serviceOf(f.Resource) }

// TraceID is the span's trace, in hex.
func (f Flat) TraceID() string { return hex.EncodeToString(f.Span.TraceId) }

// alone wraps one span into a ResourceSpans of its own.
func (f Flat) alone() *trace.ResourceSpans {
	return &trace.ResourceSpans{
		Resource:  f.Resource,
		SchemaUrl: f.ResourceSchema,
		ScopeSpans: []*trace.ScopeSpans{{
			Scope: f.Scope, SchemaUrl: f.ScopeSchema, Spans: []*trace.Span{f.Span},
		}},
	}
}

func flatten(groups []*trace.ResourceSpans) []Flat {
	var out []Flat
	for _, r := range groups {
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				out = append(out, Flat{r.Resource, r.SchemaUrl, s.Scope, s.SchemaUrl, span})
			}
		}
	}
	return out
}

// canonical is a span's content as bytes: equal bytes, equal spans. An absent resource, scope or
// status and an empty one are the same thing to OTLP readers, so they count as equal here.
func (f Flat) canonical() string {
	c := f
	if c.Resource == nil {
		c.Resource = &resource.Resource{}
	}
	if c.Scope == nil {
		c.Scope = &common.InstrumentationScope{}
	}
	if c.Span.Status == nil {
		c.Span = proto.Clone(c.Span).(*trace.Span)
		c.Span.Status = &trace.Status{}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(c.alone())
	if err != nil {
		return "unmarshalable: " + err.Error()
	}
	return string(data)
}

// difference compares two sets of spans as multisets; "" = equal.
func difference(want, got []Flat) string {
	count := map[string]int{}
	sample := map[string]Flat{}
	for _, f := range want {
		k := f.canonical()
		count[k]++
		sample[k] = f
	}
	for _, f := range got {
		k := f.canonical()
		count[k]--
		sample[k] = f
	}
	var missing, extra int
	var firstMissing, firstExtra string
	for _, k := range sortedKeys(count) {
		switch n := count[k]; {
		case n > 0:
			if missing == 0 {
				firstMissing = sample[k].alone().String()
			}
			missing += n
		case n < 0:
			if extra == 0 {
				firstExtra = sample[k].alone().String()
			}
			extra -= n
		}
	}
	if missing == 0 && extra == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d spans missing, %d extra\n  first missing: %s\n  first extra:   %s",
		missing, len(want), extra, clip(firstMissing, firstExtra), clip(firstExtra, firstMissing))
}

// clip shows a long text around the place where it first differs from another.
func clip(text, other string) string {
	const before, size = 200, 600
	same := 0
	for same < len(text) && same < len(other) && text[same] == other[same] {
		same++
	}
	if same > before && len(text) > size {
		text = "… " + text[same-before:]
	}
	return text[:min(len(text), size)]
}

// byTrace groups spans by trace id in hex.
func byTrace(spans []Flat) map[string][]Flat {
	out := map[string][]Flat{}
	for _, f := range spans {
		out[f.TraceID()] = append(out[f.TraceID()], f)
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// pack builds requests of at most perRequest spans, one ResourceSpans each run of equal resource.
func pack(spans []Flat, perRequest int) []*collector.ExportTraceServiceRequest {
	var out []*collector.ExportTraceServiceRequest
	for start := 0; start < len(spans); start += perRequest {
		req := &collector.ExportTraceServiceRequest{}
		var last *trace.ResourceSpans
		for _, f := range spans[start:min(start+perRequest, len(spans))] {
			if last != nil && last.Resource == f.Resource && last.SchemaUrl == f.ResourceSchema &&
				last.ScopeSpans[0].Scope == f.Scope && last.ScopeSpans[0].SchemaUrl == f.ScopeSchema {
				last.ScopeSpans[0].Spans = append(last.ScopeSpans[0].Spans, f.Span)
				continue
			}
			last = f.alone()
			req.ResourceSpans = append(req.ResourceSpans, last)
		}
		out = append(out, req)
	}
	return out
}

// Export sends one request.
func (c *Conn) Export(ctx context.Context, req *collector.ExportTraceServiceRequest, opts ...grpc.CallOption) (*collector.ExportTraceServiceResponse, error) {
	data, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	return c.ExportRaw(ctx, data, opts...)
}

// ExportRaw sends bytes as they are.
func (c *Conn) ExportRaw(ctx context.Context, data []byte, opts ...grpc.CallOption) (*collector.ExportTraceServiceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp := &collector.ExportTraceServiceResponse{}
	return resp, c.cc.Invoke(ctx, exportMethod, &data, resp, opts...)
}

// ExportAll sends spans in requests of perRequest and demands that all of them are taken.
func (c *Conn) ExportAll(ctx context.Context, spans []Flat, perRequest int) error {
	for i, req := range pack(spans, perRequest) {
		resp, err := c.Export(ctx, req)
		if err != nil {
			return fmt.Errorf("export %d: %w", i, err)
		}
		if p := resp.GetPartialSuccess(); p.GetRejectedSpans() != 0 || p.GetErrorMessage() != "" {
			return fmt.Errorf("export %d: partial success %v", i, p)
		}
	}
	return nil
}

// traceID makes a 16-byte id of two numbers.
func traceID(high, low uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, high), low)
}

// spanID makes an 8-byte id of a number.
func spanID(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func nanos(t time.Time) uint64 { return uint64(t.UnixNano()) }

// replaceBytes swaps a marker for bytes of the same length: how invalid UTF-8 gets past Go.
func replaceBytes(data []byte, marker, with string) []byte {
	if len(marker) != len(with) {
		panic("marker and replacement differ in length")
	}
	return bytes.ReplaceAll(data, []byte(marker), []byte(with))
}
