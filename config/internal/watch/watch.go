// Package watch reads a set of files as one and tells when their content changed. It watches the directories, since a watch on
// a file dies when the file is replaced, takes every event only as a hint to look, and looks at an interval as well, since
// some file systems send no events. What decides is the content.
package watch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxRounds bounds the wait for files that never rest.
const maxRounds = 20

// Content is one file as it was read.
type Content struct {
	Path string
	Data []byte
	// Err says why there is no data; a missing file matches fs.ErrNotExist.
	Err error
}

// Digest identifies the content of a set of files, missing and unreadable ones included.
type Digest [sha256.Size]byte

// Read reads the files, none longer than maxBytes. Errors are in the contents.
func Read(paths []string, maxBytes int64) ([]Content, Digest) {
	contents := make([]Content, len(paths))
	hash := sha256.New()
	for i, path := range paths {
		data, err := readFile(path, maxBytes)
		contents[i] = Content{Path: path, Data: data, Err: err}
		if err != nil {
			_, _ = fmt.Fprintf(hash, "error %d %v;", i, err)
			continue
		}
		sum := sha256.Sum256(data)
		_, _ = fmt.Fprintf(hash, "file %d %x;", i, sum)
	}
	return contents, Digest(hash.Sum(nil))
}

func readFile(path string, maxBytes int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() { // a pipe would block, a directory is a mistake
		return nil, errors.New("is not a regular file")
	}
	tooLarge := fmt.Errorf("is larger than %d bytes", maxBytes)
	if info.Size() > maxBytes {
		return nil, tooLarge
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, plain(err)
	}
	if int64(len(data)) > maxBytes {
		return nil, tooLarge
	}
	return data, nil
}

// plain drops the operation and the path, which the caller tells in its own form.
func plain(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// Options say how to watch.
type Options struct {
	// MaxBytes is the size of the largest file that is read.
	MaxBytes int64
	// Debounce is how long the content must stay the same before it counts.
	Debounce time.Duration
	// Poll is the interval of looking without an event.
	Poll time.Duration
	// Degraded is called once when directories cannot be watched and only polling is left. It may be nil.
	Degraded func(error)
}

// Run calls changed with the content of the files each time it differs from that of the call before, at first from last.
// It returns nil when ctx is done.
func Run(ctx context.Context, paths []string, o Options, last Digest, changed func(context.Context, []Content, Digest)) error {
	w := newDirs(paths, o.Degraded)
	defer w.close()
	ticker := time.NewTicker(o.Poll)
	defer ticker.Stop()
	for {
		if contents, digest := settle(ctx, paths, o, last); digest != last && ctx.Err() == nil {
			last = digest
			changed(ctx, contents, digest)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.add() // a directory that was replaced needs a new watch
		case <-w.events:
		case err := <-w.errors:
			w.degrade(err) // an overflow loses events; the next look finds what they meant
		}
	}
}

// settle reads until two reads in a row agree, so that a file that is being written, or a set of files that is being
// exchanged, is read when it is complete.
func settle(ctx context.Context, paths []string, o Options, last Digest) ([]Content, Digest) {
	contents, digest := Read(paths, o.MaxBytes)
	for range maxRounds {
		if digest == last {
			return contents, digest
		}
		timer := time.NewTimer(o.Debounce)
		select {
		case <-ctx.Done():
			timer.Stop()
			return contents, digest
		case <-timer.C:
		}
		before := digest
		if contents, digest = Read(paths, o.MaxBytes); digest == before {
			break
		}
	}
	return contents, digest
}

// dirs watches the directories of files, or nothing if that is not possible.
type dirs struct {
	paths    map[string]bool
	watcher  *fsnotify.Watcher
	events   <-chan fsnotify.Event
	errors   <-chan error
	degraded func(error)
}

func newDirs(paths []string, degraded func(error)) *dirs {
	d := &dirs{paths: map[string]bool{}, degraded: degraded}
	for _, p := range paths {
		d.paths[filepath.Dir(p)] = true
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		d.degrade(err)
		return d
	}
	d.watcher, d.events, d.errors = watcher, watcher.Events, watcher.Errors
	d.add()
	return d
}

func (d *dirs) add() {
	if d.watcher == nil {
		return
	}
	for dir := range d.paths {
		if err := d.watcher.Add(dir); err != nil {
			d.degrade(err)
		}
	}
}

func (d *dirs) degrade(err error) {
	if d.degraded != nil {
		d.degraded(err)
		d.degraded = nil
	}
}

func (d *dirs) close() {
	if d.watcher != nil {
		_ = d.watcher.Close()
	}
}
