package main

// check_http.go: OTLP over HTTP, protobuf and JSON, plain and gzip (the OTLP specification's HTTP
// part), read back over gRPC.

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const (
	asProtobuf = "application/x-protobuf"
	asJSON     = "application/json"
)

// Door is an OTLP/HTTP port.
type Door struct {
	store *Conn
	url   string
}

// HTTPAnswer is what the port said.
type HTTPAnswer struct {
	Code int
	Type string
	Body []byte
}

func (d *Door) post(ctx context.Context, contentType string, body []byte, headers ...string) (HTTPAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return HTTPAnswer{}, err
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return answerOf(http.DefaultClient.Do(req))
}

func answerOf(resp *http.Response, err error) (HTTPAnswer, error) {
	if err != nil {
		return HTTPAnswer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return HTTPAnswer{resp.StatusCode, resp.Header.Get("Content-Type"), body}, err
}

func zipped(data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(data) // a buffer takes everything
	_ = z.Close()
	return out.Bytes()
}

func httpChecks(d *Door) []Check {
	encodings := []struct {
		name, contentType string
		encode            func(*collector.ExportTraceServiceRequest) ([]byte, error)
		gzip              bool
	}{
		{"protobuf", asProtobuf, marshal, false}, {"protobuf gzip", asProtobuf, marshal, true},
		{"json", asJSON, toOTLPJSON, false}, {"json gzip", asJSON + "; charset=utf-8", toOTLPJSON, true},
	}
	var checks []Check
	for i, e := range encodings {
		checks = append(checks, Check{"http/" + e.name, func(t *T) {
			spans := everything()
			for j := range spans {
				spans[j].Span = proto.Clone(spans[j].Span).(*trace.Span)
				spans[j].Span.TraceId = traceID(0x4318, uint64(i))
			}
			body, err := e.encode(pack(spans, len(spans))[0])
			t.Must(err, "encoding")
			var headers []string
			if e.gzip {
				body, headers = zipped(body), []string{"Content-Encoding", "gzip"}
			}
			answer, err := d.post(t.ctx, e.contentType, body, headers...)
			t.Must(err, "post")
			want, _, _ := strings.Cut(e.contentType, ";")
			if answer.Code != 200 || !strings.HasPrefix(answer.Type, want) {
				t.Fatalf("HTTP %d %s %.200q", answer.Code, answer.Type, answer.Body)
			}
			expectTrace(t, d.store, spans)
		}})
	}
	return append(checks,
		Check{"http/json as people write it", func(t *T) { d.checkHandMadeJSON(t) }},
		Check{"http/refusals", func(t *T) { d.checkRefusals(t) }},
		Check{"http/partial success", func(t *T) { d.checkPartial(t) }},
	)
}

func marshal(req *collector.ExportTraceServiceRequest) ([]byte, error) { return proto.Marshal(req) }

// toOTLPJSON is protobuf's JSON with ids in hex and enums as numbers.
func toOTLPJSON(req *collector.ExportTraceServiceRequest) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(req)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	hexIDs(tree)
	return json.Marshal(tree)
}

func hexIDs(node any) {
	switch node := node.(type) {
	case map[string]any:
		for k, v := range node {
			if text, ok := v.(string); ok && (k == "traceId" || k == "spanId" || k == "parentSpanId") {
				if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
					node[k] = hex.EncodeToString(raw)
				}
				continue
			}
			hexIDs(v)
		}
	case []any:
		for _, v := range node {
			hexIDs(v)
		}
	}
}

// checkHandMadeJSON: numbers where strings are usual and the other way round, unknown members,
// upper-case ids: all allowed by OTLP/JSON.
func (d *Door) checkHandMadeJSON(t *T) {
	id := traceID(0xABCDEF, 0x4318)
	text := fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"json-service"}}]},
		"futureMember":{"a":[1,2]},
		"scopeSpans":[{"scope":{},"spans":[{"traceId":%q,"spanId":%q,"parentSpanId":"","name":"json","kind":2,
		"startTimeUnixNano":"1700000000123456789","endTimeUnixNano":1700000000223456789,"status":{},
		"attributes":[{"key":"i","value":{"intValue":"9007199254740993"}},{"key":"n","value":{"intValue":7}},
		{"key":"d","value":{"doubleValue":1}},{"key":"b","value":{"boolValue":false}},{"key":"raw","value":{"bytesValue":"AP8="}},
		{"key":"list","value":{"arrayValue":{"values":[{"stringValue":"x"}]}}},{"key":"none","value":{}}]}]}]}]}`,
		strings.ToUpper(hexOf(id)), hexOf(spanID(1)))
	answer, err := d.post(t.ctx, asJSON, []byte(text))
	t.Must(err, "post")
	if answer.Code != 200 || !json.Valid(answer.Body) {
		t.Fatalf("HTTP %d %.300q", answer.Code, answer.Body)
	}
	want := simpleSpan("json-service", 1)
	want.Span = &trace.Span{TraceId: id, SpanId: spanID(1), Name: "json", Kind: 2, StartTimeUnixNano: 1700000000123456789,
		EndTimeUnixNano: 1700000000223456789, Attributes: kvs("i", int64(9007199254740993), "n", 7, "d", 1.0, "b", false,
			"raw", []byte{0, 255}, "list", []any{"x"}, "none", nil)}
	expectTrace(t, d.store, []Flat{want})
}

func (d *Door) checkRefusals(t *T) {
	good, err := marshal(pack(exampleTrace(), 5)[0])
	t.Must(err, "encoding")
	for _, k := range []struct {
		what, contentType string
		body              []byte
		headers           []string
		code              int
	}{
		{"garbage protobuf", asProtobuf, []byte("\xff\xff\xff"), nil, 400},
		{"truncated protobuf", asProtobuf, good[:len(good)-3], nil, 400},
		{"garbage JSON", asJSON, []byte("{"), nil, 400},
		{"JSON of another shape", asJSON, []byte(`{"resourceSpans":7}`), nil, 400},
		{"deep JSON", asJSON, []byte(strings.Repeat("[", 100_000)), nil, 400},
		{"not gzip", asProtobuf, good, []string{"Content-Encoding", "gzip"}, 400},
		{"an unknown type", "text/plain", good, nil, 415},
		{"an unknown encoding", asProtobuf, good, []string{"Content-Encoding", "br"}, 415},
		{"a tenant", asProtobuf, good, []string{"X-Tenant", "acme"}, 400},
		{"a zip bomb", asProtobuf, zipped(make([]byte, 100<<20)), []string{"Content-Encoding", "gzip"}, 413},
	} {
		answer, err := d.post(t.ctx, k.contentType, k.body, k.headers...)
		if err != nil {
			t.Errorf("%s: %v", k.what, err)
		} else if answer.Code != k.code || len(answer.Body) == 0 {
			t.Errorf("%s: HTTP %d %.200q, expected %d with words", k.what, answer.Code, answer.Body, k.code)
		}
	}
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, d.url, nil)
	t.Must(err, "request")
	if answer, err := answerOf(http.DefaultClient.Do(req)); err != nil || answer.Code != 405 {
		t.Errorf("GET: HTTP %d, %v; expected 405", answer.Code, err)
	}
}

func (d *Door) checkPartial(t *T) {
	good, bad := simpleSpan("http-partial", 1), simpleSpan("http-partial", 2)
	good.Span.TraceId, bad.Span.TraceId = traceID(0x4318, 0x100), []byte("short")
	req := pack([]Flat{good, bad}, 2)[0]
	body, err := marshal(req)
	t.Must(err, "encoding")
	answer, err := d.post(t.ctx, asProtobuf, body)
	t.Must(err, "post")
	var resp collector.ExportTraceServiceResponse
	t.Must(proto.Unmarshal(answer.Body, &resp), "decoding")
	if p := resp.GetPartialSuccess(); answer.Code != 200 || p.GetRejectedSpans() != 1 || p.GetErrorMessage() == "" {
		t.Errorf("HTTP %d %v, expected 200 with one rejected span", answer.Code, p)
	}
	expectTrace(t, d.store, []Flat{good})
	text, err := toOTLPJSON(req)
	t.Must(err, "encoding")
	answer, err = d.post(t.ctx, asJSON, text)
	t.Must(err, "post")
	var inJSON struct {
		PartialSuccess struct {
			RejectedSpans any
			ErrorMessage  string
		}
	}
	t.Must(json.Unmarshal(answer.Body, &inJSON), "decoding")
	if answer.Code != 200 || fmt.Sprint(inJSON.PartialSuccess.RejectedSpans) != "1" || inJSON.PartialSuccess.ErrorMessage == "" {
		t.Errorf("JSON: HTTP %d %s", answer.Code, answer.Body)
	}
}
