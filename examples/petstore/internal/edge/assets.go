package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/edge/web"
	"github.com/marty-framework/mmf/service"
)

// assets serves the embedded files. Their URLs carry a hash, so browsers may keep them for good and never show an old one.
type assets struct {
	files map[string][]byte
	hash  map[string]string
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string][]byte{}, hash: map[string]string{}}
	err := fs.WalkDir(web.Files(), "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		short := name[len("assets/"):]
		sum := sha256.Sum256(content)
		a.files[short], a.hash[short] = content, hex.EncodeToString(sum[:6])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return a, nil
}

// url is where a page finds a file; an error fails the page's template.
func (a *assets) url(name string) (string, error) {
	hash, ok := a.hash[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %q", name)
	}
	return "/assets/" + name + "?" + hash, nil
}

// picture is the URL of a pet's picture, or of one that fits any pet.
func (a *assets) picture(petID string) (string, error) {
	if _, ok := a.files["pets/"+petID+".svg"]; ok {
		return a.url("pets/" + petID + ".svg")
	}
	return a.url("pets/unknown.svg")
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("path")
	content, ok := a.files[name]
	if !ok {
		service.WriteError(w, r, service.NewProblem(http.StatusNotFound, "There is no such file."))
		return
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(name)])
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'") // a picture opened by itself runs nothing
	h.Set("ETag", `"`+a.hash[name]+`"`)
	if r.URL.RawQuery == a.hash[name] {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
