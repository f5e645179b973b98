package main

// brute.go: the plain answer to every question, computed span by span from what was sent
// (jaeger-contract.md §2, §4, §5). Slow, obvious, and written without looking at any store.

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// Query is a search. Zero bounds are open.
type Query struct {
	Service, Operation string
	Attributes         []*common.KeyValue
	Min, Max           uint64 // start of the span, nanoseconds, both inclusive
	DurMin, DurMax     uint64 // nanoseconds, both inclusive
	Depth              int32
	// Page, where it is not nil, asks for one page; Depth must be 0 then.
	Page *Page
	// YearOne sends open bounds the way Jaeger's Go client does: 0001-01-01, not absent.
	YearOne bool
}

// Page is one page's size and the token that leads to it, "" for the first.
type Page struct {
	Size  uint32
	Token string
}

func timestampText(ns uint64, yearOne bool) string {
	if ns == 0 {
		if yearOne {
			return "{seconds: -62135596800}"
		}
		return ""
	}
	return fmt.Sprintf("{seconds: %d nanos: %d}", ns/1e9, ns%1e9)
}

// text is the query as a TraceQueryParameters message in protobuf text.
func (q Query) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service_name: %q operation_name: %q search_depth: %d ", q.Service, q.Operation, q.Depth)
	if t := timestampText(q.Min, q.YearOne); t != "" {
		b.WriteString("start_time_min: " + t + " ")
	}
	if t := timestampText(q.Max, q.YearOne); t != "" {
		b.WriteString("start_time_max: " + t + " ")
	}
	fmt.Fprintf(&b, "duration_min: {seconds: %d nanos: %d} ", q.DurMin/1e9, q.DurMin%1e9)
	fmt.Fprintf(&b, "duration_max: {seconds: %d nanos: %d} ", q.DurMax/1e9, q.DurMax%1e9)
	if q.Page != nil {
		fmt.Fprintf(&b, "pagination: {page_size: %d page_token: %q} ", q.Page.Size, q.Page.Token)
	}
	for _, a := range q.Attributes {
		// The storage API's own KeyValue has the field names of OTLP's, so its text is the same.
		b.WriteString("attributes: {" + prototext.MarshalOptions{}.Format(a) + "} ")
	}
	return b.String()
}

// asStrings is the query as Jaeger's query APIs can express it: every value as its text.
func (q Query) asStrings() Query {
	attrs := q.Attributes
	q.Attributes = nil
	for _, a := range attrs {
		q.Attributes = append(q.Attributes, kv(a.Key, asString(a.Value)))
	}
	return q
}

// asString is Go's pcommon.Value.AsString (§2.4).
func asString(whole *common.AnyValue) string {
	switch v := whole.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *common.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *common.AnyValue_DoubleValue:
		return doubleString(v.DoubleValue)
	case *common.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	case *common.AnyValue_ArrayValue, *common.AnyValue_KvlistValue:
		return jsonString(whole)
	}
	return ""
}

func doubleString(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	s := strconv.FormatFloat(f, format, -1, 64)
	if n := len(s); format == 'e' && n >= 4 && s[n-4] == 'e' && s[n-3] == '-' && s[n-2] == '0' {
		s = s[:n-2] + s[n-1:] // 1e-07 becomes 1e-7
	}
	return s
}

func plain(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return v.BoolValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	case *common.AnyValue_BytesValue:
		return v.BytesValue
	case *common.AnyValue_ArrayValue:
		out := []any{}
		for _, e := range v.ArrayValue.Values {
			out = append(out, plain(e))
		}
		return out
	case *common.AnyValue_KvlistValue:
		out := map[string]any{}
		for _, e := range v.KvlistValue.Values {
			out[e.Key] = plain(e.Value)
		}
		return out
	}
	return nil
}

func jsonString(v *common.AnyValue) string {
	data, err := json.Marshal(plain(v))
	if err != nil {
		return ""
	}
	return string(data)
}

var kindWords = map[trace.Span_SpanKind]string{
	trace.Span_SPAN_KIND_INTERNAL: "internal",
	trace.Span_SPAN_KIND_SERVER:   "server",
	trace.Span_SPAN_KIND_CLIENT:   "client",
	trace.Span_SPAN_KIND_PRODUCER: "producer",
	trace.Span_SPAN_KIND_CONSUMER: "consumer",
}

func hasAttr(attrs []*common.KeyValue, key, text string) bool {
	for _, a := range attrs {
		if a.Key == key && asString(a.Value) == text {
			return true
		}
	}
	return false
}

// attributeHolds decides one condition on one span (§2.5, §2.6).
func attributeHolds(f Flat, a *common.KeyValue) bool {
	text := asString(a.Value)
	switch a.Key {
	case "error":
		want, err := strconv.ParseBool(text)
		return err == nil && want == (f.Span.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR)
	case "span.kind":
		return kindWords[f.Span.Kind] == knownKind(text)
	case "span.status":
		code := f.Span.GetStatus().GetCode()
		switch strings.ToUpper(text) {
		case "OK":
			return code == trace.Status_STATUS_CODE_OK
		case "ERROR":
			return code == trace.Status_STATUS_CODE_ERROR
		}
		return code == trace.Status_STATUS_CODE_UNSET
	case "scope.name":
		return f.Scope.GetName() == text
	case "scope.version":
		return f.Scope.GetVersion() == text
	}
	if key, ok := strings.CutPrefix(a.Key, "resource."); ok {
		return hasAttr(f.Resource.GetAttributes(), key, text)
	}
	if hasAttr(f.Span.Attributes, a.Key, text) || hasAttr(f.Resource.GetAttributes(), a.Key, text) ||
		hasAttr(f.Scope.GetAttributes(), a.Key, text) {
		return true
	}
	for _, e := range f.Span.Events {
		if hasAttr(e.Attributes, a.Key, text) {
			return true
		}
	}
	for _, l := range f.Span.Links {
		if hasAttr(l.Attributes, a.Key, text) {
			return true
		}
	}
	return false
}

func knownKind(word string) string {
	word = strings.ToLower(word)
	for _, w := range kindWords {
		if w == word {
			return w
		}
	}
	return "" // an unknown word means UNSPECIFIED
}

// matches decides the whole query on one span.
func (q Query) matches(f Flat) bool {
	s := f.Span
	if q.Service != "" && f.Service() != q.Service || q.Operation != "" && s.Name != q.Operation {
		return false
	}
	if q.Min != 0 && s.StartTimeUnixNano < q.Min || q.Max != 0 && s.StartTimeUnixNano > q.Max {
		return false
	}
	dur := int64(s.EndTimeUnixNano - s.StartTimeUnixNano)
	if q.DurMin != 0 && dur < int64(q.DurMin) || q.DurMax != 0 && dur > int64(q.DurMax) {
		return false
	}
	for _, a := range q.Attributes {
		if !attributeHolds(f, a) {
			return false
		}
	}
	return true
}

// find gives the ids, in hex, of the newest matching traces: (latest start of a matching span
// descending, id ascending).
func (q Query) find(spans []Flat) []string {
	newest := map[string]uint64{}
	for _, f := range spans {
		if q.matches(f) {
			newest[f.TraceID()] = max(newest[f.TraceID()], f.Span.StartTimeUnixNano)
		}
	}
	ids := sortedKeys(newest)
	sort.SliceStable(ids, func(i, j int) bool { return newest[ids[i]] > newest[ids[j]] })
	depth := int(q.Depth)
	if depth <= 0 {
		depth = 100
	}
	return ids[:min(len(ids), depth)]
}

// Summary is a trace in one line (§4), with the JSON names of the wire message.
type Summary struct {
	TraceID       []byte    `json:"trace_id"`
	RootService   string    `json:"root_service_name"`
	RootOperation string    `json:"root_operation_name"`
	MinStart      uint64    `json:"min_start_time_unix_nano,string"`
	MaxEnd        uint64    `json:"max_end_time_unix_nano,string"`
	Spans         int       `json:"span_count"`
	Errors        int       `json:"error_span_count"`
	Orphans       int       `json:"orphan_span_count"`
	Services      []Service `json:"services"`
}

// Service is one service's share of a trace.
type Service struct {
	Name   string `json:"name"`
	Spans  int    `json:"span_count"`
	Errors int    `json:"error_span_count"`
}

func noParent(s *trace.Span) bool { return len(bytes.Trim(s.ParentSpanId, "\x00")) == 0 }

func summarise(spans []Flat) Summary {
	sum := Summary{TraceID: spans[0].Span.TraceId, MinStart: math.MaxUint64}
	ids := map[string]bool{}
	for _, f := range spans {
		ids[string(f.Span.SpanId)] = true
	}
	services := map[string]*Service{}
	var root *Flat
	for i, f := range spans {
		s := f.Span
		sum.Spans++
		sum.MinStart = min(sum.MinStart, s.StartTimeUnixNano)
		sum.MaxEnd = max(sum.MaxEnd, s.EndTimeUnixNano)
		share := services[f.Service()]
		if share == nil {
			share = &Service{Name: f.Service()}
			services[share.Name] = share
		}
		share.Spans++
		if s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR {
			sum.Errors++
			share.Errors++
		}
		switch {
		case !noParent(s):
			if !ids[string(s.ParentSpanId)] {
				sum.Orphans++
			}
		case root == nil || s.StartTimeUnixNano < root.Span.StartTimeUnixNano:
			root = &spans[i]
		}
	}
	if root != nil {
		sum.RootService, sum.RootOperation = root.Service(), root.Span.Name
	}
	for _, name := range sortedKeys(services) {
		sum.Services = append(sum.Services, *services[name])
	}
	return sum
}

// Operation is a span name with its kind.
type Operation struct {
	Name string `json:"name"`
	Kind string `json:"span_kind"`
}

func services(spans []Flat) []string {
	seen := map[string]bool{}
	for _, f := range spans {
		if s := f.Service(); s != "" {
			seen[s] = true
		}
	}
	return sortedKeys(seen)
}

// operations of a service; kind nil = all.
func operations(spans []Flat, service string, kind *string) []Operation {
	seen := map[Operation]bool{}
	for _, f := range spans {
		op := Operation{f.Span.Name, kindWords[f.Span.Kind]}
		if f.Service() == service && (kind == nil || *kind == op.Kind) {
			seen[op] = true
		}
	}
	var out []Operation
	for op := range seen {
		out = append(out, op)
	}
	sortOperations(out)
	return out
}

func sortOperations(ops []Operation) {
	slices.SortFunc(ops, func(a, b Operation) int {
		return strings.Compare(a.Name+"\x00"+a.Kind, b.Name+"\x00"+b.Kind)
	})
}

// Edge is calls from one service to another.
type Edge struct{ Parent, Child string }

// dependencies counts calls between different services, one per child span that starts in
// [start, end): the caller of a SERVER span is the CLIENT span that shares its id, else the span
// its parent id names; where that is shared, the one in the span's own service, else the SERVER
// side, else the least by (start, bytes).
func dependencies(spans []Flat, start, end uint64) map[Edge]uint64 {
	edges := map[Edge]uint64{}
	for _, whole := range byTrace(spans) {
		byID := map[string][]Flat{}
		for _, f := range whole {
			byID[string(f.Span.SpanId)] = append(byID[string(f.Span.SpanId)], f)
		}
		for _, f := range whole {
			if f.Span.StartTimeUnixNano < start || f.Span.StartTimeUnixNano >= end {
				continue
			}
			if caller, ok := callerOf(f, byID); ok && caller.Service() != f.Service() &&
				caller.Service() != "" && f.Service() != "" {
				edges[Edge{caller.Service(), f.Service()}]++
			}
		}
	}
	return edges
}

func callerOf(f Flat, byID map[string][]Flat) (Flat, bool) {
	if f.Span.Kind == trace.Span_SPAN_KIND_SERVER {
		for _, other := range byID[string(f.Span.SpanId)] {
			if other.Span.Kind == trace.Span_SPAN_KIND_CLIENT {
				return other, true
			}
		}
	}
	if noParent(f.Span) {
		return Flat{}, false
	}
	candidates := byID[string(f.Span.ParentSpanId)]
	if len(candidates) == 0 {
		return Flat{}, false
	}
	least := func(keep func(Flat) bool) (Flat, bool) {
		var best Flat
		found := false
		for _, c := range candidates {
			if keep(c) && (!found || c.Span.StartTimeUnixNano < best.Span.StartTimeUnixNano ||
				c.Span.StartTimeUnixNano == best.Span.StartTimeUnixNano && c.canonical() < best.canonical()) {
				best, found = c, true
			}
		}
		return best, found
	}
	if c, ok := least(func(c Flat) bool { return c.Service() == f.Service() }); ok {
		return c, true
	}
	if c, ok := least(func(c Flat) bool { return c.Span.Kind == trace.Span_SPAN_KIND_SERVER }); ok {
		return c, true
	}
	return least(func(Flat) bool { return true })
}

func hexOf(id []byte) string { return hex.EncodeToString(id) }
