package observability

import (
	"time"

	"go.uber.org/zap/zapcore"
)

// levelControl is the level of every logger of one Telemetry.
type levelControl struct{ level adjustable[zapcore.Level] }

func newLevelControl(name string) *levelControl {
	l, err := parseLevel(name)
	if err != nil {
		l = zapcore.InfoLevel // New validated the name already
	}
	c := &levelControl{}
	c.level.set(l, 0)
	return c
}

// Enabled implements zapcore.LevelEnabler.
func (c *levelControl) Enabled(l zapcore.Level) bool { return c.level.get().Enabled(l) }

// Level lets zap.Logger.Level tell the level.
func (c *levelControl) Level() zapcore.Level { return c.level.get() }

// SetLogLevel changes the level of every logger made from t at once: for d, after which the earlier level is back, or
// for good when d is 0. A time limit keeps debug logging from being forgotten in production.
func (t *Telemetry) SetLogLevel(level string, d time.Duration) error {
	l, err := parseLevel(level)
	if err != nil {
		return err
	}
	t.level.level.set(l, d)
	return nil
}

// LogLevel is the level at the moment.
func (t *Telemetry) LogLevel() string { return t.level.Level().String() }
