package main

// soak.go: a sender that writes down which spans it was told are accepted, and a reader that
// demands every one of them (design.md invariant 1, end to end).

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const soakBatch = 25

// soakSpans are the spans of one trace of the soak; its content follows from its number alone.
func soakSpans(run, n uint64) []Flat {
	var out []Flat
	for i := range uint64(soakBatch) {
		f := simpleSpan("soak-service", i+1)
		f.Span.TraceId = traceID(run, n)
		f.Span.Name = fmt.Sprintf("step-%d", i)
		f.Span.StartTimeUnixNano = 1_750_000_000_000_000_000 + n*1000 + i
		f.Span.EndTimeUnixNano = f.Span.StartTimeUnixNano + 100
		f.Span.Attributes = kvs("n", int64(n), "filler", strings.Repeat("x", 200))
		if i > 0 {
			f.Span.ParentSpanId = spanID(1)
		}
		out = append(out, f)
	}
	return out
}

// send writes traces until the time is over and appends each accepted one to the file.
func send(ctx context.Context, target, file string, run uint64, workers int, d, deadline time.Duration) error {
	cc, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	if err != nil {
		return err
	}
	defer cc.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	var (
		mu              sync.Mutex
		next            atomic.Uint64
		accepted, waits int
		refused         = map[string]int{}
		longest         time.Duration
		group           sync.WaitGroup
	)
	end := time.Now().Add(d)
	c := &Conn{cc: cc, timeout: deadline}
	for range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Now().Before(end) && ctx.Err() == nil {
				n := next.Add(1)
				start := time.Now()
				resp, err := c.Export(ctx, pack(soakSpans(run, n), soakBatch)[0])
				took := time.Since(start)
				mu.Lock()
				switch {
				case err != nil:
					refused[refusalOf(err).Code.String()]++
				case resp.GetPartialSuccess().GetRejectedSpans() != 0:
					refused["partial"]++
				default:
					accepted++
					longest = max(longest, took)
					if took > 2*time.Second {
						waits++
					}
					_, err = fmt.Fprintf(out, "%d\n", n)
				}
				mu.Unlock()
				if err != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}()
	}
	group.Wait()
	fmt.Printf("accepted %d traces of %d spans, %d of them after more than 2 s (longest %s); refused %v\n",
		accepted, soakBatch, waits, longest.Round(time.Millisecond), refused)
	if accepted == 0 {
		return fmt.Errorf("nothing was accepted")
	}
	return nil
}

// verify demands every accepted trace, whole and once.
func verify(ctx context.Context, c *Conn, file string, run uint64) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	var ids []string
	want := map[string]uint64{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var n uint64
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			return err
		}
		id := hex.EncodeToString(traceID(run, n))
		ids = append(ids, id)
		want[id] = n
	}
	if len(ids) == 0 {
		return fmt.Errorf("%s names no accepted trace", file)
	}
	missing, wrong := 0, 0
	for start := 0; start < len(ids); start += 200 {
		part := ids[start:min(start+200, len(ids))]
		got, err := c.GetTraces(ctx, part...)
		if err != nil {
			return err
		}
		for _, id := range part {
			if len(got.Spans[id]) == 0 {
				missing++
				continue
			}
			if d := difference(soakSpans(run, want[id]), got.Spans[id]); d != "" {
				if wrong == 0 {
					fmt.Printf("trace %s: %.500s\n", id, d)
				}
				wrong++
			}
		}
	}
	fmt.Printf("%d accepted traces: %d missing, %d not as sent\n", len(ids), missing, wrong)
	if missing+wrong > 0 {
		return fmt.Errorf("accepted spans were lost or changed")
	}
	return nil
}
