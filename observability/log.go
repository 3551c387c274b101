package observability

import (
	"context"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/marty-framework/mmf/internal/correlation"
)

func newLogger(cfg Config, level zapcore.LevelEnabler) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "ts", LevelKey: "level", NameKey: "logger", CallerKey: "caller", MessageKey: "msg", StacktraceKey: "stack",
		LineEnding:  zapcore.DefaultLineEnding,
		EncodeLevel: zapcore.LowercaseLevelEncoder,
		EncodeTime: func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
			enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000000Z"))
		},
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeCaller:   zapcore.ShortCallerEncoder,
	})
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(cfg.LogWriter)), level)
	if !cfg.DisableMasking {
		core = &maskingCore{Core: core, masker: newMasker(cfg.SensitiveKeys)}
	}
	return zap.New(core, zap.AddCaller(), zap.ErrorOutput(zapcore.Lock(zapcore.AddSync(cfg.LogWriter)))).With(
		zap.String("service", cfg.Service), zap.String("version", cfg.Version), zap.String("env", cfg.Environment))
}

// Logger is the logger without a context, for what belongs to no request: start, stop, background work.
func (t *Telemetry) Logger() *zap.Logger { return t.logger }

// Log returns the logger with the ids of ctx: correlation_id, causation_id, trace_id, span_id and principal, each only
// when ctx has it.
func (t *Telemetry) Log(ctx context.Context) *zap.Logger { return t.logger.With(contextFields(ctx)...) }

func contextFields(ctx context.Context) []zap.Field {
	fields := make([]zap.Field, 0, 5)
	ids := correlation.From(ctx)
	if ids.Correlation != "" {
		fields = append(fields, zap.String("correlation_id", printable(ids.Correlation, correlation.MaxLength)))
	}
	if ids.Causation != "" {
		fields = append(fields, zap.String("causation_id", printable(ids.Causation, correlation.MaxLength)))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		fields = append(fields, zap.String("trace_id", sc.TraceID().String()), zap.String("span_id", sc.SpanID().String()))
	}
	if p := Principal(ctx); p != "" {
		fields = append(fields, zap.String("principal", printable(p, maxPrincipal)))
	}
	return fields
}

// printable makes a text from outside safe to look at in a terminal and short enough for a line: control characters and
// broken UTF-8 become U+FFFD, and what is longer than limit bytes is cut.
func printable(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
	if cut {
		s += "…"
	}
	return s
}

// oneLine is printable for texts of several lines, such as joined errors.
func oneLine(s string, limit int) string { return printable(strings.ReplaceAll(s, "\n", "; "), limit) }

// syncLog flushes the writer. Its error is dropped on purpose: a terminal and a pipe cannot be synced and say so, and
// nobody could be told where the log itself is broken.
func syncLog(l *zap.Logger) { _ = l.Sync() }
