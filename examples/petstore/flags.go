package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
)

// list is a flag that may be given repeatedly.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// shopFlags are the flags of commands that start a shop.
func shopFlags(fs *flag.FlagSet) func() (shop.Options, error) {
	env := fs.String("env", platform.EnvEmbedded, "`environment`: embedded (nothing else needed), servers (Postgres, Kafka, Redis), prod")
	services := fs.String("services", "",
		"comma-separated `names` of the services of this process (default all: "+strings.Join(shop.Names(), ",")+")")
	data := fs.String("data", "", "`folder` that keeps what the embedded parts know (default: a temporary one, removed at the end)")
	dir := fs.String("config", "", "`folder` with base.yaml, env/<env>.yaml and flags.json instead of the built-in ones; changes are followed")
	ports := fs.String("ports", "", "\"free\": each service takes a free port")
	base := fs.Int("port-base", -1, "edge's `port`, the others follow; 0 is the same as --ports free")
	logLevel := fs.String("log-level", "", "debug, info, warn or error (setting obs.log_level)")
	var set, faults list
	fs.Var(&set, "set", "`key=value` of a setting, such as pricing.tax_rate=0.2; may be repeated")
	fs.Var(&faults, "fault", "`name=value` of a fault, such as saga.crash_after_step=reserve_pet; may be repeated")
	return func() (shop.Options, error) {
		opts := shop.Options{Env: *env, ConfigDir: *dir, DataDir: *data, Set: set}
		if *services != "" {
			opts.Services = strings.Split(*services, ",")
		}
		switch {
		case *ports == "free" || *base == 0:
			opts.FreePorts = true
		case *ports != "":
			return opts, fmt.Errorf("--ports is %q: the only value is \"free\"; --port-base chooses a port", *ports)
		case *base > 0:
			opts.Set = append(opts.Set, fmt.Sprintf("http.port_base=%d", *base))
		}
		if *logLevel != "" {
			opts.Set = append(opts.Set, "obs.log_level="+*logLevel)
		}
		for _, f := range faults {
			opts.Set = append(opts.Set, "fault."+f)
		}
		if *data != "" && *env != platform.EnvEmbedded {
			return opts, errors.New("--data is for --env embedded only; elsewhere the servers keep the data")
		}
		return opts, nil
	}
}

// parse reads flags and refuses what is left over.
func parse(fs *flag.FlagSet, args []string, errs io.Writer) error {
	fs.SetOutput(errs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%s: unexpected %q; flags begin with --, see petstore %s -h", fs.Name(), fs.Arg(0), fs.Name())
	}
	return nil
}
