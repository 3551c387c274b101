package saga

import (
	"context"
	"log/slog"
)

// LogHooks makes hooks that write log lines: what somebody has to look at as warnings and errors, what did not go well and what
// a node wins as info, sagas that complete and attempts that succeed as debug, since there may be thousands a second. Every
// line about a saga bears its name and ID, none a payload. A nil logger is [slog.Default], asked for at each line.
func LogHooks(logger *slog.Logger) Hooks {
	l := logLines{logger}
	return Hooks{
		Started: func(ctx context.Context, e SagaEvent) { l.saga(ctx, slog.LevelDebug, "saga started", e) },
		Attempted: func(ctx context.Context, e AttemptEvent) {
			if level, ok := l.wants(ctx, attemptLevel(e.Outcome)); ok {
				l.attempt(ctx, level, "saga step", e)
			}
		},
		Hung: func(ctx context.Context, e AttemptEvent) {
			l.attempt(ctx, slog.LevelError, "saga step hangs and was given up", e)
		},
		Unknown: func(ctx context.Context, e SagaEvent) {
			l.saga(ctx, slog.LevelWarn, "saga step's outcome is unknown", e)
		},
		TurnedBack: func(ctx context.Context, e SagaEvent) { l.saga(ctx, slog.LevelWarn, "saga compensates", e) },
		Finished: func(ctx context.Context, e SagaEvent) {
			if level, ok := l.wants(ctx, endLevel(e.Outcome)); ok {
				l.saga(ctx, level, "saga finished", e, slog.String("outcome", string(e.Outcome)), slog.Duration("took", e.Duration))
			}
		},
		Parked:   func(ctx context.Context, e SagaEvent) { l.saga(ctx, slog.LevelError, "saga needs help", e) },
		Refused:  func(ctx context.Context, e SagaEvent) { l.saga(ctx, slog.LevelWarn, "saga refused a signal", e) },
		Violated: func(ctx context.Context, e SagaEvent) { l.saga(ctx, slog.LevelError, "saga engine broke a promise", e) },
		Flushed: func(ctx context.Context, e FlushEvent) {
			if e.Err != nil {
				l.log().LogAttrs(ctx, slog.LevelWarn, "saga journal is not written", slog.Int("writes", e.Writes), slog.Any("error", e.Err))
			}
		},
		Recovered: func(ctx context.Context, e NodeEvent) {
			l.log().LogAttrs(ctx, slog.LevelInfo, "sagas taken over", slog.String("saga", e.Saga), slog.Int("sagas", e.Sagas))
		},
		Fenced: func(ctx context.Context, e NodeEvent) {
			l.log().LogAttrs(ctx, slog.LevelWarn, "another process took this one's sagas over",
				slog.String("saga", e.Saga), slog.Int("lanes", e.Lanes))
		},
		Strayed: func(ctx context.Context, e NodeEvent) {
			l.log().LogAttrs(ctx, slog.LevelError, "sagas wait for a version that no process runs", slog.String("saga", e.Saga),
				slog.Int("version", e.Version), slog.Int("sagas", e.Sagas))
		},
		Skipped: func(ctx context.Context, e ScheduleEvent) {
			l.log().LogAttrs(ctx, slog.LevelWarn, "saga schedule skipped", slog.String("schedule", e.Schedule), slog.Int("times", e.Times),
				slog.Time("at", e.At), slog.String("reason", e.Reason))
		},
		Failed: func(ctx context.Context, err error) {
			l.log().LogAttrs(ctx, slog.LevelWarn, "saga engine", slog.Any("error", err))
		},
	}
}

func attemptLevel(outcome string) slog.Level {
	switch outcome {
	case "failed", "rejected":
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func endLevel(o Outcome) slog.Level {
	if o == Completed {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

type logLines struct{ logger *slog.Logger }

func (l logLines) log() *slog.Logger {
	if l.logger != nil {
		return l.logger
	}
	return slog.Default()
}

// wants spares the making of lines that nobody reads.
func (l logLines) wants(ctx context.Context, level slog.Level) (slog.Level, bool) {
	return level, l.log().Enabled(ctx, level)
}

func (l logLines) saga(ctx context.Context, level slog.Level, message string, e SagaEvent, more ...slog.Attr) {
	if !l.log().Enabled(ctx, level) {
		return
	}
	attrs := append([]slog.Attr{slog.String("saga", e.Saga), slog.String("saga_id", string(e.ID))}, more...)
	if e.Step != "" {
		attrs = append(attrs, slog.String("step", e.Step))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	l.log().LogAttrs(ctx, level, message, attrs...)
}

func (l logLines) attempt(ctx context.Context, level slog.Level, message string, e AttemptEvent) {
	attrs := []slog.Attr{
		slog.String("saga", e.Saga), slog.String("saga_id", string(e.ID)), slog.String("step", e.Step),
		slog.String("direction", string(e.Direction)), slog.Int("attempt", e.Attempt), slog.String("outcome", e.Outcome),
		slog.Duration("took", e.Duration),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	l.log().LogAttrs(ctx, level, message, attrs...)
}
