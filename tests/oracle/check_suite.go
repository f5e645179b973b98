package main

// check_suite.go: the eight scenarios and the 25 captions (jaeger-contract.md §8.3, §8.4), in
// direct mode: typed values and strings, straight at the storage port. They need an empty store.

import (
	"encoding/hex"
	"slices"
	"time"
)

func suiteChecks(c *Conn) []Check {
	return []Check{
		{"suite/empty store", func(t *T) {
			if got, err := c.Services(t.ctx); err != nil || len(got) != 0 {
				t.Errorf("services of an empty store: %v, %v", got, err)
			}
			if got, err := c.FindTraces(t.ctx, Query{}); err != nil || len(got.Order) != 0 {
				t.Errorf("search in an empty store: %v, %v", got.Order, err)
			}
			if got, err := c.Operations(t.ctx, "nobody", ""); err != nil || len(got) != 0 {
				t.Errorf("operations in an empty store: %v, %v", got, err)
			}
		}},
		{"suite/GetServices", func(t *T) {
			t.Must(c.ExportAll(t.ctx, exampleTrace(), 5), "export")
			got, err := c.Services(t.ctx)
			t.Must(err, "GetServices")
			want := []string{"example-service-1", "example-service-2", "example-service-3"}
			if !slices.Equal(got, want) {
				t.Errorf("services %v, expected %v", got, want)
			}
		}},
		{"suite/GetOperations", func(t *T) { checkOperations(t, c) }},
		{"suite/GetTrace", func(t *T) {
			got, err := c.GetTraces(t.ctx, hexOf(traceID(0, 0x11)))
			t.Must(err, "GetTraces")
			if d := difference(exampleTrace(), got.Spans[hexOf(traceID(0, 0x11))]); d != "" {
				t.Errorf("example trace: %s", d)
			}
		}},
		{"suite/GetTrace unknown id", func(t *T) {
			got, err := c.GetTraces(t.ctx, hexOf(traceID(0, 1)))
			if err != nil || got.Chunks != 0 {
				t.Errorf("unknown id: %d chunks, %v", got.Chunks, err)
			}
			got, err = c.GetTraces(t.ctx, hexOf(traceID(0, 1)), hexOf(traceID(0, 0x11)), hexOf(traceID(9, 9)))
			if err != nil || len(got.Order) != 1 || len(got.Spans[hexOf(traceID(0, 0x11))]) != 5 {
				t.Errorf("a known id between unknown ones: %v, %v", got.Order, err)
			}
		}},
		{"suite/GetLargeTrace", func(t *T) { checkLarge(t, c) }},
		{"suite/GetTraceWithDuplicateSpans", func(t *T) {
			t.Must(c.ExportAll(t.ctx, duplicateTrace(), 5), "export")
			id := duplicateTrace()[0].TraceID()
			got, err := c.GetTraces(t.ctx, id)
			t.Must(err, "GetTraces")
			if d := difference(duplicateTrace(), got.Spans[id]); d != "" {
				t.Errorf("trace with repeated span ids: %s", d)
			}
		}},
		{"suite/FindTraces write", func(t *T) {
			t.Must(c.ExportAll(t.ctx, captionSpans(), 5), "export")
		}},
		{"suite/FindTraces typed", func(t *T) { checkCaptions(t, c, func(q Query) Query { return q }) }},
		{"suite/FindTraces strings", func(t *T) { checkCaptions(t, c, Query.asStrings) }},
		{"suite/FindTraceSummaries", func(t *T) {
			moment := nanos(at("16:46:31.639875"))
			got, err := c.FindSummaries(t.ctx, Query{Service: "example-service-1", Depth: 10,
				Min: moment - 60e9, Max: moment + 60e9})
			t.Must(err, "FindTraceSummaries")
			if len(got) != 1 {
				t.Fatalf("%d summaries, expected 1", len(got))
			}
			compareSummary(t, summarise(exampleTrace()), got[0])
		}},
		{"suite/FindTracesWithoutServiceName", func(t *T) {
			spans := crossTraces()
			t.Must(c.ExportAll(t.ctx, spans, 5), "export")
			now := nanos(time.Now())
			q := Query{Attributes: kvs("rfc0013.cross.service", "yes"), Depth: 10, Min: now - 3600e9, Max: now + 3600e9}
			got, err := c.FindTraces(t.ctx, q)
			t.Must(err, "FindTraces")
			if want := q.find(spans); !slices.Equal(got.Order, want) {
				t.Errorf("found %v, expected %v", got.Order, want)
			}
		}},
	}
}

func checkOperations(t *T, c *Conn) {
	for _, k := range []struct {
		service, kind string
		want          []Operation
	}{
		{"example-service-1", "", []Operation{{"example-operation-1", ""}, {"example-operation-3", "server"}, {"example-operation-4", "client"}}},
		{"example-service-1", "server", []Operation{{"example-operation-3", "server"}}},
		{"example-service-1", "client", []Operation{{"example-operation-4", "client"}}},
		{"example-service-1", "producer", nil},
		{"example-service-2", "", []Operation{{"example-operation-2", ""}}},
		{"no-such-service", "", nil},
	} {
		got, err := c.Operations(t.ctx, k.service, k.kind)
		if err != nil || !slices.Equal(got, k.want) {
			t.Errorf("operations of %q kind %q: %v, %v; expected %v", k.service, k.kind, got, err, k.want)
		}
	}
}

func checkLarge(t *T, c *Conn) {
	spans := largeTrace()
	start := time.Now()
	t.Must(c.ExportAll(t.ctx, spans, 5), "export")
	t.Notef("2,002 exports of 5 spans one after the other in %s", time.Since(start).Round(time.Millisecond))
	id := spans[0].TraceID()
	got, err := c.GetTraces(t.ctx, id)
	t.Must(err, "GetTraces")
	if d := difference(spans, got.Spans[id]); d != "" {
		t.Errorf("large trace: %s", d)
	}
	if len(got.Order) != 1 || got.Chunks < 2 {
		t.Errorf("%d traces in %d chunks; a trace this large comes in several chunks", len(got.Order), got.Chunks)
	}
	sums, err := c.FindSummaries(t.ctx, Query{Service: "large-service"})
	t.Must(err, "FindTraceSummaries")
	if len(sums) != 1 {
		t.Fatalf("%d summaries, expected 1", len(sums))
	}
	compareSummary(t, summarise(spans), sums[0])
}

// checkCaptions asks all 25 and compares order, whole traces and content with the plain answer.
func checkCaptions(t *T, c *Conn, shape func(Query) Query) {
	for _, k := range captions {
		spans := k.Spans()
		q := shape(k.Query())
		want := q.find(spans)
		if len(want) != k.Traces {
			t.Fatalf("fixture of %q: the plain answer has %d traces, expected %d", k.Name, len(want), k.Traces)
		}
		got, err := c.FindTraces(t.ctx, q)
		if err != nil {
			t.Errorf("%q: %v", k.Name, err)
			continue
		}
		if !slices.Equal(got.Order, want) {
			t.Errorf("%q: found %v, expected %v", k.Name, got.Order, want)
			continue
		}
		whole := byTrace(spans)
		for _, id := range want {
			if d := difference(whole[id], got.Spans[id]); d != "" {
				t.Errorf("%q: trace %s: %s", k.Name, id, d)
			}
		}
	}
}

func compareSummary(t *T, want, got Summary) {
	if hex.EncodeToString(want.TraceID) != hex.EncodeToString(got.TraceID) ||
		want.RootService != got.RootService || want.RootOperation != got.RootOperation ||
		want.MinStart != got.MinStart || want.MaxEnd != got.MaxEnd || want.Spans != got.Spans ||
		want.Errors != got.Errors || want.Orphans != got.Orphans || !slices.Equal(want.Services, got.Services) {
		t.Errorf("summary %+v\n      expected %+v", got, want)
	}
}
