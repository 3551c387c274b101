package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

// routes prints the route table of every service: it builds the shop for that, in a temporary folder, and serves nothing.
func routes(ctx context.Context, args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("routes", flag.ContinueOnError)
	if err := parse(fs, args, errs); err != nil {
		return err
	}
	s, err := shop.New(ctx, shop.Options{FreePorts: true, LogWriter: io.Discard})
	if err != nil {
		return err
	}
	for _, svc := range s.Services() {
		fmt.Fprintf(out, "%s\n", svc.Name)
		if err := svc.Shell.WriteRoutes(out); err != nil {
			return errors.Join(err, s.Close())
		}
		fmt.Fprintln(out)
	}
	return s.Close()
}
