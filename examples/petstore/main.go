// Command petstore is a shop of a few services, built with MMF: it sells a handful of pets, each once.
//
//	petstore              the whole shop in one process, without any server beside it
//	petstore serve -h     other ways to run it: some services only, on Postgres, Kafka and Redis, with data that stays
//	petstore demo saga    purchases that succeed, fail, hang and crash, with every claim checked
//	petstore saga list    the purchases under way, and verbs for those that are stuck
//	petstore token        a user's token, for curl
//	petstore routes       what each route demands of its caller
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// command is a subcommand: it reads its own flags from args and works until it is done or ctx ends.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, out, errs io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "run the shop (the default)", serve},
		{"demo", "tell a story with a shop of its own, and prove it: petstore demo saga", showDemo},
		{"saga", "look into sagas and help those that are stuck: petstore saga list", sagas},
		{"token", "print a user's token from a running shop", token},
		{"routes", "print what each route demands of its caller", routes},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "petstore: %v\n", err)
		os.Exit(1)
	}
}

// run picks the subcommand; without one it is serve.
func run(ctx context.Context, args []string, out, errs io.Writer) error {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" || len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") && name == "serve" {
		usage(out)
		if name == "help" {
			return nil
		}
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		usage(errs)
		return fmt.Errorf("there is no command %q", name)
	}
	return all[i].run(ctx, args, out, errs)
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "petstore sells pets, to show what MMF does.\n\nCommands:")
	for _, c := range commands() {
		fmt.Fprintf(w, "  petstore %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(w)
}
