package main

// dataset.go: whole data sets with known answers: written, counted, read back and compared
// (../shared/data/README.md describes the files).

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Expected are the brute-force answers that come with a data set.
type Expected struct {
	Spans, Traces, Services, Operations int
	DuplicateKeys                       int            `json:"duplicate_span_keys"`
	Errors                              int            `json:"error_spans"`
	Orphans                             int            `json:"orphan_spans"`
	SpansByService                      map[string]int `json:"spans_by_service"`
	Dependencies                        [][3]any
}

// eachRequest hands over every request of a data set, as raw bytes.
func eachRequest(file string, f func([]byte) error) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		return err
	}
	defer z.Close()
	r := bufio.NewReaderSize(z, 1<<20)
	for {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return err
		}
		if err := f(data); err != nil {
			return err
		}
	}
}

// digest stands for a span's whole content without keeping it.
type digest [16]byte

func digestOf(f Flat) digest {
	sum := sha256.Sum256([]byte(f.canonical()))
	return digest(sum[:16])
}

// datasetChecks write a set, unless it is there already, and ask for everything its expected answers know.
func datasetChecks(c *Conn, file string, written bool) ([]Check, error) {
	text, err := os.ReadFile(strings.TrimSuffix(file, ".otlp.zst") + ".expected.json")
	if err != nil {
		return nil, err
	}
	var want Expected
	if err := json.Unmarshal(text, &want); err != nil {
		return nil, err
	}
	state := &dataset{written: written, c: c, file: file, want: want, sent: map[string]map[digest]int{}, services: map[string]bool{}}
	return []Check{
		{"data/write", state.write},
		{"data/services and operations", state.names},
		{"data/dependencies", state.edges},
		{"data/read back equal", state.readBack},
		{"data/summaries", state.summaries},
	}, nil
}

type dataset struct {
	written  bool // an earlier run wrote it; only learn what was sent
	c        *Conn
	file     string
	want     Expected
	sent     map[string]map[digest]int // trace id → content → copies
	summary  map[string]*shape
	services map[string]bool
	spans    int
	from, to uint64
}

// shape is what a summary must say about a trace, without the names.
type shape struct{ spans, errors int }

func (d *dataset) write(t *T) {
	d.summary = map[string]*shape{}
	d.from = ^uint64(0)
	start := time.Now()
	size := 0
	var waiting time.Duration
	err := eachRequest(d.file, func(data []byte) error {
		size += len(data)
		if d.written {
			return d.remember(data)
		}
		before := time.Now()
		resp, err := d.c.ExportRaw(t.ctx, data)
		waiting += time.Since(before)
		if err != nil {
			return err
		}
		if p := resp.GetPartialSuccess(); p.GetRejectedSpans() != 0 {
			return fmt.Errorf("%d spans rejected: %s", p.RejectedSpans, p.ErrorMessage)
		}
		return d.remember(data)
	})
	t.Must(err, "writing "+d.file)
	t.Notef("%d spans, %d MB in %s (%s of it waiting for answers)", d.spans, size>>20, time.Since(start).Round(time.Millisecond), waiting.Round(time.Millisecond))
	if d.spans != d.want.Spans || len(d.sent) != d.want.Traces {
		t.Errorf("sent %d spans in %d traces, expected %d in %d", d.spans, len(d.sent), d.want.Spans, d.want.Traces)
	}
}

func (d *dataset) remember(data []byte) error {
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &req); err != nil {
		return err
	}
	for _, f := range flatten(req.ResourceSpans) {
		d.spans++
		id := f.TraceID()
		if d.sent[id] == nil {
			d.sent[id] = map[digest]int{}
			d.summary[id] = &shape{}
		}
		d.sent[id][digestOf(f)]++
		d.summary[id].spans++
		if f.Span.GetStatus().GetCode() == 2 {
			d.summary[id].errors++
		}
		d.services[f.Service()] = true
		d.from = min(d.from, f.Span.StartTimeUnixNano)
		d.to = max(d.to, f.Span.StartTimeUnixNano)
	}
	return nil
}

func (d *dataset) names(t *T) {
	got, err := d.c.Services(t.ctx)
	t.Must(err, "GetServices")
	if len(got) != d.want.Services {
		t.Errorf("%d services, expected %d", len(got), d.want.Services)
	}
	operations := 0
	for _, s := range got {
		if d.want.SpansByService[s] == 0 {
			t.Errorf("service %q is not in the set", s)
		}
		ops, err := d.c.Operations(t.ctx, s, "")
		t.Must(err, "GetOperations")
		names := map[string]bool{}
		for _, o := range ops {
			names[o.Name] = true
		}
		operations += len(names)
	}
	if operations != d.want.Operations {
		t.Errorf("%d operations, expected %d", operations, d.want.Operations)
	}
}

func (d *dataset) edges(t *T) {
	want := map[Edge]uint64{}
	for _, e := range d.want.Dependencies {
		parent, _ := e[0].(string)
		child, _ := e[1].(string)
		calls, _ := e[2].(float64)
		want[Edge{parent, child}] = uint64(calls)
	}
	for name, bounds := range map[string][2]uint64{"of all time": {0, 0}, "of the set's window": {d.from, d.to + 1}} {
		start := time.Now()
		got, err := d.c.Dependencies(t.ctx, bounds[0], bounds[1])
		t.Must(err, "GetDependencies")
		wrong := 0
		for e, n := range want {
			if got[e] != n {
				if wrong++; wrong <= 5 {
					t.Errorf("%s: %v called %d times, expected %d", name, e, got[e], n)
				}
			}
		}
		if len(got) != len(want) || wrong > 0 {
			t.Errorf("%s: %d edges, expected %d; %d wrong", name, len(got), len(want), wrong)
		}
		t.Notef("%d edges %s in %s", len(got), name, time.Since(start).Round(time.Millisecond))
	}
}

// readBack reads every trace by its id and compares all content.
func (d *dataset) readBack(t *T) {
	start := time.Now()
	spans, bad, chunks := 0, 0, 0
	ids := sortedKeys(d.sent)
	for from := 0; from < len(ids); from += 500 {
		part := ids[from:min(from+500, len(ids))]
		got, err := d.c.GetTraces(t.ctx, part...)
		t.Must(err, "GetTraces")
		chunks += got.Chunks
		for _, id := range part {
			spans += len(got.Spans[id])
			left := map[digest]int{}
			for k, n := range d.sent[id] {
				left[k] = n
			}
			for _, f := range got.Spans[id] {
				left[digestOf(f)]--
			}
			for _, n := range left {
				if n != 0 {
					bad++
					if bad <= 3 {
						t.Errorf("trace %s does not come back as sent (%d of %d spans)", id, len(got.Spans[id]), d.summary[id].spans)
					}
					break
				}
			}
		}
	}
	if spans != d.want.Spans || bad > 0 {
		t.Errorf("%d spans came back, expected %d; %d traces differ", spans, d.want.Spans, bad)
	}
	t.Notef("%d spans in %d chunks in %s", spans, chunks, time.Since(start).Round(time.Millisecond))
}

// summaries checks the newest 10,000 traces' counts.
func (d *dataset) summaries(t *T) {
	start := time.Now()
	sums, err := d.c.FindSummaries(t.ctx, Query{Depth: 10_000})
	t.Must(err, "FindTraceSummaries")
	if want := min(len(d.sent), 10_000); len(sums) != want {
		t.Errorf("%d summaries, expected %d", len(sums), want)
	}
	errors, orphans, spans := 0, 0, 0
	for _, s := range sums {
		want := d.summary[hexOf(s.TraceID)]
		if want == nil || s.Spans != want.spans || s.Errors != want.errors {
			t.Errorf("summary %+v, expected %+v", s, want)
			continue
		}
		errors, orphans, spans = errors+s.Errors, orphans+s.Orphans, spans+s.Spans
	}
	if len(sums) == len(d.sent) && (errors != d.want.Errors || orphans != d.want.Orphans || spans != d.want.Spans) {
		t.Errorf("all summaries together: %d spans, %d errors, %d orphans; expected %d, %d, %d",
			spans, errors, orphans, d.want.Spans, d.want.Errors, d.want.Orphans)
	}
	t.Notef("%d summaries in %s", len(sums), time.Since(start).Round(time.Millisecond))
}

// sameRequest demands that the store holds exactly the spans of an encoded Export request, as
// the SDK that sent it encoded them.
func sameRequest(ctx context.Context, c *Conn, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var req collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &req); err != nil {
		return err
	}
	sent := byTrace(flatten(req.ResourceSpans))
	if len(sent) == 0 {
		return fmt.Errorf("%s holds no spans", file)
	}
	total := 0
	for id, want := range sent {
		got, err := c.GetTraces(ctx, id)
		if err != nil {
			return err
		}
		if diff := difference(want, got.Spans[id]); diff != "" {
			return fmt.Errorf("trace %s of %s: %s", id, file, diff)
		}
		total += len(want)
	}
	fmt.Printf("%s: %d spans in %d traces came back equal\n", file, total, len(sent))
	return nil
}
