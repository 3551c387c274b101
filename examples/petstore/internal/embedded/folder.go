package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// format is the version of the data folder's layout: databases of all services, the broker's log.
const format = 1

// ErrNewer says that the data folder was written by a newer version of the shop.
var ErrNewer = errors.New("the data folder belongs to a newer version of the petstore")

// ErrInUse says that another process works with the data folder.
var ErrInUse = errors.New("another petstore works with this data folder")

// folder is an opened data folder.
type folder struct {
	dir    string
	remove bool // made by us for this run only
	lock   *os.File
}

// openFolder opens dir, or makes a temporary one when dir is empty.
func openFolder(dir string) (_ *folder, err error) {
	f := &folder{dir: dir}
	if dir == "" {
		if f.dir, err = os.MkdirTemp("", "petstore-"); err != nil {
			return nil, err
		}
		f.remove = true
	} else if f.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if err := os.MkdirAll(f.dir, 0o750); err != nil {
		return nil, err
	}
	if f.lock, err = lockFile(filepath.Join(f.dir, "lock")); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", f.dir, err)
	}
	if err := f.checkFormat(); err != nil {
		return nil, err
	}
	return f, nil
}

// checkFormat refuses what a newer version wrote and marks a fresh folder.
func (f *folder) checkFormat() error {
	path := filepath.Join(f.dir, "format")
	text, err := os.ReadFile(path) //nolint:gosec // the folder is the user's choice
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, []byte(strconv.Itoa(format)+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	found, err := strconv.Atoi(strings.TrimSpace(string(text)))
	switch {
	case err != nil || found < 1:
		return fmt.Errorf("data folder %s: the file \"format\" says %q, which is no version: choose another folder with --data", f.dir, text)
	case found > format:
		return fmt.Errorf("data folder %s has format %d and this binary knows up to %d: %w; use that version, or another folder with --data",
			f.dir, found, format, ErrNewer)
	}
	return nil
}

// close releases the folder and removes it when it was made for this run.
func (f *folder) close() error {
	var errs []error
	if f.lock != nil {
		errs = append(errs, f.lock.Close())
	}
	if f.remove {
		errs = append(errs, os.RemoveAll(f.dir))
	}
	return errors.Join(errs...)
}
