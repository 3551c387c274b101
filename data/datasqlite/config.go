package datasqlite

import (
	"errors"
	"fmt"
	"time"
)

// Memory as [Config.Path] means a private database that is gone after Close.
const Memory = ":memory:"

// Config says which file to open and how. The zero value of every field but Path is a sensible default.
type Config struct {
	// Path of the database file; its directory must exist, the file is created when it is missing. [Memory] (":memory:")
	// opens a private database that behaves exactly as a file does (it is one, in the temporary directory, without
	// syncing to disk) and that Close removes. Required.
	Path string
	// BusyTimeout bounds how long a statement waits for another process that holds the file's lock; then the error's
	// kind is [data.KindTimeout]. Waiting for this process's own writer is bounded by the context only.
	// Default 5 s, from 1 ms to 10 min.
	BusyTimeout time.Duration
	// ReadConns is the number of connections for statements outside transactions that only read. Default 4, 1 to 64.
	ReadConns int
	// MustExist refuses a missing file instead of creating it.
	MustExist bool
	// DisableCheck skips the structural check of the file at Open (PRAGMA quick_check), which reads the whole file:
	// roughly a second per few hundred megabytes.
	DisableCheck bool
}

func (c Config) withDefaults() Config {
	if c.BusyTimeout == 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.ReadConns == 0 {
		c.ReadConns = 4
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New(`Config.Path is empty: name a file, or ":memory:"`))
	}
	if c.BusyTimeout < time.Millisecond || c.BusyTimeout > 10*time.Minute {
		errs = append(errs, fmt.Errorf("Config.BusyTimeout is %s: it must lie between 1ms and 10m", c.BusyTimeout))
	}
	if c.ReadConns < 1 || c.ReadConns > 64 {
		errs = append(errs, fmt.Errorf("Config.ReadConns is %d: it must lie between 1 and 64", c.ReadConns))
	}
	if len(errs) > 0 {
		return fmt.Errorf("datasqlite: invalid configuration: %w", errors.Join(errs...))
	}
	return nil
}
