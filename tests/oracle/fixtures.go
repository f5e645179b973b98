package main

// fixtures.go: the traces of the storage suite's scenarios (jaeger-contract.md §8.3, §8.4),
// written anew from the table there, each caption with near misses beside it so that an answer
// that ignores a condition is caught.

import (
	"fmt"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// place says where the four tags of a fixture are.
type place int

const (
	nowhere place = iota
	onSpan
	onEvent
	onResource
	spread // 1 on the resource, 2 on an event, 3 and 4 on the span
	onScope
	onLink
)

// Caption is one of the 25 searches with its fixture.
type Caption struct {
	Name           string
	Number         int
	ByOperation    bool
	Tags           place
	Duration       uint64 // of the matching span
	DurMin, DurMax uint64
	Traces         int
	ScopeName      bool
	TwoDays        bool
}

var captions = []Caption{
	{Name: "Tags in one spot - Tags", Tags: onSpan, Duration: 5000},
	{Name: "Tags in one spot - Logs", Tags: onEvent, Duration: 5000},
	{Name: "Tags in one spot - Process", Tags: onResource, Duration: 5000},
	{Name: "Tags in different spots", Tags: spread, Duration: 5000},
	{Name: "Trace spans over multiple indices", Duration: 5000, TwoDays: true},
	{Name: "Operation name", ByOperation: true, Duration: 5000},
	{Name: "Operation name + max Duration", ByOperation: true, Duration: 2000, DurMax: 2000},
	{Name: "Operation name + Duration range", ByOperation: true, Duration: 5000, DurMin: 4500, DurMax: 5500},
	{Name: "Duration range", Duration: 5000, DurMin: 4500, DurMax: 5500},
	{Name: "max Duration", Duration: 1000, DurMax: 1000},
	{Name: "default", Duration: 5000},
	{Name: "Tags + Operation name", Tags: onSpan, ByOperation: true, Duration: 5000},
	{Name: "Tags + Operation name + max Duration", Tags: onSpan, ByOperation: true, Duration: 2000, DurMax: 2000},
	{Name: "Tags + Operation name + Duration range", Tags: onSpan, ByOperation: true, Duration: 4500, DurMin: 4500, DurMax: 5500},
	{Name: "Tags + Duration range", Tags: onSpan, Duration: 5500, DurMin: 4500, DurMax: 5500},
	{Name: "Tags + max Duration", Tags: onSpan, Duration: 1000, DurMax: 1000},
	{Name: "Multi-spot Tags + Operation name", Tags: spread, ByOperation: true, Duration: 5000},
	{Name: "Multi-spot Tags + Operation name + max Duration", Tags: spread, ByOperation: true, Duration: 2000, DurMax: 2000},
	{Name: "Multi-spot Tags + Operation name + Duration range", Tags: spread, ByOperation: true, Duration: 5000, DurMin: 4500, DurMax: 5500},
	{Name: "Multi-spot Tags + Duration range", Tags: spread, Duration: 5000, DurMin: 4500, DurMax: 5500},
	{Name: "Multi-spot Tags + max Duration", Tags: spread, Duration: 1000, DurMax: 1000},
	{Name: "Multiple Traces", Duration: 5000, Traces: 3},
	{Name: "Scope Name and Version", Tags: onSpan, Duration: 5000, ScopeName: true},
	{Name: "Scope Attributes", Tags: onScope, Duration: 5000},
	{Name: "Link Attributes", Tags: onLink, Duration: 5000},
}

func init() {
	for i := range captions {
		captions[i].Number = i + 1
		captions[i].Traces = max(captions[i].Traces, 1)
	}
}

// day is the day, in days since 1970, at which fixtures are placed: yesterday unless told, since
// real data is a day or two old and the two-day trace lies on both sides of its midnight (UTC).
// A later run over the same store names the day again, so that it writes the same spans.
var day = time.Now().Unix()/86_400 - 1

func yesterday() time.Time { return time.Unix(day*86_400, 0).UTC() }

func at(clock string) time.Time {
	t, err := time.Parse("15:04:05.999999999", clock)
	if err != nil {
		panic(err)
	}
	return yesterday().Add(t.Sub(t.Truncate(24 * time.Hour)))
}

func (c Caption) service() string   { return fmt.Sprintf("query%02d-service", c.Number) }
func (c Caption) operation() string { return fmt.Sprintf("query%02d-operation", c.Number) }

func (c Caption) prefix() string {
	switch c.Tags {
	case onScope:
		return "sameplacescopeattribute"
	case onLink:
		return "sameplacelinkattribute"
	}
	return "sameplacetag"
}

// tags are T of the contract: one of each scalar type.
func (c Caption) tags() []*common.KeyValue {
	if c.Tags == nowhere {
		return nil
	}
	p := c.prefix()
	return kvs(p+"1", "sameplacevalue", p+"2", 123, p+"3", 72.5, p+"4", true)
}

// Query asks for the caption's fixture with typed values.
func (c Caption) Query() Query {
	q := Query{
		Service: c.service(), Attributes: c.tags(), DurMin: c.DurMin, DurMax: c.DurMax, Depth: 1000,
		Min: nanos(at("15:46:31.639875")), Max: nanos(at("17:46:31.639875")), YearOne: true,
	}
	if c.TwoDays {
		q.Min, q.Max = nanos(at("00:00:31.639875")), nanos(at("00:07:31.639875"))
	}
	if c.ByOperation {
		q.Operation = c.operation()
	}
	return q
}

// span is the matching span of a caption, without an id.
func (c Caption) span(tags []*common.KeyValue, where place) Flat {
	start := at("16:46:31.639875")
	s := &trace.Span{
		Name:              c.operation(),
		StartTimeUnixNano: nanos(start),
		EndTimeUnixNano:   nanos(start) + c.Duration,
		Status:            &trace.Status{},
		Attributes:        kvs("blob", []byte{0, 0, 48, 57}),
		// Two events without a name; the second has nothing at all and lies outside the span.
		Events: []*trace.Span_Event{
			{TimeUnixNano: nanos(start)},
			{TimeUnixNano: nanos(start) - 1_000_000},
		},
	}
	f := Flat{
		Resource: &resource.Resource{Attributes: kvs("service.name", c.service(), "host.ip", "10.0.0.1")},
		Scope:    &common.InstrumentationScope{},
		Span:     s,
	}
	if c.ScopeName {
		f.Scope.Name, f.Scope.Version = "scope-of-"+c.service(), "1.2.3"
	}
	link := &trace.Span_Link{TraceId: traceID(0, 0xff), SpanId: spanID(0xff),
		Attributes: kvs("opentracing.ref_type", "follows_from")}
	switch where {
	case onSpan:
		s.Attributes = append(s.Attributes, tags...)
	case onEvent:
		s.Events[0].Attributes = tags
	case onResource:
		f.Resource.Attributes = append(f.Resource.Attributes, tags...)
	case onScope:
		f.Scope.Attributes = tags
	case onLink:
		link.Attributes = append(link.Attributes, tags...)
		s.Links = append(s.Links, link)
	case spread:
		f.Resource.Attributes = append(f.Resource.Attributes, tags[0])
		s.Events[0].Attributes = tags[1:2]
		s.Attributes = append(s.Attributes, tags[2:]...)
	}
	return f
}

// Spans are the caption's fixture and its near misses. Trace ids are small integers in the lower
// half, the caption's number in between.
func (c Caption) Spans() []Flat {
	var out []Flat
	next := uint64(c.Number) << 16
	add := func(fs ...Flat) {
		next++
		for i, f := range fs {
			f.Span.TraceId, f.Span.SpanId = traceID(0, next), spanID(uint64(i)+3)
			out = append(out, f)
		}
	}
	for range c.Traces {
		add(c.span(c.tags(), c.Tags))
	}
	if c.TwoDays {
		first, second := out[0], c.span(nil, nowhere)
		moveTo(first, at("00:03:31.639875"))
		moveTo(second, at("00:00:00").Add(-4*time.Minute))
		second.Span.TraceId, second.Span.SpanId = first.Span.TraceId, spanID(4)
		out = append(out, second)
	}
	// Near miss: right in all but time.
	late := c.span(c.tags(), c.Tags)
	moveTo(late, at("18:00:00"))
	add(late)
	if c.ByOperation {
		// The operation is on another service's span of the same trace, and the service has another one.
		other := c.span(c.tags(), c.Tags)
		other.Span.Name = c.operation() + "-not"
		foreign := c.span(c.tags(), c.Tags)
		foreign.Resource = &resource.Resource{Attributes: kvs("service.name", "elsewhere-"+c.service())}
		if c.Tags == onResource || c.Tags == spread {
			foreign.Resource.Attributes = append(foreign.Resource.Attributes, c.tags()[0])
		}
		add(other, foreign)
	}
	if c.DurMax != 0 {
		long := c.span(c.tags(), c.Tags)
		long.Span.EndTimeUnixNano = long.Span.StartTimeUnixNano + c.DurMax + 1
		add(long)
	}
	if c.DurMin != 0 {
		short := c.span(c.tags(), c.Tags)
		short.Span.EndTimeUnixNano = short.Span.StartTimeUnixNano + c.DurMin - 1
		add(short)
	}
	if tags := c.tags(); tags != nil {
		// All four tags are in the trace, but not on one span.
		add(c.span(tags[:2], plainPlace(c.Tags)), c.span(tags[2:], plainPlace(c.Tags)))
		// One value differs.
		wrong := append([]*common.KeyValue{}, tags...)
		wrong[2] = kv(c.prefix()+"3", 72.25)
		add(c.span(wrong, c.Tags))
	}
	return out
}

// plainPlace puts a part of the tags in one place.
func plainPlace(p place) place {
	if p == spread {
		return onSpan
	}
	return p
}

func moveTo(f Flat, t time.Time) {
	d := f.Span.EndTimeUnixNano - f.Span.StartTimeUnixNano
	f.Span.StartTimeUnixNano = nanos(t)
	f.Span.EndTimeUnixNano = nanos(t) + d
}

// captionSpans are the fixtures of all captions.
func captionSpans() []Flat {
	var out []Flat
	for _, c := range captions {
		out = append(out, c.Spans()...)
	}
	return out
}

// exampleTrace: five spans, three services, the operations of one with three kinds.
func exampleTrace() []Flat {
	var out []Flat
	for i, s := range []struct {
		service, operation string
		kind               trace.Span_SpanKind
	}{
		{"example-service-1", "example-operation-1", trace.Span_SPAN_KIND_UNSPECIFIED},
		{"example-service-2", "example-operation-2", trace.Span_SPAN_KIND_UNSPECIFIED},
		{"example-service-3", "example-operation-1", trace.Span_SPAN_KIND_UNSPECIFIED},
		{"example-service-1", "example-operation-3", trace.Span_SPAN_KIND_SERVER},
		{"example-service-1", "example-operation-4", trace.Span_SPAN_KIND_CLIENT},
	} {
		start := nanos(at("16:46:31.639875"))
		out = append(out, Flat{
			Resource: &resource.Resource{Attributes: kvs("service.name", s.service)},
			Scope:    &common.InstrumentationScope{},
			Span: &trace.Span{
				TraceId: traceID(0, 0x11), SpanId: spanID(uint64(i) + 3), Name: s.operation, Kind: s.kind,
				StartTimeUnixNano: start, EndTimeUnixNano: start + 100_000, Status: &trace.Status{},
				Events: []*trace.Span_Event{{TimeUnixNano: start}, {TimeUnixNano: start}},
			},
		})
	}
	return out
}

// largeTrace: 10,008 spans of one service, starts spread over 2 h 47 m.
func largeTrace() []Flat {
	res := &resource.Resource{Attributes: kvs("service.name", "large-service")}
	scope := &common.InstrumentationScope{}
	first := nanos(at("12:00:00"))
	// Long enough that the whole trace is larger than the 4 MiB Jaeger's client accepts at once.
	note := strings.Repeat("a long statement such as databases write. ", 10)
	var out []Flat
	for i := range uint64(10_008) {
		start := first + i*1_000_000_000
		s := &trace.Span{
			TraceId: traceID(0, 0xabcd), SpanId: spanID(i + 1), Name: "large-operation",
			StartTimeUnixNano: start, EndTimeUnixNano: start + 100 + i, Status: &trace.Status{},
			Attributes: kvs("sequence", int64(i), "note", fmt.Sprintf("%d %s", i, note)),
			Events:     []*trace.Span_Event{{TimeUnixNano: start, Name: "step"}},
		}
		if i > 0 {
			s.ParentSpanId = spanID(1)
		}
		out = append(out, Flat{Resource: res, Scope: scope, Span: s})
	}
	return out
}

// duplicateTrace: 200 spans, every 20th with the id 4 again; all of them differ in start.
func duplicateTrace() []Flat {
	res := &resource.Resource{Attributes: kvs("service.name", "duplicate-service")}
	scope := &common.InstrumentationScope{}
	first := nanos(at("16:46:31.639875"))
	var out []Flat
	for i := range uint64(200) {
		id := i + 1
		if i%20 == 0 {
			id = 4
		}
		start := first + i*1_000_000_000
		out = append(out, Flat{Resource: res, Scope: scope, Span: &trace.Span{
			TraceId: traceID(0, 0xd0d0), SpanId: spanID(id), Name: "duplicate-operation",
			StartTimeUnixNano: start, EndTimeUnixNano: start + 100, Status: &trace.Status{},
		}})
	}
	return out
}

// crossTraces: two one-span traces of two services with one common attribute, just now.
func crossTraces() []Flat {
	var out []Flat
	for i, service := range []string{"cross-service-a", "cross-service-b"} {
		id := []byte{byte(i) + 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
		start := nanos(time.Now()) - uint64(i)*1_000_000
		out = append(out, Flat{
			Resource: &resource.Resource{Attributes: kvs("service.name", service)},
			Scope:    &common.InstrumentationScope{},
			Span: &trace.Span{TraceId: id, SpanId: spanID(uint64(i) + 1), Name: "cross-operation",
				StartTimeUnixNano: start, EndTimeUnixNano: start + 1000, Status: &trace.Status{},
				Attributes: kvs("rfc0013.cross.service", "yes")},
		})
	}
	return out
}
