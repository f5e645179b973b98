package main

// check_pages.go: searches walked page by page against the plain answer without a limit
// (jaeger-contract.md §1.12).

import (
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
)

// page asks for one page, by ids or by summaries.
func page(t *T, c *Conn, q Query, summaries bool) ([]string, string) {
	var ids []string
	if summaries {
		found, token, err := c.PageSummaries(t.ctx, q)
		t.Must(err, "FindTraceSummaries "+q.text())
		for _, s := range found {
			ids = append(ids, hexOf(s.TraceID))
		}
		return ids, token
	}
	found, token, err := c.PageIDs(t.ctx, q)
	t.Must(err, "FindTraceIDs "+q.text())
	for _, f := range found {
		ids = append(ids, hexOf(f.TraceID))
	}
	return ids, token
}

func checkPages(t *T, c *Conn, corpus Corpus, rng *rand.Rand) {
	pages, long := 0, 0
	for range 60 {
		q := corpus.randomQuery(rng)
		q.Depth = 10_000
		want := q.find(corpus.Spans)
		q.Depth = 0
		if len(want) > 20 {
			long++
		}
		var got []string
		token := ""
		for {
			// Sizes and calls change from page to page; attributes come in any order.
			size := []uint32{1, 2, 3, 7, 17}[rng.IntN(5)]
			if rng.IntN(12) == 0 {
				size = []uint32{50, uint32(len(want)-len(got)) + 1, 4_000_000_000}[rng.IntN(3)]
			}
			q.Page = &Page{Size: size, Token: token}
			rng.Shuffle(len(q.Attributes), func(i, j int) { q.Attributes[i], q.Attributes[j] = q.Attributes[j], q.Attributes[i] })
			found, next := page(t, c, q, rng.IntN(2) == 0)
			pages++
			got = append(got, found...)
			if uint64(len(found)) > uint64(size) || (next != "") != (len(got) < len(want)) {
				t.Errorf("%s: %d traces and token %q after %d of %d", q.text(), len(found), next, len(got), len(want))
				return
			}
			if next == "" {
				break
			}
			if strings.ContainsAny(next, "+/=") {
				t.Errorf("token %q is not unpadded URL-safe base64", next)
			}
			token = next
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\n      walked   %v\n      expected %v", q.text(), got, want)
		}
	}
	t.Notef("%d pages, %d walks of more than 20 traces", pages, long)
	if pages < 200 || long < 10 {
		t.Errorf("%d pages, %d long walks: the corpus tests little", pages, long)
	}
}

func checkForeignTokens(t *T, c *Conn, corpus Corpus) {
	q := Query{Attributes: kvs(corpusMark, "yes"), Page: &Page{Size: 3}}
	_, token := page(t, c, q, false)
	if token == "" {
		t.Errorf("%d traces in pages of three have no second page", len(byTrace(corpus.Spans)))
		return
	}
	others := []Query{
		{Attributes: q.Attributes, Service: "search-a"},
		{Attributes: q.Attributes, Operation: "get"},
		{Attributes: q.Attributes, Min: corpus.From},
		{Attributes: q.Attributes, Max: corpus.To},
		{Attributes: q.Attributes, DurMin: 1},
		{Attributes: q.Attributes, DurMax: 1},
		{Attributes: kvs(corpusMark, "no")},
		{},
	}
	for _, other := range others {
		other.Page = &Page{Size: 3, Token: token}
		for _, method := range []string{"FindTraceIDs", "FindTraceSummaries"} {
			_, err := c.Stream(t.ctx, traceReader+method, "query {"+other.text()+"}")
			expectRefusal(t, method+" "+other.text(), err, codes.InvalidArgument, "PAGINATION_INVALID")
			if r := refusalOf(err); !strings.Contains(r.Message, "different query") {
				t.Errorf("%s: %q", other.text(), r.Message)
			}
		}
	}
}
