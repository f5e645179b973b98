package main

// runner.go: a list of named checks, each run to its end whatever the others do.

import (
	"context"
	"fmt"
	"regexp"
	"time"
)

// T is what a check reports to.
type T struct {
	ctx    context.Context
	failed []string
	notes  []string
}

// maxShown failures of one check are printed.
const maxShown = 12

type stop struct{}

// Errorf notes a failure and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.failed = append(t.failed, fmt.Sprintf(format, args...))
}

// Fatalf notes a failure and ends the check.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(stop{})
}

// Notef tells something worth knowing beside the verdict.
func (t *T) Notef(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// Must ends the check on an error.
func (t *T) Must(err error, doing string) {
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// Check is one named check.
type Check struct {
	Name string
	Run  func(t *T)
}

func (c Check) run(ctx context.Context) (t *T) {
	t = &T{ctx: ctx}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(stop); !ok {
				panic(r)
			}
		}
	}()
	c.Run(t)
	return t
}

// runAll prints one line a check and tells whether all passed.
func runAll(ctx context.Context, checks []Check, only *regexp.Regexp) bool {
	ran, failed := 0, 0
	for _, c := range checks {
		if only != nil && !only.MatchString(c.Name) {
			continue
		}
		ran++
		start := time.Now()
		t := c.run(ctx)
		took := time.Since(start).Round(time.Millisecond)
		if len(t.failed) == 0 {
			fmt.Printf("ok    %-44s %s\n", c.Name, took)
		} else {
			failed++
			fmt.Printf("FAIL  %-44s %s\n", c.Name, took)
		}
		for i, f := range t.failed {
			if i == maxShown {
				fmt.Printf("      … and %d more\n", len(t.failed)-i)
				break
			}
			fmt.Printf("      %s\n", f)
		}
		for _, n := range t.notes {
			fmt.Printf("      note: %s\n", n)
		}
	}
	fmt.Printf("%d checks, %d failed\n", ran, failed)
	return ran > 0 && failed == 0
}
