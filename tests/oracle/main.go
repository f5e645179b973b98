// Oracle is an independent client of Jaeger's storage API: it drives a server with the official
// definitions, which it compiles when it runs, and compares every answer with a plain one.
//
//	oracle check --grpc HOST:PORT [--http HOST:PORT] [--only REGEX]   the storage port of an empty store
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
)

// jaegerLimit is what Jaeger's own client accepts in one message by default.
const jaegerLimit = 4 << 20

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	commands := map[string]func(context.Context, []string) error{
		"check": runCheck,
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
	_ = flags.Parse(args)
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	api, err := LoadAPI(ctx)
	if err != nil {
		return err
	}
	c, err := Dial(api, *target, jaegerLimit)
	if err != nil {
		return err
	}
	defer c.Close()
	var checks []Check
	checks = append(checks, suiteChecks(c)...)
	checks = append(checks, writeChecks(c)...)
	checks = append(checks, searchChecks(c)...)
	checks = append(checks, contractChecks(c)...)
	if !runAll(ctx, checks, pattern) {
		return fmt.Errorf("not all checks passed")
	}
	return nil
}
