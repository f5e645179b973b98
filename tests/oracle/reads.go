package main

// reads.go: the calls of the storage API, each with the rules every answer must keep whatever
// was asked (jaeger-contract.md §1.4).

import (
	"context"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	traceReader      = "jaeger.storage.v2.TraceReader/"
	dependencyReader = "jaeger.storage.v2.DependencyReader/GetDependencies"
	capabilitiesRPC  = "jaeger.storage.v2.Capabilities/GetCapabilities"
	// chunkLimit: answers come in chunks of 1 to 2 MiB; a little slack for the last span.
	chunkLimit = 2<<20 + 64<<10
)

// Traces is a streamed answer: whole traces in their order.
type Traces struct {
	Order  []string
	Spans  map[string][]Flat
	Chunks int
}

// readTraces checks the chunk rules and joins the chunks: one trace a chunk, neighbours only,
// never empty, none too large.
func readTraces(frames [][]byte) (Traces, error) {
	t := Traces{Spans: map[string][]Flat{}, Chunks: len(frames)}
	for i, frame := range frames {
		if len(frame) > chunkLimit {
			return t, fmt.Errorf("chunk %d has %d bytes", i, len(frame))
		}
		var data trace.TracesData
		if err := proto.Unmarshal(frame, &data); err != nil {
			return t, fmt.Errorf("chunk %d: %w", i, err)
		}
		spans := flatten(data.ResourceSpans)
		if len(spans) == 0 {
			return t, fmt.Errorf("chunk %d is empty", i)
		}
		id := spans[0].TraceID()
		for _, f := range spans {
			if len(f.Span.TraceId) != 16 || len(f.Span.SpanId) != 8 || len(f.Span.ParentSpanId) > 0 && len(f.Span.ParentSpanId) != 8 {
				return t, fmt.Errorf("chunk %d: ids of %d, %d and %d bytes", i, len(f.Span.TraceId), len(f.Span.SpanId), len(f.Span.ParentSpanId))
			}
			if f.TraceID() != id {
				return t, fmt.Errorf("chunk %d holds traces %s and %s", i, id, f.TraceID())
			}
		}
		if n := len(t.Order); n == 0 || t.Order[n-1] != id {
			if _, seen := t.Spans[id]; seen {
				return t, fmt.Errorf("chunk %d: trace %s is not in consecutive chunks", i, id)
			}
			t.Order = append(t.Order, id)
		}
		t.Spans[id] = append(t.Spans[id], spans...)
	}
	return t, nil
}

func bytesText(id []byte) string {
	var b strings.Builder
	for _, c := range id {
		fmt.Fprintf(&b, "\\x%02x", c)
	}
	return `"` + b.String() + `"`
}

// GetTraces reads traces by their hex ids, without time hints.
func (c *Conn) GetTraces(ctx context.Context, ids ...string) (Traces, error) {
	var b strings.Builder
	for _, id := range ids {
		raw, err := hex.DecodeString(id)
		if err != nil {
			return Traces{}, err
		}
		// Jaeger's client always sends the hints; without any they say the year 1.
		fmt.Fprintf(&b, "query { trace_id: %s start_time: {seconds: -62135596800} end_time: {seconds: -62135596800} } ", bytesText(raw))
	}
	frames, err := c.Stream(ctx, traceReader+"GetTraces", b.String())
	if err != nil {
		return Traces{}, err
	}
	return readTraces(frames)
}

// FindTraces searches for whole traces.
func (c *Conn) FindTraces(ctx context.Context, q Query) (Traces, error) {
	frames, err := c.Stream(ctx, traceReader+"FindTraces", "query {"+q.text()+"}")
	if err != nil {
		return Traces{}, err
	}
	return readTraces(frames)
}

// FoundID is one entry of a FindTraceIDs answer.
type FoundID struct {
	TraceID []byte `json:"trace_id"`
	Start   string `json:"start"`
	End     string `json:"end"`
}

// FindTraceIDs searches for ids, not for a page of them.
func (c *Conn) FindTraceIDs(ctx context.Context, q Query) ([]FoundID, error) {
	found, token, err := c.PageIDs(ctx, q)
	if err == nil && token != "" {
		return nil, fmt.Errorf("a page token %q without pagination", token)
	}
	return found, err
}

// PageIDs searches for ids; the token leads to the next page.
func (c *Conn) PageIDs(ctx context.Context, q Query) ([]FoundID, string, error) {
	m, err := c.Unary(ctx, traceReader+"FindTraceIDs", "query {"+q.text()+"}")
	if err != nil {
		return nil, "", err
	}
	var answer struct {
		IDs   []FoundID `json:"trace_ids"`
		Token string    `json:"next_page_token"`
	}
	err = c.api.into(m, &answer)
	return answer.IDs, answer.Token, err
}

// FindSummaries searches for summaries, not for a page of them.
func (c *Conn) FindSummaries(ctx context.Context, q Query) ([]Summary, error) {
	found, token, err := c.PageSummaries(ctx, q)
	if err == nil && token != "" {
		return nil, fmt.Errorf("a page token %q without pagination", token)
	}
	return found, err
}

// PageSummaries searches for summaries; the token, on the last batch only, leads to the next page.
func (c *Conn) PageSummaries(ctx context.Context, q Query) ([]Summary, string, error) {
	const method = traceReader + "FindTraceSummaries"
	frames, err := c.Stream(ctx, method, "query {"+q.text()+"}")
	if err != nil {
		return nil, "", err
	}
	var all []Summary
	var token string
	for i, frame := range frames {
		m, err := c.decode(method, frame)
		if err != nil {
			return nil, "", err
		}
		var answer struct {
			Summaries []Summary `json:"summaries"`
			Token     string    `json:"next_page_token"`
		}
		if err := c.api.into(m, &answer); err != nil {
			return nil, "", err
		}
		if token != "" || len(answer.Summaries) == 0 || len(frame) > chunkLimit {
			return nil, "", fmt.Errorf("summary batch %d: %d entries, %d bytes, token before it %q", i, len(answer.Summaries), len(frame), token)
		}
		all, token = append(all, answer.Summaries...), answer.Token
	}
	return all, token, nil
}

// Services, sorted.
func (c *Conn) Services(ctx context.Context) ([]string, error) {
	m, err := c.Unary(ctx, traceReader+"GetServices", "")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Services []string `json:"services"`
	}
	err = c.api.into(m, &answer)
	sort.Strings(answer.Services)
	return answer.Services, err
}

// Operations of a service, sorted; kind "" = all.
func (c *Conn) Operations(ctx context.Context, service, kind string) ([]Operation, error) {
	m, err := c.Unary(ctx, traceReader+"GetOperations", fmt.Sprintf("service: %q span_kind: %q", service, kind))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Operations []Operation `json:"operations"`
	}
	err = c.api.into(m, &answer)
	sortOperations(answer.Operations)
	return answer.Operations, err
}

// Dependencies in [start, end); 0 = the year-1 value Jaeger sends for an open bound.
func (c *Conn) Dependencies(ctx context.Context, start, end uint64) (map[Edge]uint64, error) {
	m, err := c.Unary(ctx, dependencyReader, fmt.Sprintf("start_time: %s end_time: %s",
		timestampText(start, true), timestampText(end, true)))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Dependencies []struct {
			Parent string `json:"parent"`
			Child  string `json:"child"`
			Calls  uint64 `json:"call_count,string"`
		} `json:"dependencies"`
	}
	if err := c.api.into(m, &answer); err != nil {
		return nil, err
	}
	edges := map[Edge]uint64{}
	for _, d := range answer.Dependencies {
		if d.Parent == d.Child {
			continue // calls inside a service are a matter of taste (§5.2)
		}
		if _, twice := edges[Edge{d.Parent, d.Child}]; twice {
			return nil, fmt.Errorf("edge %s → %s comes twice", d.Parent, d.Child)
		}
		edges[Edge{d.Parent, d.Child}] = d.Calls
	}
	return edges, nil
}
