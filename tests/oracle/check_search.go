package main

// check_search.go: searches over a random corpus against the plain answer, in every form the API
// asks (jaeger-contract.md §2, §4, §5).

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Corpus is what the search checks wrote.
type Corpus struct {
	Spans    []Flat
	From, To uint64
}

const corpusMark = "corpus.mark"

// randomCorpus: traces over several services and two days, sent torn and out of order.
func randomCorpus(rng *rand.Rand, traces int) Corpus {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	from := nanos(yesterday().Add(-12 * time.Hour))
	window := uint64(36 * time.Hour)
	var spans []Flat
	for n := range traces {
		id := traceID(0x5ea5c4, uint64(n)<<8|uint64(rng.IntN(256)))
		start := from + rng.Uint64N(window)
		size := 1 + rng.IntN(8)
		for i := range size {
			service := pick("search-a", "search-b", "search-c", "search-d")
			f := Flat{
				Resource: &resource.Resource{Attributes: kvs("service.name", service, "zone", pick("eu", "us"))},
				Scope:    &common.InstrumentationScope{Name: pick("lib", "http"), Version: pick("1", "2"), Attributes: kvs("tier", pick("gold", "tin"))},
				Span: &trace.Span{TraceId: id, SpanId: spanID(uint64(i) + 1), Name: pick("get", "put", "list"),
					Kind:              trace.Span_SpanKind(rng.IntN(6)),
					StartTimeUnixNano: start + rng.Uint64N(uint64(time.Hour)),
					Status:            &trace.Status{Code: trace.Status_StatusCode(rng.IntN(3))},
					Attributes:        kvs(corpusMark, "yes", "code", []any{200, 404, "200", 200.0, true}[rng.IntN(5)], "user", pick("ann", "bob", "cy"))},
			}
			f.Span.EndTimeUnixNano = f.Span.StartTimeUnixNano + rng.Uint64N(10)*1000
			if i > 0 {
				f.Span.ParentSpanId = spanID(uint64(rng.IntN(size)) + 1 + uint64(rng.IntN(8)/7*100))
			}
			if rng.IntN(3) == 0 {
				f.Span.Events = []*trace.Span_Event{{Name: "e", Attributes: kvs("event.key", pick("x", "y"))},
					{Attributes: kvs("event.key", pick("x", "y"), "user", pick("ann", "dee"))}}
			}
			if rng.IntN(4) == 0 {
				f.Span.Links = []*trace.Span_Link{{TraceId: traceID(1, 1), SpanId: spanID(1), Attributes: kvs("link.key", rng.IntN(3))}}
			}
			spans = append(spans, f)
		}
	}
	rng.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
	return Corpus{Spans: spans, From: from, To: from + window + uint64(time.Hour)}
}

func (k Corpus) randomQuery(rng *rand.Rand) Query {
	// The mark keeps what other checks wrote out of the answers.
	q := Query{Attributes: kvs(corpusMark, "yes"), Depth: []int32{0, 1, 5, 20, 1000, -1, 10_000}[rng.IntN(7)], YearOne: rng.IntN(2) == 0}
	maybe := func(oneIn int, f func()) {
		if rng.IntN(oneIn) == 0 {
			f()
		}
	}
	maybe(2, func() { q.Service = []string{"search-a", "search-b", "search-none"}[rng.IntN(3)] })
	maybe(3, func() { q.Operation = []string{"get", "put", "nothing"}[rng.IntN(3)] })
	maybe(2, func() { q.Min = k.From + rng.Uint64N(k.To-k.From) })
	maybe(3, func() { q.Max = max(q.Min, k.From) + rng.Uint64N(uint64(20*time.Hour)) })
	maybe(4, func() { q.DurMin = rng.Uint64N(10) * 1000 })
	maybe(4, func() { q.DurMax = q.DurMin + rng.Uint64N(10)*1000 })
	conditions := []*common.KeyValue{
		kv("code", 200), kv("code", "200"), kv("code", 200.0), kv("code", true), kv("code", "true"), kv("user", "ann"), kv("user", "dee"),
		kv("zone", "eu"), kv("tier", "gold"), kv("event.key", "x"), kv("link.key", 1), kv("link.key", "2"), kv("error", true), kv("error", "false"),
		kv("error", "maybe"), kv("span.kind", "server"), kv("span.kind", "CLIENT"), kv("span.status", "ok"), kv("scope.name", "lib"),
		kv("scope.version", "2"), kv("resource.zone", "us"), kv("resource.user", "ann"), kv("no.such.key", "1"),
	}
	for range rng.IntN(3) {
		c := conditions[rng.IntN(len(conditions))]
		if !slices.ContainsFunc(q.Attributes, func(a *common.KeyValue) bool { return a.Key == c.Key }) {
			q.Attributes = append(q.Attributes, c) // at most one entry a key (§1.2)
		}
	}
	return q
}

func searchChecks(c *Conn) []Check {
	rng := rand.New(rand.NewPCG(17, 271))
	corpus := randomCorpus(rng, 300)
	return []Check{
		{"search/write", func(t *T) { t.Must(c.ExportAll(t.ctx, corpus.Spans, 37), "export") }},
		{"search/300 random queries", func(t *T) { checkRandomQueries(t, c, corpus, rng) }},
		{"search/60 random queries in pages", func(t *T) { checkPages(t, c, corpus, rng) }},
		{"search/a token of another query", func(t *T) { checkForeignTokens(t, c, corpus) }},
		{"search/depths", func(t *T) { checkDepths(t, c, corpus) }},
		{"search/time bounds inclusive", func(t *T) { checkBounds(t, c, corpus) }},
		{"search/absent and year-1 bounds are open", func(t *T) { checkOpenBounds(t, c, corpus) }},
		{"search/typed values", func(t *T) { checkTyped(t, c) }},
		{"search/special keys", func(t *T) { checkSpecialKeys(t, c, corpus) }},
		{"search/services and operations", func(t *T) { checkNames(t, c, corpus) }},
		{"search/dependencies", func(t *T) { checkDependencies(t, c) }},
		{"search/many ids, repeated and with hints", func(t *T) { checkManyIDs(t, c, corpus) }},
		{"search/a stalled reader blocks nobody", func(t *T) { checkStalledReader(t, c) }},
	}
}

// checkQuery asks one search in its three forms.
func checkQuery(t *T, c *Conn, q Query, whole map[string][]Flat, want []string) bool {
	traces, err := c.FindTraces(t.ctx, q)
	t.Must(err, "FindTraces "+q.text())
	if !slices.Equal(traces.Order, want) {
		t.Errorf("%s\n      found    %v\n      expected %v", q.text(), traces.Order, want)
		return false
	}
	for _, id := range want {
		if d := difference(whole[id], traces.Spans[id]); d != "" {
			t.Errorf("%s: trace %s: %s", q.text(), id, d)
			return false
		}
	}
	found, err := c.FindTraceIDs(t.ctx, q)
	t.Must(err, "FindTraceIDs")
	var ids []string
	for _, f := range found {
		ids = append(ids, hexOf(f.TraceID))
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%s\n      ids      %v\n      expected %v", q.text(), ids, want)
	}
	sums, err := c.FindSummaries(t.ctx, q)
	t.Must(err, "FindTraceSummaries")
	if len(sums) != len(want) {
		t.Errorf("%s: %d summaries, expected %d", q.text(), len(sums), len(want))
		return false
	}
	for i, s := range sums {
		if hex.EncodeToString(s.TraceID) != want[i] {
			t.Errorf("%s: summary %d is of %x, expected %s", q.text(), i, s.TraceID, want[i])
		}
		compareSummary(t, summarise(whole[want[i]]), s)
	}
	return true
}

func checkRandomQueries(t *T, c *Conn, corpus Corpus, rng *rand.Rand) {
	whole := byTrace(corpus.Spans)
	hits := 0
	for range 300 {
		q := corpus.randomQuery(rng)
		want := q.find(corpus.Spans)
		if len(want) > 0 {
			hits++
		}
		checkQuery(t, c, q, whole, want)
	}
	t.Notef("%d of 300 queries had results", hits)
	if hits < 100 {
		t.Errorf("only %d of 300 queries had results: the corpus tests little", hits)
	}
}

func checkDepths(t *T, c *Conn, corpus Corpus) {
	for depth, n := range map[int32]int{0: 100, -1: 100, -2147483648: 100, 1: 1, 7: 7, 299: 299, 10_000: 300, 10_001: 300, 2147483647: 300} {
		q := Query{Attributes: kvs(corpusMark, "yes"), Depth: depth}
		found, err := c.FindTraceIDs(t.ctx, q)
		if err != nil || len(found) != n {
			t.Errorf("depth %d: %d traces, %v; expected %d", depth, len(found), err, n)
		}
	}
}

func checkBounds(t *T, c *Conn, corpus Corpus) {
	whole := byTrace(corpus.Spans)
	for _, f := range corpus.Spans[:20] {
		s := f.Span.StartTimeUnixNano
		for _, q := range []Query{{Min: s, Max: s}, {Min: s + 1, Max: s + 2}, {Min: s - 2, Max: s - 1}, {Min: s, Max: s + 1}} {
			q.Attributes = kvs(corpusMark, "yes")
			checkQuery(t, c, q, whole, q.find(corpus.Spans))
		}
	}
}

func checkOpenBounds(t *T, c *Conn, corpus Corpus) {
	for _, yearOne := range []bool{true, false} {
		q := Query{Attributes: kvs(corpusMark, "yes"), Depth: 1000, YearOne: yearOne}
		found, err := c.FindTraceIDs(t.ctx, q)
		if err != nil || len(found) != len(byTrace(corpus.Spans)) {
			t.Errorf("open bounds (year one: %v): %d traces, %v", yearOne, len(found), err)
		}
	}
	// Bounds far outside what nanoseconds can hold are bounds like others.
	for bound, n := range map[string]int{
		"start_time_min {seconds: -62135596800} start_time_max {seconds: 253402300799 nanos: 999999999}": 100,
		"start_time_min {seconds: 253402300799}":                                                         0,
		"start_time_max {seconds: -1}":                                                                   0,
		"start_time_min {seconds: -100}":                                                                 100,
	} {
		m, err := c.Unary(t.ctx, traceReader+"FindTraceIDs", `query { attributes {key: "`+corpusMark+`" value {string_value: "yes"}} `+bound+" }")
		if err != nil {
			t.Errorf("%s: %v", bound, err)
			continue
		}
		var answer struct {
			IDs []FoundID `json:"trace_ids"`
		}
		t.Must(c.api.into(m, &answer), "decoding")
		if len(answer.IDs) != n {
			t.Errorf("%s: %d traces, expected %d", bound, len(answer.IDs), n)
		}
	}
}

// checkTyped: every type of stored value, asked for typed and as the text Jaeger's UI sends.
func checkTyped(t *T, c *Conn) {
	values := []any{"text", "", 0, 123, -5, int64(9007199254740993), 72.5, 72.0, 1e21, 1e-7, 1e20, 0.000001, 5e-324, true, false,
		[]byte{0, 0, 48, 57}, []byte{}, []any{1, "a", true}, []*common.KeyValue{kv("a", 1)}}
	var spans []Flat
	for i, v := range values {
		f := simpleSpan("typed-service", uint64(i)+1)
		f.Span.TraceId = traceID(0x7f, uint64(i)+1)
		f.Span.Attributes = kvs("typed", v)
		spans = append(spans, f)
	}
	t.Must(c.ExportAll(t.ctx, spans, 5), "export")
	whole := byTrace(spans)
	for i, v := range values {
		q := Query{Service: "typed-service", Attributes: kvs("typed", v)}
		for _, q := range []Query{q, q.asStrings()} {
			want := q.find(spans)
			if !slices.Contains(want, spans[i].TraceID()) {
				t.Fatalf("the plain answer for %v misses its own span", v)
			}
			checkQuery(t, c, q, whole, want)
		}
	}
	q := Query{Service: "typed-service", Attributes: kvs("typed", "1234")}
	checkQuery(t, c, q, whole, nil)
}

func checkSpecialKeys(t *T, c *Conn, corpus Corpus) {
	whole := byTrace(corpus.Spans)
	for key, words := range map[string][]any{
		"error":         {true, false, "true", "T", "1", "FALSE", "0", "f", "yes", "", 1},
		"span.kind":     {"server", "Client", "PRODUCER", "consumer", "internal", "unspecified", "nonsense"},
		"span.status":   {"OK", "ok", "Error", "unset", "nonsense"},
		"scope.name":    {"lib", "http", "LIB"},
		"scope.version": {"1", "2", "3"},
		"resource.zone": {"eu", "EU"},
		"resource.user": {"ann"},
	} {
		for _, word := range words {
			q := Query{Attributes: kvs(corpusMark, "yes", key, word), Depth: 1000}
			checkQuery(t, c, q, whole, q.find(corpus.Spans))
		}
	}
}

func checkNames(t *T, c *Conn, corpus Corpus) {
	got, err := c.Services(t.ctx)
	t.Must(err, "GetServices")
	for _, s := range services(corpus.Spans) {
		if !slices.Contains(got, s) {
			t.Errorf("service %s is missing", s)
		}
	}
	if slices.Contains(got, "") {
		t.Errorf("the empty service is listed")
	}
	for _, s := range services(corpus.Spans) {
		for _, kind := range []string{"", "server", "client", "producer", "consumer", "internal"} {
			filter := &kind
			if kind == "" {
				filter = nil // "" asks for all kinds
			}
			ops, err := c.Operations(t.ctx, s, kind)
			if want := operations(corpus.Spans, s, filter); err != nil || !slices.Equal(ops, want) {
				t.Errorf("operations of %s kind %q: %v, %v; expected %v", s, kind, ops, err, want)
			}
		}
	}
}

// checkDependencies writes a small call graph at a moment nothing else is at.
func checkDependencies(t *T, c *Conn) {
	base := nanos(yesterday().Add(-20 * 24 * time.Hour))
	span := func(trace_ uint64, service string, id, parent uint64, kind trace.Span_SpanKind, offset uint64) Flat {
		f := simpleSpan(service, id)
		f.Span.TraceId = traceID(0xde, trace_)
		if parent != 0 {
			f.Span.ParentSpanId = spanID(parent)
		}
		f.Span.Kind = kind
		f.Span.StartTimeUnixNano, f.Span.EndTimeUnixNano = base+offset, base+offset+500
		return f
	}
	const none, client, server = trace.Span_SPAN_KIND_UNSPECIFIED, trace.Span_SPAN_KIND_CLIENT, trace.Span_SPAN_KIND_SERVER
	spans := []Flat{
		span(1, "dep-front", 1, 0, server, 0), span(1, "dep-front", 2, 1, client, 10), span(1, "dep-cart", 3, 2, server, 20),
		span(1, "dep-db", 4, 3, none, 30), span(1, "dep-db", 5, 3, none, 40), span(1, "dep-db", 6, 777, none, 50), // an orphan
		// Shared span, as Zipkin writes it: client and server side have one id.
		span(2, "dep-front", 1, 0, server, 1000), span(2, "dep-front", 2, 1, client, 1010), span(2, "dep-auth", 2, 1, server, 1020),
		span(2, "dep-db", 3, 2, none, 1030), // its parent id is shared: the server side calls
	}
	t.Must(c.ExportAll(t.ctx, spans, 3), "export")
	want := map[Edge]uint64{{"dep-front", "dep-cart"}: 1, {"dep-cart", "dep-db"}: 2, {"dep-front", "dep-auth"}: 1, {"dep-auth", "dep-db"}: 1}
	if plain := dependencies(spans, base, base+2000); !maps.Equal(plain, want) {
		t.Fatalf("the plain answer is %v, expected %v", plain, want)
	}
	for _, k := range [][2]uint64{{0, 2000}, {0, 40}, {20, 41}, {20, 40}, {1020, 1031}, {30, 31}, {1500, 2000}} {
		got, err := c.Dependencies(t.ctx, base+k[0], base+k[1])
		if plain := dependencies(spans, base+k[0], base+k[1]); err != nil || !maps.Equal(got, plain) {
			t.Errorf("dependencies in +%d..+%d: %v, %v; expected %v", k[0], k[1], got, err, plain)
		}
	}
	got, err := c.Dependencies(t.ctx, 0, 0)
	t.Must(err, "dependencies of all time")
	for edge, n := range want {
		if got[edge] != n {
			t.Errorf("%v has %d calls over all time, expected %d", edge, got[edge], n)
		}
	}
}

func checkManyIDs(t *T, c *Conn, corpus Corpus) {
	whole := byTrace(corpus.Spans)
	ids := sortedKeys(whole)
	got, err := c.GetTraces(t.ctx, ids...)
	t.Must(err, "GetTraces")
	if len(got.Order) != len(ids) {
		t.Errorf("%d of %d traces", len(got.Order), len(ids))
	}
	for _, id := range ids {
		if d := difference(whole[id], got.Spans[id]); d != "" {
			t.Errorf("trace %s: %s", id, d)
		}
	}
	// An id with its times as hints.
	sum := summarise(whole[ids[0]])
	frames, err := c.Stream(t.ctx, traceReader+"GetTraces", fmt.Sprintf("query { trace_id: %s start_time: %s end_time: %s }",
		bytesText(sum.TraceID), timestampText(sum.MinStart, false), timestampText(sum.MaxEnd, false)))
	t.Must(err, "GetTraces with hints")
	hinted, err := readTraces(frames)
	t.Must(err, "GetTraces with hints")
	if d := difference(whole[ids[0]], hinted.Spans[ids[0]]); d != "" {
		t.Errorf("with hints: %s", d)
	}
}

// checkStalledReader opens many large streams on connections of their own, reads nothing, and
// demands that everybody else is served.
func checkStalledReader(t *T, c *Conn) {
	id := traceID(0, 0xabcd) // the large trace of the suite
	for i := range 12 {
		stalled, err := Dial(c.api, c.cc.Target(), jaegerLimit)
		t.Must(err, "dial")
		defer stalled.Close()
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		stream, err := stalled.Open(ctx, traceReader+"GetTraces", "query { trace_id: "+bytesText(id)+" }")
		t.Must(err, "opening a stream")
		if i == 0 { // make sure that there is something to stall
			var frame []byte
			if err := stream.RecvMsg(&frame); errors.Is(err, io.EOF) {
				t.Fatalf("the large trace is not there; run this check after suite/")
			}
		}
	}
	time.Sleep(300 * time.Millisecond)
	ctx, cancel := contextWith(t.ctx, 20*time.Second)
	defer cancel()
	start := time.Now()
	for i := range 20 {
		f := simpleSpan("stall-service", uint64(i)+1)
		f.Span.TraceId = traceID(0x57, uint64(i)+1)
		_, err := c.Export(ctx, pack([]Flat{f}, 1)[0])
		t.Must(err, "export beside stalled readers")
		got, err := c.GetTraces(ctx, f.TraceID())
		t.Must(err, "read beside stalled readers")
		if len(got.Order) != 1 {
			t.Errorf("an acked span was not visible")
		}
		_, err = c.FindSummaries(ctx, Query{Service: "stall-service"})
		t.Must(err, "search beside stalled readers")
	}
	t.Notef("20 exports, reads and searches beside 12 stalled readers in %s", time.Since(start).Round(time.Millisecond))
}
