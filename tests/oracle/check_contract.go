package main

// check_contract.go: what the server says about itself and how it refuses
// (jaeger-contract.md §1.1, §1.5, §1.6, §1.12).

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
)

// served are the gRPC services Spanlake must offer on its storage port.
var served = []string{
	"jaeger.storage.v2.TraceReader",
	"jaeger.storage.v2.DependencyReader",
	"jaeger.storage.v2.Capabilities",
	"opentelemetry.proto.collector.trace.v1.TraceService",
	"grpc.health.v1.Health",
}

func contractChecks(c *Conn) []Check {
	return []Check{
		{"contract/definitions", func(t *T) {
			want := map[string]int{"TraceReader": 7, "DependencyReader": 1, "Capabilities": 1}
			for service, n := range want {
				if got := c.api.Methods("jaeger.storage.v2." + service); len(got) != n {
					t.Errorf("%s has methods %v, expected %d", service, got, n)
				}
			}
		}},
		{"contract/capabilities exact", func(t *T) { checkCapabilities(t, c) }},
		{"contract/health", func(t *T) { checkHealth(t, c) }},
		{"contract/reflection", func(t *T) { checkReflection(t, c) }},
		{"contract/missing query", func(t *T) {
			for _, m := range []string{"FindTraces", "FindTraceSummaries"} {
				_, err := c.Stream(t.ctx, traceReader+m, "")
				expectRefusal(t, m+" without query", err, codes.InvalidArgument, "")
			}
			_, err := c.Unary(t.ctx, traceReader+"FindTraceIDs", "")
			expectRefusal(t, "FindTraceIDs without query", err, codes.InvalidArgument, "")
		}},
		{"contract/wrong id lengths", func(t *T) {
			for _, id := range []string{`""`, `"abcdefgh"`, `"abcdefghijklmno"`, `"abcdefghijklmnopq"`} {
				_, err := c.Stream(t.ctx, traceReader+"GetTraces", "query { trace_id: "+id+" }")
				expectRefusal(t, "GetTraces with id "+id, err, codes.InvalidArgument, "")
			}
		}},
		{"contract/operations without service", func(t *T) {
			_, err := c.Unary(t.ctx, traceReader+"GetOperations", "")
			expectRefusal(t, "GetOperations without service", err, codes.InvalidArgument, "")
		}},
		{"contract/span search not served", func(t *T) {
			_, err := c.Stream(t.ctx, traceReader+"FindSpans",
				"query { start_time_min {seconds: 1} start_time_max {seconds: 2} pagination {page_size: 10} }")
			expectRefusal(t, "FindSpans", err, codes.Unimplemented, "")
		}},
		{"contract/pagination refusals", func(t *T) { checkPagination(t, c) }},
		{"contract/filter refusals", func(t *T) { checkFilters(t, c) }},
		{"contract/tenants refused by name", func(t *T) { checkTenants(t, c) }},
	}
}

// expectRefusal demands an error of that code; reason "" = any or none.
func expectRefusal(t *T, what string, err error, code codes.Code, reason string) {
	if err == nil {
		t.Errorf("%s was accepted, expected %s", what, code)
		return
	}
	r := refusalOf(err)
	if r.Code != code || reason != "" && r.Reason != reason {
		t.Errorf("%s: got %s, reason %q, %q; expected %s, reason %q", what, r.Code, r.Reason, r.Message, code, reason)
	}
	if r.Message == "" {
		t.Errorf("%s: refused without a word", what)
	}
}

func checkCapabilities(t *T, c *Conn) {
	got, err := c.Unary(t.ctx, capabilitiesRPC, "")
	t.Must(err, "GetCapabilities")
	want, err := c.api.message(got.Descriptor(), "search { without_service_name: true same_span_conjunction: true paginated: true }")
	t.Must(err, "expected capabilities")
	if !proto.Equal(want, got) {
		t.Errorf("capabilities are {%v}, expected {%v}", got, want)
	}
}

func checkHealth(t *T, c *Conn) {
	health := grpc_health_v1.NewHealthClient(c.cc)
	for _, service := range append([]string{""}, served[:4]...) {
		r, err := health.Check(t.ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Errorf("health of %q: %v", service, err)
		} else if r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %s", service, r.Status)
		}
	}
	_, err := health.Check(t.ctx, &grpc_health_v1.HealthCheckRequest{Service: "no.such.Service"})
	if r := refusalOf(err); r.Code != codes.NotFound {
		t.Errorf("health of an unknown service: %s", r.Code)
	}
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	watch, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
	t.Must(err, "watching health")
	first, err := watch.Recv()
	t.Must(err, "watching health")
	if first.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("watched health: %s", first.Status)
	}
}

func checkReflection(t *T, c *Conn) {
	stream, err := grpc_reflection_v1.NewServerReflectionClient(c.cc).ServerReflectionInfo(t.ctx)
	t.Must(err, "reflection")
	ask := func(r *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Must(stream.Send(r), "asking reflection")
		answer, err := stream.Recv()
		t.Must(err, "reading reflection")
		return answer
	}
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}})
	var names []string
	for _, s := range list.GetListServicesResponse().GetService() {
		names = append(names, s.Name)
	}
	for _, want := range served {
		if !slices.Contains(names, want) {
			t.Errorf("reflection lists %v, without %s", names, want)
		}
	}
	for _, symbol := range []string{served[0], served[1], served[2], served[3]} {
		answer := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
		if len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("reflection gives no file for %s: %v", symbol, answer.GetErrorResponse())
		}
	}
}

func checkPagination(t *T, c *Conn) {
	window := "start_time_min {seconds: 1} start_time_max {seconds: 4000000000}"
	cases := []struct {
		what, method, query, word string
	}{
		{"pagination on FindTraces", "FindTraces", "pagination {page_size: 10}", ""},
		{"an empty page", "FindTraceIDs", "pagination {}", "page_size"},
		{"an empty page of summaries", "FindTraceSummaries", "pagination {}", "page_size"},
		{"a page beside a depth", "FindTraceIDs", "search_depth: 5 pagination {page_size: 10}", "search_depth"},
		{"a page of summaries beside a depth", "FindTraceSummaries", "search_depth: 5 pagination {page_size: 10}", "search_depth"},
		// The words are those the later suite looks for (§1.12 rule 10).
		{"garbage", "FindTraceIDs", `pagination {page_size: 10 page_token: "not-a-token!"}`, "not valid base64"},
		{"garbage for summaries", "FindTraceSummaries", `pagination {page_size: 10 page_token: "not-a-token!"}`, "not valid base64"},
		{"base64 of something else", "FindTraceIDs", `pagination {page_size: 10 page_token: "AAECAwQF"}`, "invalid pagination"},
		{"a token beside a depth", "FindTraceIDs", `search_depth: 5 pagination {page_size: 10 page_token: "AAECAwQF"}`, "invalid pagination"},
	}
	for _, k := range cases {
		_, err := c.Stream(t.ctx, traceReader+k.method, "query {"+window+" "+k.query+"}")
		expectRefusal(t, k.what, err, codes.InvalidArgument, "PAGINATION_INVALID")
		if r := refusalOf(err); !strings.Contains(r.Message, "invalid pagination") || !strings.Contains(r.Message, k.word) {
			t.Errorf("%s: %q does not say %q", k.what, r.Message, k.word)
		}
	}
}

func checkFilters(t *T, c *Conn) {
	call := `filter { op: "eq" args { attr { key: "a" } } args { scalar { value: "b" } } }`
	for _, m := range []string{"FindTraces", "FindTraceIDs", "FindTraceSummaries"} {
		_, err := c.Stream(t.ctx, traceReader+m, "query { "+call+" }")
		expectRefusal(t, m+" with a filter", err, codes.Unimplemented, "FILTER_UNSUPPORTED")
		for _, beside := range []string{`service_name: "s"`, `operation_name: "o"`, `attributes { key: "k" value { string_value: "v" } }`,
			`duration_min { nanos: 1 }`, `duration_max { nanos: 1 }`} {
			_, err := c.Stream(t.ctx, traceReader+m, "query { "+beside+" "+call+" }")
			expectRefusal(t, m+" with a filter beside "+beside, err, codes.InvalidArgument, "FILTER_INVALID")
		}
	}
}

func checkTenants(t *T, c *Conn) {
	for _, header := range []string{"x-tenant", "x-namespace"} {
		ctx := metadata.AppendToOutgoingContext(t.ctx, header, "acme")
		f := exampleTrace()[0]
		f.Span.TraceId = traceID(0x7e, 0x7e)
		calls := map[string]func() error{
			"Export": func() error { _, err := c.Export(ctx, pack([]Flat{f}, 1)[0]); return err },
			"GetServices": func() error {
				_, err := c.Unary(ctx, traceReader+"GetServices", "")
				return err
			},
			"GetOperations": func() error {
				_, err := c.Unary(ctx, traceReader+"GetOperations", `service: "s"`)
				return err
			},
			"GetTraces": func() error { _, err := c.GetTraces(ctx, f.TraceID()); return err },
			"FindTraces": func() error {
				_, err := c.FindTraces(ctx, Query{})
				return err
			},
			"FindTraceIDs":       func() error { _, err := c.FindTraceIDs(ctx, Query{}); return err },
			"FindTraceSummaries": func() error { _, err := c.FindSummaries(ctx, Query{}); return err },
			"GetDependencies":    func() error { _, err := c.Dependencies(ctx, 0, 0); return err },
		}
		for _, name := range sortedKeys(calls) {
			err := calls[name]()
			if err == nil {
				t.Errorf("%s with %s was accepted", name, header)
			} else if r := refusalOf(err); !strings.Contains(r.Message, header) ||
				!slices.Contains([]codes.Code{codes.InvalidArgument, codes.Unimplemented, codes.PermissionDenied, codes.FailedPrecondition}, r.Code) {
				t.Errorf("%s with %s: %s %q does not name the header", name, header, r.Code, r.Message)
			}
		}
		if got, err := c.GetTraces(t.ctx, f.TraceID()); err != nil || len(got.Order) != 0 {
			t.Errorf("a refused export with %s left %v in the default tenant (%v)", header, got.Order, err)
		}
	}
}

func joinLines(list []string) string {
	return fmt.Sprintf("%d: %s", len(list), strings.Join(list, ", "))
}
