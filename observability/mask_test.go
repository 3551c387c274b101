package observability_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/marty-framework/mmf/observability"
)

// canary must never be seen in a line.
const canary = "c4n4ry-Z9"

type credentials struct {
	User     string
	Password string
	Nested   struct {
		APIKey string `json:"api_key"`
		List   []map[string]string
	}
}

func (c credentials) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString("user", c.User)
	e.AddString("password", c.Password)
	return nil
}

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

type panicking struct{}

func (panicking) String() string { panic(canary) }

func secrets() credentials {
	c := credentials{User: "alice", Password: canary}
	c.Nested.APIKey = canary
	c.Nested.List = []map[string]string{{"token": canary, "note": "password=" + canary}}
	return c
}

func TestSecretsAreMaskedWhateverTheField(t *testing.T) {
	t.Parallel()
	dsn := "postgres://app:" + canary + "@db:5432/orders"
	jwt := "eyJhbGciOiJSUzI1NiJ9." + "eyJzdWIiOiJ4In0." + canary
	pem := "-----BEGIN RSA PRIVATE KEY-----\n" + canary + "\n-----END RSA PRIVATE KEY-----"
	cases := map[string]func(l *zap.Logger){
		"key":              func(l *zap.Logger) { l.Info("x", zap.String("password", canary)) },
		"key, odd case":    func(l *zap.Logger) { l.Info("x", zap.String("Client-Secret", canary)) },
		"key, suffix":      func(l *zap.Logger) { l.Info("x", zap.String("db_password", canary)) },
		"configured key":   func(l *zap.Logger) { l.Info("x", zap.String("favourite_colour", canary)) },
		"key, number":      func(l *zap.Logger) { l.Info("x", zap.Int64("card_number", 4111111111111111)) },
		"with":             func(l *zap.Logger) { l.With(zap.String("token", canary)).Info("x") },
		"lazy with":        func(l *zap.Logger) { l.WithLazy(zap.String("token", canary)).Info("x") },
		"named child":      func(l *zap.Logger) { l.Named("y").Info("x", zap.String("cookie", canary)) },
		"namespace":        func(l *zap.Logger) { l.Info("x", zap.Namespace("n"), zap.String("secret", canary)) },
		"message":          func(l *zap.Logger) { l.Info("connect to " + dsn) },
		"string":           func(l *zap.Logger) { l.Info("x", zap.String("note", "Authorization: Bearer "+canary+"0123")) },
		"basic":            func(l *zap.Logger) { l.Info("x", zap.String("note", "Basic "+canary+"0123==")) },
		"bytes":            func(l *zap.Logger) { l.Info("x", zap.ByteString("note", []byte(jwt)), zap.Binary("b", []byte(dsn))) },
		"error":            func(l *zap.Logger) { l.Info("x", zap.Error(fmt.Errorf("dial %s: %w", dsn, errors.New("refused")))) },
		"errors":           func(l *zap.Logger) { l.Info("x", zap.Errors("all", []error{errors.New(dsn)})) },
		"stringer":         func(l *zap.Logger) { l.Info("x", zap.Stringer("note", stringer{pem})) },
		"stringers":        func(l *zap.Logger) { l.Info("x", zap.Stringers("note", []stringer{{dsn}})) },
		"panicking":        func(l *zap.Logger) { l.Info("x", zap.Stringer("note", panicking{})) },
		"struct":           func(l *zap.Logger) { l.Info("x", zap.Any("note", secrets())) },
		"reflect":          func(l *zap.Logger) { l.Info("x", zap.Reflect("note", secrets().Nested)) },
		"pointer":          func(l *zap.Logger) { c := secrets(); l.Info("x", zap.Reflect("note", &c)) },
		"object":           func(l *zap.Logger) { l.Info("x", zap.Object("note", secrets())) },
		"objects":          func(l *zap.Logger) { l.Info("x", zap.Objects("note", []credentials{secrets()})) },
		"inline":           func(l *zap.Logger) { l.Info("x", zap.Inline(secrets())) },
		"dict":             func(l *zap.Logger) { l.Info("x", zap.Dict("d", zap.String("token", canary))) },
		"strings":          func(l *zap.Logger) { l.Info("x", zap.Strings("note", []string{dsn})) },
		"map":              func(l *zap.Logger) { l.Info("x", zap.Any("note", map[string]any{"a": map[string]any{"pwd": canary}})) },
		"json in text":     func(l *zap.Logger) { l.Info(`body {"password":"` + canary + `"}`) },
		"keyword dsn":      func(l *zap.Logger) { l.Info("host=db user=app password=" + canary + " dbname=x") },
		"unencodable":      func(l *zap.Logger) { l.Info("x", zap.Any("note", map[string]any{canary: make(chan int)})) },
		"sugared":          func(l *zap.Logger) { l.Sugar().Infow("x", "token", canary) },
		"sugared message":  func(l *zap.Logger) { l.Sugar().Infof("token=%s", canary) },
		"unterminated pem": func(l *zap.Logger) { l.Info("-----BEGIN PRIVATE KEY-----\n" + canary) },
	}
	for name, log := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(c *observability.Config) { c.SensitiveKeys = []string{"favourite-colour"} })
			log(f.Logger())
			require.Len(t, f.log.lines(t), 1)
			assert.NotContains(t, f.log.String(), canary)
			assert.NotContains(t, f.log.String(), "4111111111111111")
		})
	}
}

func TestMaskingLeavesTheRestReadable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Logger().Info("connect to postgres://app:pw123456@db:5432/orders", zap.Any("who", secrets()), zap.Int("n", 7),
		zap.Strings("ids", []string{"a", "b"}), zap.Int64("big", 9007199254740993), zap.Any("precise", map[string]any{"v": int64(9007199254740993)}),
		zap.Int64("at", 1763834400123456789), zap.String("at_text", "1763834400123456789"))
	line := f.log.line(t, "connect to postgres://app:[redacted]@db:5432/orders")
	assert.Equal(t, map[string]any{"user": "alice", "password": "[redacted]"}, line["who"])
	assert.EqualValues(t, 7, line["n"])
	assert.Equal(t, []any{"a", "b"}, line["ids"])
	assert.Contains(t, f.log.String(), `"precise":{"v":9007199254740993}`)
	assert.Equal(t, "1763834400123456789", line["at_text"])
}

func TestMaskText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "",
		"nothing to hide here":           "nothing to hide here",
		"card 4111 1111 1111 1111 ok":    "card [redacted] ok",
		"card 4111-1111-1111-1111":       "card [redacted]",
		"card 4111111111111112 no check": "card 4111111111111112 no check",
		"amex 378282246310005":           "amex [redacted]",
		"redis://:pass1234@host:6379/0":  "redis://:[redacted]@host:6379/0",
		"a token of gratitude":           "a token of gratitude",
		"basic needs":                    "basic needs",
		"password: hunter22, user: x":    "password: [redacted], user: x",
		`{"apiKey": "k-1", "n": 1}`:      `{"apiKey": [redacted], "n": 1}`,
		"https://example.com/a@b":        "https://example.com/a@b",
	} {
		assert.Equal(t, want, observability.MaskText(in))
	}
}

// FuzzMaskText looks for panics, and for output that a second pass would change: that would mean a secret survived.
func FuzzMaskText(f *testing.F) {
	for _, s := range []string{
		"password=x", "4111 1111 1111 1111", "a://b:c@d", "Bearer abcdefgh", "eyJabcdef.abcd.e", "-----BEGIN PRIVATE KEY-----",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := observability.MaskText("password=" + canary + " " + s)
		if strings.Contains(out, canary) && !strings.Contains(s, canary) {
			t.Errorf("%q shows the canary: %q", s, out)
		}
	})
}

func TestSlogBridge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *observability.Config) { c.LogLevel = "info" })
	ctx := observability.WithCorrelationID(t.Context(), "c-1")
	l := f.Slog().With("password", canary).WithGroup("g").With("a", 1)
	l.InfoContext(ctx, "hello", slog.Group("inner", "token", canary, "n", 2), slog.Any("err", errors.New("bad")), slog.Group("empty"))
	l.DebugContext(ctx, "not written")
	f.Slog().WithGroup("nothing").WarnContext(context.Background(), "plain")
	hello, plain := f.log.line(t, "hello"), f.log.line(t, "plain")
	assert.Equal(t, "c-1", hello["correlation_id"], "ids stay outside groups")
	assert.Equal(t, map[string]any{"a": 1.0, "inner": map[string]any{"token": "[redacted]", "n": 2.0}, "err": "bad"}, hello["g"])
	assert.Contains(t, hello["caller"], "mask_test.go")
	assert.Equal(t, "warn", plain["level"])
	assert.NotContains(t, plain, "nothing")
	assert.NotContains(t, f.log.String(), canary)
	assert.Len(t, f.log.lines(t), 2)
}
