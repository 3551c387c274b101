//go:build !unix

package embedded

import "os"

// lockFile only makes the file: this system has no lock that ends with the process in the standard library.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // inside the data folder
}
