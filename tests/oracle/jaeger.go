package main

// jaeger.go: the suite through a real Jaeger: OTLP into its receiver, which writes to the server
// under test, then back through its three query APIs (jaeger-contract.md §8.2, §10).

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const queryService = "jaeger.api_v3.QueryService/"

// Jaeger is a running Jaeger: where to write, where to ask.
type Jaeger struct {
	otlp  *Conn
	query *Conn
	http  string // base URL of its query HTTP server
}

func jaegerChecks(j *Jaeger) []Check {
	return []Check{
		{"jaeger/GetServices", func(t *T) {
			t.Must(j.otlp.ExportAll(t.ctx, exampleTrace(), 5), "export")
			want := []string{"example-service-1", "example-service-2", "example-service-3"}
			for api, got := range j.services(t) {
				if !slices.Equal(got, want) {
					t.Errorf("%s: services %v, expected %v", api, got, want)
				}
			}
		}},
		{"jaeger/GetOperations", func(t *T) { j.checkOperations(t) }},
		{"jaeger/GetTrace", func(t *T) { j.checkTrace(t, exampleTrace()) }},
		{"jaeger/GetTrace unknown id", func(t *T) { j.checkUnknown(t) }},
		{"jaeger/GetLargeTrace", func(t *T) {
			start := time.Now()
			t.Must(j.otlp.ExportAll(t.ctx, largeTrace(), 5), "export")
			t.Notef("2,002 exports of 5 spans one after the other in %s", time.Since(start).Round(time.Millisecond))
			j.checkTrace(t, largeTrace())
		}},
		{"jaeger/GetTraceWithDuplicateSpans", func(t *T) {
			t.Must(j.otlp.ExportAll(t.ctx, duplicateTrace(), 5), "export")
			j.checkTrace(t, duplicateTrace())
		}},
		{"jaeger/FindTraces write", func(t *T) { t.Must(j.otlp.ExportAll(t.ctx, captionSpans(), 5), "export") }},
		{"jaeger/FindTraces api_v3 gRPC", func(t *T) { j.checkCaptionsV3(t) }},
		{"jaeger/FindTraces api_v3 HTTP", func(t *T) { j.checkCaptionsHTTP(t) }},
		{"jaeger/FindTraces legacy", func(t *T) { j.checkCaptionsLegacy(t) }},
		{"jaeger/everything round trips", func(t *T) {
			spans := everything()
			t.Must(j.otlp.ExportAll(t.ctx, spans, 5), "export")
			got, err := j.getTrace(t.ctx, spans[0].TraceID())
			t.Must(err, "GetTrace")
			if d := difference(spans, got); d != "" {
				t.Errorf("%s", d)
			}
		}},
		{"jaeger/FindTracesWithoutServiceName", func(t *T) { j.checkWithoutService(t) }},
		{"jaeger/GetDependencies", func(t *T) { j.checkDependencies(t) }},
	}
}

// get asks the query HTTP server; the status comes with the body.
func (j *Jaeger) get(ctx context.Context, path string, query url.Values) (int, []byte, error) {
	u := j.http + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func (j *Jaeger) getJSON(t *T, path string, query url.Values, v any) {
	code, body, err := j.get(t.ctx, path, query)
	t.Must(err, path)
	if code != http.StatusOK {
		t.Fatalf("%s?%s: HTTP %d: %.300s", path, query.Encode(), code, body)
	}
	t.Must(json.Unmarshal(body, v), "decoding "+path)
}

func (j *Jaeger) services(t *T) map[string][]string {
	var v3, legacy struct{ Services, Data []string }
	m, err := j.query.Unary(t.ctx, queryService+"GetServices", "")
	t.Must(err, "GetServices")
	var grpc struct{ Services []string }
	t.Must(j.query.api.into(m, &grpc), "decoding")
	j.getJSON(t, "/api/v3/services", nil, &v3)
	j.getJSON(t, "/api/services", nil, &legacy)
	out := map[string][]string{"api_v3 gRPC": grpc.Services, "api_v3 HTTP": v3.Services, "legacy": legacy.Data}
	for _, list := range out {
		sort.Strings(list)
	}
	return out
}

func (j *Jaeger) checkOperations(t *T) {
	want := []Operation{{"example-operation-1", ""}, {"example-operation-3", "server"}, {"example-operation-4", "client"}}
	m, err := j.query.Unary(t.ctx, queryService+"GetOperations", `service: "example-service-1"`)
	t.Must(err, "GetOperations")
	var grpc struct{ Operations []Operation }
	t.Must(j.query.api.into(m, &grpc), "decoding")
	sortOperations(grpc.Operations)
	if !slices.Equal(grpc.Operations, want) {
		t.Errorf("api_v3 gRPC: %v, expected %v", grpc.Operations, want)
	}
	type camel struct{ Name, SpanKind string }
	var v3 struct{ Operations []camel }
	j.getJSON(t, "/api/v3/operations", url.Values{"service": {"example-service-1"}}, &v3)
	var legacy struct{ Data []camel }
	j.getJSON(t, "/api/operations", url.Values{"service": {"example-service-1"}}, &legacy)
	for api, list := range map[string][]camel{"api_v3 HTTP": v3.Operations, "legacy": legacy.Data} {
		var got []Operation
		for _, o := range list {
			// HTTP shows the unspecified kind as "internal" (§5.1).
			got = append(got, Operation{o.Name, strings.Replace(o.SpanKind, "internal", "", 1)})
		}
		sortOperations(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, expected %v", api, got, want)
		}
	}
	var names struct{ Data []string }
	j.getJSON(t, "/api/services/example-service-1/operations", nil, &names)
	sort.Strings(names.Data)
	if !slices.Equal(names.Data, []string{"example-operation-1", "example-operation-3", "example-operation-4"}) {
		t.Errorf("legacy names: %v", names.Data)
	}
	var servers struct{ Data []camel }
	j.getJSON(t, "/api/operations", url.Values{"service": {"example-service-1"}, "spanKind": {"server"}}, &servers)
	if len(servers.Data) != 1 || servers.Data[0].Name != "example-operation-3" {
		t.Errorf("legacy operations of kind server: %v", servers.Data)
	}
}

// spansOf decodes streamed TracesData frames of the query service.
func spansOf(frames [][]byte) ([]Flat, error) {
	var out []Flat
	for _, frame := range frames {
		var data trace.TracesData
		if err := proto.Unmarshal(frame, &data); err != nil {
			return nil, err
		}
		out = append(out, flatten(data.ResourceSpans)...)
	}
	return out, nil
}

// getTrace reads a trace through gRPC, raw: as the store gave it.
func (j *Jaeger) getTrace(ctx context.Context, id string) ([]Flat, error) {
	frames, err := j.query.Stream(ctx, queryService+"GetTrace", fmt.Sprintf("trace_id: %q raw_traces: true", id))
	if err != nil {
		return nil, err
	}
	return spansOf(frames)
}

// legacyTrace is what the legacy API says of a trace.
type legacyTrace struct {
	TraceID string `json:"traceID"`
	Spans   []struct {
		SpanID    string `json:"spanID"`
		Name      string `json:"operationName"`
		StartTime uint64 `json:"startTime"`
		Duration  uint64 `json:"duration"`
		ProcessID string `json:"processID"`
	} `json:"spans"`
	Processes map[string]struct {
		Service string `json:"serviceName"`
	} `json:"processes"`
}

// lines of a trace as the legacy API can express it: one per span, sorted.
func (l legacyTrace) lines() []string {
	var out []string
	for _, s := range l.Spans {
		out = append(out, fmt.Sprintf("%s %s %s %d+%d", l.Processes[s.ProcessID].Service, s.SpanID, s.Name, s.StartTime, s.Duration))
	}
	sort.Strings(out)
	return out
}

func legacyLines(spans []Flat) []string {
	var out []string
	for _, f := range spans {
		s := f.Span
		out = append(out, fmt.Sprintf("%s %s %s %d+%d", f.Service(), hexOf(s.SpanId), s.Name, s.StartTimeUnixNano/1000,
			(s.EndTimeUnixNano-s.StartTimeUnixNano)/1000))
	}
	sort.Strings(out)
	return out
}

// checkTrace reads one trace through all three APIs.
func (j *Jaeger) checkTrace(t *T, want []Flat) {
	id := want[0].TraceID()
	got, err := j.getTrace(t.ctx, id)
	t.Must(err, "GetTrace raw")
	if d := difference(want, got); d != "" {
		t.Errorf("api_v3 gRPC raw: %s", d)
	}
	frames, err := j.query.Stream(t.ctx, queryService+"GetTrace", fmt.Sprintf("trace_id: %q", id))
	t.Must(err, "GetTrace adjusted")
	adjusted, err := spansOf(frames)
	t.Must(err, "GetTrace adjusted")
	if len(adjusted) != len(want) || len(byTrace(adjusted)) != 1 {
		t.Errorf("api_v3 gRPC adjusted: %d spans in %d traces, expected %d in one", len(adjusted), len(byTrace(adjusted)), len(want))
	}
	http, err := j.httpTraces(t, "/api/v3/traces/"+id, url.Values{"raw_traces": {"true"}})
	t.Must(err, "HTTP trace")
	if d := difference(want, http); d != "" {
		t.Errorf("api_v3 HTTP: %s", d)
	}
	var legacy struct{ Data []legacyTrace }
	j.getJSON(t, "/api/traces/"+id, nil, &legacy)
	if len(legacy.Data) != 1 {
		t.Fatalf("legacy: %d traces", len(legacy.Data))
	}
	if !slices.Equal(legacy.Data[0].lines(), legacyLines(want)) {
		t.Errorf("legacy: %d spans differ from the %d expected", len(legacy.Data[0].Spans), len(want))
	}
}

// httpTraces asks an HTTP route that answers OTLP-JSON.
func (j *Jaeger) httpTraces(t *T, path string, query url.Values) ([]Flat, error) {
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	j.getJSON(t, path, query, &answer)
	return fromOTLPJSON(answer.Result)
}

// fromOTLPJSON reads OTLP-JSON, which is protobuf's JSON but for ids in hex.
func fromOTLPJSON(data []byte) ([]Flat, error) {
	var tree any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	fixIDs(tree)
	fixed, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var out trace.TracesData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(fixed, &out); err != nil {
		return nil, err
	}
	return flatten(out.ResourceSpans), nil
}

func fixIDs(node any) {
	switch node := node.(type) {
	case map[string]any:
		for k, v := range node {
			if text, ok := v.(string); ok && (k == "traceId" || k == "spanId" || k == "parentSpanId") {
				if raw, err := hex.DecodeString(text); err == nil {
					node[k] = raw // json writes bytes as base64
				}
				continue
			}
			fixIDs(v)
		}
	case []any:
		for _, v := range node {
			fixIDs(v)
		}
	}
}

func (j *Jaeger) checkUnknown(t *T) {
	id := hexOf(traceID(0, 1))
	// 2.13 answers an empty stream here, later ones NOT_FOUND: nothing of a trace in any case.
	if got, err := j.getTrace(t.ctx, id); len(got) != 0 || err != nil && refusalOf(err).Code != codes.NotFound {
		t.Errorf("gRPC: %d spans, %v; expected none", len(got), err)
	}
	for _, path := range []string{"/api/v3/traces/" + id, "/api/traces/" + id} {
		code, body, err := j.get(t.ctx, path, nil)
		t.Must(err, path)
		if code != http.StatusNotFound {
			t.Errorf("%s: HTTP %d %.200s, expected 404", path, code, body)
		}
	}
}

// apiText is a query as api_v3's TraceQueryParameters, where attributes are a map of strings.
func (q Query) apiText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service_name: %q operation_name: %q search_depth: %d raw_traces: true ", q.Service, q.Operation, q.Depth)
	fmt.Fprintf(&b, "start_time_min: %s start_time_max: %s ", timestampText(q.Min, false), timestampText(q.Max, false))
	fmt.Fprintf(&b, "duration_min: {nanos: %d} duration_max: {nanos: %d} ", q.DurMin, q.DurMax)
	for _, a := range q.Attributes {
		fmt.Fprintf(&b, "attributes: {key: %q value: %q} ", a.Key, asString(a.Value))
	}
	return b.String()
}

func (j *Jaeger) findV3(ctx context.Context, q Query) ([]Flat, error) {
	frames, err := j.query.Stream(ctx, queryService+"FindTraces", "query {"+q.apiText()+"}")
	if err != nil {
		return nil, err
	}
	return spansOf(frames)
}

// expectWhole compares found spans with the whole traces the plain answer names.
func expectWhole(t *T, what string, q Query, corpus, got []Flat) {
	whole := byTrace(corpus)
	var want []Flat
	for _, id := range q.find(corpus) {
		want = append(want, whole[id]...)
	}
	if d := difference(want, got); d != "" {
		t.Errorf("%s: %.700s", what, d)
	}
}

func (j *Jaeger) checkCaptionsV3(t *T) {
	for _, k := range captions {
		q := k.Query().asStrings()
		got, err := j.findV3(t.ctx, q)
		if err != nil && refusalOf(err).Code != codes.NotFound {
			t.Errorf("%q: %v", k.Name, err)
			continue
		}
		expectWhole(t, k.Name, q, k.Spans(), got)
	}
}

func stamp(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339Nano) }

// checkCaptionsHTTP asks the captions without attributes, which 2.13's /api/v3/traces ignores.
func (j *Jaeger) checkCaptionsHTTP(t *T) {
	for _, k := range captions {
		q := k.Query()
		q.Attributes = nil
		values := url.Values{
			"query.service_name": {q.Service}, "query.raw_traces": {"true"}, "query.num_traces": {"1000"},
			"query.start_time_min": {stamp(q.Min)}, "query.start_time_max": {stamp(q.Max)},
		}
		if q.Operation != "" {
			values.Set("query.operation_name", q.Operation)
		}
		if q.DurMin != 0 {
			values.Set("query.duration_min", time.Duration(q.DurMin).String())
		}
		if q.DurMax != 0 {
			values.Set("query.duration_max", time.Duration(q.DurMax).String())
		}
		got, err := j.httpTraces(t, "/api/v3/traces", values)
		t.Must(err, k.Name)
		expectWhole(t, k.Name, q, k.Spans(), got)
	}
}

// legacyQuery is a search for the legacy /api/traces, with its tags as a JSON map of strings.
func legacyQuery(q Query) url.Values {
	values := url.Values{"service": {q.Service}, "limit": {strconv.Itoa(int(q.Depth))},
		"start": {strconv.FormatUint(q.Min/1000, 10)}, "end": {strconv.FormatUint(q.Max/1000, 10)}}
	if q.Operation != "" {
		values.Set("operation", q.Operation)
	}
	if q.DurMin != 0 {
		values.Set("minDuration", time.Duration(q.DurMin).String())
	}
	if q.DurMax != 0 {
		values.Set("maxDuration", time.Duration(q.DurMax).String())
	}
	tags := map[string]string{}
	for _, a := range q.Attributes {
		tags[a.Key] = asString(a.Value)
	}
	if len(tags) > 0 {
		text, err := json.Marshal(tags)
		if err != nil {
			panic(err)
		}
		values.Set("tags", string(text))
	}
	return values
}

func (j *Jaeger) findLegacy(t *T, q Query) map[string][]string {
	var answer struct{ Data []legacyTrace }
	j.getJSON(t, "/api/traces", legacyQuery(q), &answer)
	out := map[string][]string{}
	for _, tr := range answer.Data {
		out[fmt.Sprintf("%032s", tr.TraceID)] = tr.lines() // ids come without leading zeros
	}
	return out
}

func (j *Jaeger) checkCaptionsLegacy(t *T) {
	for _, k := range captions {
		q := k.Query().asStrings()
		spans := k.Spans()
		whole := byTrace(spans)
		want := map[string][]string{}
		for _, id := range q.find(spans) {
			want[id] = legacyLines(whole[id])
		}
		if got := j.findLegacy(t, q); !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%q: %v\n      expected %v", k.Name, got, want)
		}
	}
}

func (j *Jaeger) checkWithoutService(t *T) {
	spans := crossTraces()
	t.Must(j.otlp.ExportAll(t.ctx, spans, 5), "export")
	now := nanos(time.Now())
	q := Query{Attributes: []*common.KeyValue{kv("rfc0013.cross.service", "yes")}, Depth: 10, Min: now - 3600e9, Max: now + 3600e9}
	got, err := j.findV3(t.ctx, q)
	t.Must(err, "FindTraces without service, gRPC")
	expectWhole(t, "api_v3 gRPC", q, spans, got)
	// Over HTTP attributes are ignored by 2.13, and it sends depth 0: the window alone selects.
	start := spans[1].Span.StartTimeUnixNano
	values := url.Values{"query.start_time_min": {stamp(start)}, "query.start_time_max": {stamp(spans[0].Span.StartTimeUnixNano)},
		"query.raw_traces": {"true"}}
	http, err := j.httpTraces(t, "/api/v3/traces", values)
	t.Must(err, "FindTraces without service, HTTP")
	if d := difference(spans, http); d != "" {
		t.Errorf("api_v3 HTTP: %s", d)
	}
}

func (j *Jaeger) checkDependencies(t *T) {
	base := nanos(yesterday().Add(-5 * 24 * time.Hour))
	var spans []Flat
	for i, s := range []struct {
		service    string
		id, parent uint64
	}{{"jdep-front", 1, 0}, {"jdep-cart", 2, 1}, {"jdep-db", 3, 2}, {"jdep-db", 4, 2}} {
		f := simpleSpan(s.service, s.id)
		f.Span.TraceId = traceID(0x1de, 1)
		f.Span.StartTimeUnixNano, f.Span.EndTimeUnixNano = base+uint64(i)*1000, base+uint64(i)*1000+500
		if s.parent != 0 {
			f.Span.ParentSpanId = spanID(s.parent)
		}
		spans = append(spans, f)
	}
	t.Must(j.otlp.ExportAll(t.ctx, spans, 5), "export")
	var answer struct {
		Data []struct {
			Parent, Child string
			CallCount     uint64 `json:"callCount"`
		}
	}
	j.getJSON(t, "/api/dependencies", url.Values{"endTs": {strconv.FormatUint(base/1e6+1000, 10)}, "lookback": {"3600000"}}, &answer)
	got := map[Edge]uint64{}
	for _, d := range answer.Data {
		if d.Parent != d.Child {
			got[Edge{d.Parent, d.Child}] += d.CallCount
		}
	}
	if want := dependencies(spans, base-1, base+1e9); !maps.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
}
