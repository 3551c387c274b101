package config

import (
	"errors"
	"fmt"
	"time"
)

// Options name the sources and say how to follow them.
type Options struct {
	// Files are YAML files, later ones over earlier ones.
	Files []File
	// EnvPrefix lets variables set keys: the prefix, then the key in capitals with '_' for '.', as SHOP_HTTP_ADDR for
	// http.addr. Keys of a map can be set when they occur in a file or in the defaults. A list of plain values is
	// separated by commas. Default "": none.
	EnvPrefix string
	// EnvNames maps further variables to keys, as DATABASE_URL to db.dsn. They are stronger than those with the prefix.
	EnvNames map[string]string
	// IgnoreEnv lists variables with the prefix that are not keys; "*" stands for all. Others are refused, so that a
	// typing mistake is found.
	IgnoreEnv []string
	// Environ are the variables as NAME=value; nil is the environment of the process.
	Environ []string
	// Overrides are key=value pairs, usually from the command line; the last of a key wins.
	Overrides []string
	// MaxFileBytes is the size of the largest file that is read. Default 1 MiB.
	MaxFileBytes int64
	// Debounce is how long files must rest before a change counts. Default 50ms.
	Debounce time.Duration
	// Poll is the interval of looking for changes that no event announced. Default 1s.
	Poll time.Duration
	// History is how many reloads are remembered. Default 20.
	History int
	// Hooks receive what happens.
	Hooks Hooks
}

// File is a source.
type File struct {
	// Path is relative to the working directory or absolute; errors and origins show it as it is here.
	Path string
	// Optional lets the file be absent, also later.
	Optional bool
}

// Hooks receive what happens in a store. All are optional and run in the goroutine that reloads.
type Hooks struct {
	// Reload is called for each reload that was applied or refused.
	Reload func(Reload)
	// WatchDegraded is called once when the directories cannot be watched, so that changes are found by polling alone.
	WatchDegraded func(error)
}

func (o Options) withDefaults() Options {
	if o.MaxFileBytes == 0 {
		o.MaxFileBytes = 1 << 20
	}
	if o.Debounce == 0 {
		o.Debounce = 50 * time.Millisecond
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.History == 0 {
		o.History = 20
	}
	return o
}

func (o Options) validate() error {
	var problems []error
	check := func(ok bool, key, want string, got any) {
		if !ok {
			problems = append(problems, fmt.Errorf("config: Options.%s must be %s, not %v", key, want, got))
		}
	}
	check(o.MaxFileBytes > 0 && o.MaxFileBytes <= 16<<20, "MaxFileBytes", "1 to 16 MiB", o.MaxFileBytes)
	check(o.Debounce > 0, "Debounce", "positive", o.Debounce)
	check(o.Poll > 0, "Poll", "positive", o.Poll)
	check(o.History > 0, "History", "positive", o.History)
	for i, f := range o.Files {
		check(f.Path != "", fmt.Sprintf("Files[%d].Path", i), "given", `""`)
	}
	return errors.Join(problems...)
}

func (o Options) paths() []string {
	paths := make([]string, len(o.Files))
	for i, f := range o.Files {
		paths[i] = f.Path
	}
	return paths
}
