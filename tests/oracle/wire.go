package main

// wire.go: Jaeger's official .proto files, compiled when the program runs, and plain gRPC calls
// with the messages they describe. Nothing in here was generated from Spanlake's own definitions.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "go.opentelemetry.io/proto/otlp/collector/trace/v1"     // OTLP descriptors
	_ "google.golang.org/genproto/googleapis/api/annotations" // google/api descriptors
	// Only so that go.mod keeps the modules whose .proto files are compiled below.
	_ "github.com/google/gnostic/openapiv3"
	_ "github.com/jaegertracing/jaeger-idl/query/expression/v1"
)

const idlModule = "github.com/jaegertracing/jaeger-idl"

// idlFiles are the definitions under test, by their path inside the idl module's proto/ folder.
var idlFiles = []string{
	"storage/v2/trace_storage.proto",
	"storage/v2/dependency_storage.proto",
	"storage/v2/capabilities.proto",
	"api_v3/query_service.proto",
}

// API is the compiled set of definitions.
type API struct {
	files linker.Files
	types *dynamicpb.Types
}

func moduleDir(path string) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", path).Output()
	if err != nil {
		return "", fmt.Errorf("asking go for the folder of %s (run inside tests/oracle): %w", path, err)
	}
	var info struct{ Dir string }
	if err := json.Unmarshal(out, &info); err != nil || info.Dir == "" {
		return "", fmt.Errorf("no folder for module %s: %v", path, err)
	}
	return info.Dir, nil
}

// LoadAPI compiles Jaeger's definitions from the module cache.
func LoadAPI(ctx context.Context) (*API, error) {
	idl, err := moduleDir(idlModule)
	if err != nil {
		return nil, err
	}
	gnostic, err := moduleDir("github.com/google/gnostic")
	if err != nil {
		return nil, err
	}
	resolve := protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
		switch {
		case strings.HasPrefix(path, "opentelemetry/"), strings.HasPrefix(path, "google/api/"):
			desc, err := protoregistry.GlobalFiles.FindFileByPath(path)
			return protocompile.SearchResult{Desc: desc}, err
		case strings.HasPrefix(path, "gnostic/"):
			return openSource(gnostic, strings.TrimPrefix(path, "gnostic/"))
		case strings.HasPrefix(path, "openapiv3/"):
			return openSource(gnostic, path)
		default:
			return openSource(filepath.Join(idl, "proto"), path)
		}
	})
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(resolve)}
	files, err := compiler.Compile(ctx, idlFiles...)
	if err != nil {
		return nil, fmt.Errorf("compiling jaeger-idl's definitions: %w", err)
	}
	registry := &protoregistry.Files{}
	for _, f := range files {
		if err := registry.RegisterFile(f); err != nil {
			return nil, err
		}
	}
	return &API{files: files, types: dynamicpb.NewTypes(registry)}, nil
}

func openSource(dir, path string) (protocompile.SearchResult, error) {
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if err != nil {
		return protocompile.SearchResult{}, protoregistry.NotFound
	}
	return protocompile.SearchResult{Source: bytes.NewReader(data)}, nil
}

// find returns a definition by its full name.
func (a *API) find(name protoreflect.FullName) protoreflect.Descriptor {
	for _, f := range a.files {
		if d := f.FindDescriptorByName(name); d != nil {
			return d
		}
	}
	return nil
}

// Methods lists every method of a service; used to prove that all of them resolve.
func (a *API) Methods(service string) []string {
	sd, ok := a.find(protoreflect.FullName(service)).(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	var names []string
	for i := range sd.Methods().Len() {
		names = append(names, string(sd.Methods().Get(i).Name()))
	}
	return names
}

// message reads a message of a compiled type from protobuf text.
func (a *API) message(desc protoreflect.MessageDescriptor, text string) (proto.Message, error) {
	m := dynamicpb.NewMessage(desc)
	if err := (prototext.UnmarshalOptions{Resolver: a.types}).Unmarshal([]byte(text), m); err != nil {
		return nil, fmt.Errorf("%s from %q: %w", desc.FullName(), text, err)
	}
	return m, nil
}

// rawCodec hands frames through untouched, so that answers which are not valid UTF-8 can be read.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) {
	switch m := v.(type) {
	case *[]byte:
		return *m, nil
	case proto.Message:
		return proto.Marshal(m)
	}
	return nil, fmt.Errorf("cannot write a %T", v)
}
func (rawCodec) Unmarshal(data []byte, v any) error {
	switch m := v.(type) {
	case *[]byte:
		*m = bytes.Clone(data)
		return nil
	case proto.Message:
		return proto.Unmarshal(data, m)
	}
	return fmt.Errorf("cannot read into a %T", v)
}

// Conn is one plaintext connection to a server under test.
type Conn struct {
	cc      *grpc.ClientConn
	api     *API
	timeout time.Duration
}

// Dial connects. Calls may receive at most limit bytes a message: 4 MiB is what Jaeger's own
// client accepts by default.
func Dial(api *API, target string, limit int) (*Conn, error) {
	cc, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(limit)))
	if err != nil {
		return nil, err
	}
	return &Conn{cc: cc, api: api, timeout: 60 * time.Second}, nil
}

func (c *Conn) Close() { _ = c.cc.Close() }

func (c *Conn) method(name string) (protoreflect.MethodDescriptor, string, error) {
	service, method, ok := strings.Cut(name, "/")
	if !ok {
		return nil, "", fmt.Errorf("not a method: %s", name)
	}
	sd, ok := c.api.find(protoreflect.FullName(service)).(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, "", fmt.Errorf("no service %s", service)
	}
	md := sd.Methods().ByName(protoreflect.Name(method))
	if md == nil {
		return nil, "", fmt.Errorf("no method %s", name)
	}
	return md, "/" + name, nil
}

// Unary asks with a request in protobuf text; the answer comes decoded.
func (c *Conn) Unary(ctx context.Context, method, text string) (*dynamicpb.Message, error) {
	md, path, err := c.method(method)
	if err != nil {
		return nil, err
	}
	req, err := c.api.message(md.Input(), text)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp := dynamicpb.NewMessage(md.Output())
	return resp, c.cc.Invoke(ctx, path, req, resp)
}

// Stream asks and collects every frame of the answer, undecoded.
func (c *Conn) Stream(ctx context.Context, method, text string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	stream, err := c.Open(ctx, method, text)
	if err != nil {
		return nil, err
	}
	var frames [][]byte
	for {
		var frame []byte
		err := stream.RecvMsg(&frame)
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, frame)
	}
}

// Open starts a server stream without reading from it.
func (c *Conn) Open(ctx context.Context, method, text string) (grpc.ClientStream, error) {
	md, path, err := c.method(method)
	if err != nil {
		return nil, err
	}
	req, err := c.api.message(md.Input(), text)
	if err != nil {
		return nil, err
	}
	stream, err := c.cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(req); err != nil {
		return nil, err
	}
	return stream, stream.CloseSend()
}

// decode reads a frame as a message of the method's answer type.
func (c *Conn) decode(method string, frame []byte) (*dynamicpb.Message, error) {
	md, _, err := c.method(method)
	if err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(md.Output())
	return m, proto.Unmarshal(frame, m)
}

// into copies a dynamic message into a Go struct by way of its JSON form with proto field names.
func (a *API) into(m proto.Message, v any) error {
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true, Resolver: a.types}.Marshal(m)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// refusal is what a refused call says.
type refusal struct {
	Code    codes.Code
	Message string
	Reason  string // of a google.rpc.ErrorInfo, "" without
	Domain  string
	Retry   bool // a RetryInfo came along
}

func refusalOf(err error) refusal {
	st := status.Convert(err)
	r := refusal{Code: st.Code(), Message: st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			r.Reason, r.Domain = d.Reason, d.Domain
		case *errdetails.RetryInfo:
			r.Retry = true
		}
	}
	return r
}
