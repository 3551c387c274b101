package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/marty-framework/mmf/examples/petstore/internal/demo"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// showDemo tells a story with a shop of its own and proves each claim of it; the first that does not hold is the error.
func showDemo(ctx context.Context, args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	only := fs.String("only", "", "`name` of the one scenario to run: happy, decline, unknown, race or crash (default all)")
	asJSON := fs.Bool("json", false, "write one JSON object per assertion and nothing else")
	env := fs.String("env", platform.EnvEmbedded, "`environment` of the shop: embedded, or servers with "+platform.EnvPrefix+"… set as for serve")
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		if len(args) == 0 || !strings.HasPrefix(strings.TrimLeft(args[0], "-"), "h") {
			return errors.New("which demo? There is: petstore demo saga")
		}
		args = append([]string{"saga"}, args...)
	}
	if args[0] != "saga" {
		return fmt.Errorf("there is no demo %q; there is: petstore demo saga", args[0])
	}
	if err := parse(fs, args[1:], errs); err != nil {
		return err
	}
	if *env != platform.EnvEmbedded && *env != platform.EnvServers {
		return fmt.Errorf("--env is %q: demos run in embedded or servers", *env)
	}
	// A pipe that closes early shall be an error of a write, which still ends the shop and tidies up, and not the end of this process.
	signal.Ignore(syscall.SIGPIPE)
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Saga(), demo.Options{Only: *only, JSON: *asJSON, Env: *env, Binary: binary}, out)
}

// token prints a user's token from a running development issuer, for use in other commands.
func token(ctx context.Context, args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("token", flag.ContinueOnError)
	user := fs.String("user", "alice", "`name`: alice, bob, carol or admin")
	issuer := fs.String("issuer", "http://127.0.0.1:8085", "`URL` of the issuer")
	if err := parse(fs, args, errs); err != nil {
		return err
	}
	t, err := demo.Token(ctx, *issuer, *user)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, t)
	return err
}
