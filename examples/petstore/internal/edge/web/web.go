// Package web holds the files of the storefront's pages: templates, style, script and pictures. They are in the binary, so the shop
// needs no network and no build step.
package web

import "embed"

//go:embed templates assets
var files embed.FS

// Files are the folders templates and assets.
func Files() embed.FS { return files }
