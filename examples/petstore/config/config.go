// Package config holds the shop's settings files, so that the binary needs none beside it.
package config

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed base.yaml env/*.yaml flags.json
var files embed.FS

// Flags are the built-in feature flags.
func Flags() ([]byte, error) { return files.ReadFile("flags.json") }

// Unpack writes the files into dir, for somebody who wants to change them, and for the loader, which reads folders.
func Unpack(dir string) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o750)
		}
		content, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
}
