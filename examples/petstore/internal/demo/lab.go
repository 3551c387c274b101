package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Lab starts shops for scenarios and ends them. Scenarios that leave the shop as it is share one.
type Lab struct {
	opts   Options
	dir    string // data of embedded shops
	shared *Shop
	all    []*Shop
	used   []string // names on the servers that begin with these are ours
}

// NewLab makes an empty one.
func NewLab(opts Options) (*Lab, error) {
	dir, err := os.MkdirTemp("", "petstore-demo-")
	return &Lab{opts: opts, dir: dir}, err
}

// Shop is the shared shop; the first call starts it.
func (l *Lab) Shop(ctx context.Context) (*Shop, error) {
	if l.shared != nil {
		return l.shared, nil
	}
	s, err := l.Start(ctx, "shared")
	l.shared = s
	return s, err
}

// Start starts a shop with data of that name: the same name again finds what the shop before left behind.
func (l *Lab) Start(ctx context.Context, name string, args ...string) (*Shop, error) {
	s, err := StartShop(ctx, l.opts.Binary, append(l.place(name), args...)...)
	if err == nil {
		l.all = append(l.all, s)
	}
	return s, err
}

// place says where the data of that name are: in a folder, or on the servers under names that only this run uses.
func (l *Lab) place(name string) []string {
	if l.opts.Env == "" || l.opts.Env == "embedded" {
		return []string{"--data", filepath.Join(l.dir, name)}
	}
	prefix := ""
	for _, p := range l.used {
		if strings.HasSuffix(p, "_"+name+"_") {
			prefix = p
		}
	}
	if prefix == "" {
		prefix = "demo_" + strings.ToLower(rand.Text()[:8]) + "_" + name + "_"
		l.used = append(l.used, prefix)
	}
	return []string{
		"--env", l.opts.Env, "--set", "db.name_prefix=" + prefix, "--set", "kafka.prefix=" + prefix, "--set", "redis.prefix=" + prefix,
	}
}

// lastWords is what the latest shop had to say, for a demo that could not go on.
func (l *Lab) lastWords() string {
	if len(l.all) == 0 {
		return ""
	}
	if words := l.all[len(l.all)-1].errs.String(); words != "" {
		return "\n\nthe shop's last words:\n" + words
	}
	return ""
}

// Close ends every shop and removes their data.
func (l *Lab) Close() error {
	var errs []error
	for _, s := range l.all {
		errs = append(errs, s.Stop())
	}
	if len(l.used) > 0 {
		errs = append(errs, l.cleanServers())
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}
