package service

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/marty-framework/mmf/observability"
)

// errPanic is what a panic looks like to everybody but the log.
var errPanic = errors.New("service: the handler panicked")

// recoverer turns a handler's panic into a 500 problem; value and stack go to the log only. When the reply has begun, the
// connection is cut, so that the caller does not take half an answer for a whole one.
func (s *Service) recoverer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler)
			}
			s.tel.Log(r.Context()).Error("panic", zap.String("panic", fmt.Sprint(v)), zap.String("stack", string(debug.Stack())))
			observability.Fail(r.Context(), "panic", errPanic)
			if begun(w) {
				panic(http.ErrAbortHandler)
			}
			WriteError(w, r, errPanic)
		}()
		next.ServeHTTP(w, r)
	})
}
