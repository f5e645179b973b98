// Oracle is an independent client of Jaeger's storage API: it drives a server with the official
// definitions, which it compiles when it runs, and compares every answer with a plain one.
//
//	oracle check --grpc HOST:PORT [--http HOST:PORT]   storage port and OTLP/HTTP of an empty store
//	oracle jaeger --otlp … --query-grpc … --query-http …   the same through a real Jaeger
//	oracle receivers --grpc … --thrift-http … --thrift-udp … --zipkin … --sampling …
//	oracle send --otlp HOST:PORT --out FILE         a sender that notes what it was told is accepted
//	oracle verify --grpc HOST:PORT --acked FILE     demands all of that
//	oracle dataset --grpc HOST:PORT --file X.otlp.zst   a data set with its .expected.json
//	oracle same --grpc HOST:PORT FILE…              the spans of encoded requests are stored exactly
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

// jaegerLimit is what Jaeger's own client accepts in one message by default.
const jaegerLimit = 4 << 20

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	commands := map[string]func(context.Context, []string) error{
		"check":     runCheck,
		"jaeger":    runJaeger,
		"receivers": runReceivers,
		"send":      runSend,
		"verify":    runVerify,
		"dataset":   runDataset,
		"same":      runSame,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: oracle %v [flags]\n", sortedKeys(commands))
		os.Exit(2)
	}
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func runCheck(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("check", flag.ExitOnError)
	target := flags.String("grpc", "localhost:17271", "storage port of the server under test")
	only := flags.String("only", "", "run only checks whose name matches")
	http := flags.String("http", "", "OTLP over HTTP of the same server; empty leaves it out")
	flags.Int64Var(&day, "day", day, "day of the fixtures, in days since 1970")
	_ = flags.Parse(args)
	c, err := connect(ctx, *target, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	var checks []Check
	checks = append(checks, suiteChecks(c)...)
	checks = append(checks, writeChecks(c)...)
	checks = append(checks, searchChecks(c)...)
	if *http != "" {
		checks = append(checks, httpChecks(&Door{store: c, url: "http://" + *http + "/v1/traces"})...)
	}
	checks = append(checks, contractChecks(c)...)
	return verdict(ctx, checks, *only)
}

func runJaeger(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("jaeger", flag.ExitOnError)
	otlp := flags.String("otlp", "localhost:4317", "Jaeger's OTLP receiver, gRPC")
	query := flags.String("query-grpc", "localhost:16685", "Jaeger's query port, gRPC")
	http := flags.String("query-http", "localhost:16686", "Jaeger's query port, HTTP")
	only := flags.String("only", "", "run only checks whose name matches")
	_ = flags.Parse(args)
	writer, err := connect(ctx, *otlp, jaegerLimit)
	if err != nil {
		return err
	}
	defer writer.Close()
	reader, err := Dial(writer.api, *query, 64<<20)
	if err != nil {
		return err
	}
	defer reader.Close()
	return verdict(ctx, jaegerChecks(&Jaeger{otlp: writer, query: reader, http: "http://" + *http}), *only)
}

func connect(ctx context.Context, target string, limit int) (*Conn, error) {
	api, err := LoadAPI(ctx)
	if err != nil {
		return nil, err
	}
	return Dial(api, target, limit)
}

func verdict(ctx context.Context, checks []Check, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if !runAll(ctx, checks, pattern) {
		return fmt.Errorf("not all checks passed")
	}
	return nil
}

func runReceivers(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("receivers", flag.ExitOnError)
	store := flags.String("grpc", "localhost:17271", "storage port")
	var r Receivers
	flags.StringVar(&r.thriftHTTP, "thrift-http", "localhost:14268", "Thrift over HTTP")
	flags.StringVar(&r.thriftUDP, "thrift-udp", "localhost:6831", "compact Thrift over UDP")
	flags.StringVar(&r.zipkin, "zipkin", "localhost:9411", "Zipkin")
	flags.StringVar(&r.sample, "sampling", "localhost:5778", "sampling strategies over HTTP")
	only := flags.String("only", "", "run only checks whose name matches")
	_ = flags.Parse(args)
	c, err := connect(ctx, *store, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	r.store = c
	return verdict(ctx, receiverChecks(&r), *only)
}

func runSend(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("send", flag.ExitOnError)
	target := flags.String("otlp", "localhost:4317", "OTLP receiver, gRPC")
	out := flags.String("out", "acked.txt", "where to note the accepted traces")
	run := flags.Uint64("run", 1, "upper half of the trace ids")
	workers := flags.Int("workers", 8, "requests in flight")
	duration := flags.Duration("for", 10*time.Second, "how long to send")
	deadline := flags.Duration("deadline", time.Minute, "of each request")
	_ = flags.Parse(args)
	return send(ctx, *target, *out, *run, *workers, *duration, *deadline)
}

func runVerify(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("verify", flag.ExitOnError)
	target := flags.String("grpc", "localhost:17271", "storage port")
	acked := flags.String("acked", "acked.txt", "the accepted traces")
	run := flags.Uint64("run", 1, "upper half of the trace ids")
	_ = flags.Parse(args)
	c, err := connect(ctx, *target, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	return verify(ctx, c, *acked, *run)
}

func runDataset(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset", flag.ExitOnError)
	target := flags.String("grpc", "localhost:17271", "storage port of an empty store")
	file := flags.String("file", "", "the data set")
	written := flags.Bool("written", false, "the store holds the set already")
	only := flags.String("only", "", "run only checks whose name matches")
	_ = flags.Parse(args)
	c, err := connect(ctx, *target, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	c.timeout = 5 * time.Minute
	checks, err := datasetChecks(c, *file, *written)
	if err != nil {
		return err
	}
	return verdict(ctx, checks, *only)
}

func runSame(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("same", flag.ExitOnError)
	target := flags.String("grpc", "localhost:17271", "storage port")
	_ = flags.Parse(args)
	c, err := connect(ctx, *target, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, file := range flags.Args() {
		if err := sameRequest(ctx, c, file); err != nil {
			return err
		}
	}
	return nil
}
