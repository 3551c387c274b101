package observability

import (
	"context"
	"log/slog"
	"runtime"
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Slog is a slog logger over the same core: same lines, same level, same masking, and the ids of the context that is
// given to its …Context methods.
func (t *Telemetry) Slog() *slog.Logger { return slog.New(&slogHandler{core: t.logger.Core()}) }

// slogHandler writes slog records to a zap core. Groups become zap namespaces, which cannot be left once they are open;
// so what WithAttrs and WithGroup add is kept here and written after the ids of the context.
type slogHandler struct {
	core  zapcore.Core
	added []zap.Field
}

// Enabled follows the adjustable level.
func (h *slogHandler) Enabled(_ context.Context, l slog.Level) bool {
	return h.core.Enabled(zapLevel(l))
}

// Handle writes one record.
func (h *slogHandler) Handle(ctx context.Context, r slog.Record) error {
	entry := zapcore.Entry{Level: zapLevel(r.Level), Time: r.Time, Message: r.Message}
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		entry.Caller = zapcore.EntryCaller{Defined: true, PC: r.PC, File: frame.File, Line: frame.Line, Function: frame.Function}
	}
	fields := append(contextFields(ctx), h.added...)
	r.Attrs(func(a slog.Attr) bool {
		fields = appendAttr(fields, a)
		return true
	})
	for len(fields) > 0 && fields[len(fields)-1].Type == zapcore.NamespaceType { // slog leaves empty groups out
		fields = fields[:len(fields)-1]
	}
	if ce := h.core.Check(entry, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}

// WithAttrs keeps attrs for every later record.
func (h *slogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	added := slices.Clone(h.added)
	for _, a := range attrs {
		added = appendAttr(added, a)
	}
	return &slogHandler{core: h.core, added: added}
}

// WithGroup opens a group for later attributes.
func (h *slogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &slogHandler{core: h.core, added: append(slices.Clone(h.added), zap.Namespace(name))}
}

func appendAttr(fields []zap.Field, a slog.Attr) []zap.Field {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Key == "" && v.Any() == nil {
			return fields
		}
		return append(fields, zap.Any(a.Key, v.Any()))
	}
	members := v.Group()
	switch {
	case len(members) == 0:
		return fields
	case a.Key == "": // an inlined group
		for _, m := range members {
			fields = appendAttr(fields, m)
		}
		return fields
	default:
		var inner []zap.Field
		for _, m := range members {
			inner = appendAttr(inner, m)
		}
		return append(fields, zap.Dict(a.Key, inner...))
	}
}

func zapLevel(l slog.Level) zapcore.Level {
	switch {
	case l < slog.LevelInfo:
		return zapcore.DebugLevel
	case l < slog.LevelWarn:
		return zapcore.InfoLevel
	case l < slog.LevelError:
		return zapcore.WarnLevel
	default:
		return zapcore.ErrorLevel
	}
}
