package observability

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// statusClientClosed is what nginx made customary for a caller who did not wait for the reply.
const statusClientClosed = 499

// recorder notes status and size of a reply. It passes flushing, hijacking and sending files through, by assertion and
// by http.ResponseController.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Written reports whether the reply has begun, after which neither status nor header can change.
func (r *recorder) Written() bool { return r.status != 0 }

// WriteHeader notes the final status; informational ones pass by.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (r *recorder) Write(p []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile working.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.begin()
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

// Flush serves code that asserts http.Flusher.
func (r *recorder) Flush() {
	r.begin()
	// A writer that cannot flush sends everything at the end; that is all that can be done about it here.
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// Hijack serves code that asserts http.Hijacker; the error matches http.ErrNotSupported where it cannot be done.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}

func (r *recorder) begin() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}
