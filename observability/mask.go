package observability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Redacted stands in log lines for what was masked.
const Redacted = "[redacted]"

// sensitiveKeys are the names, without "_" and "-" and in lower case, whose values never reach a log.
var sensitiveKeys = [...]string{
	"password", "passwd", "pwd", "passphrase", "secret", "clientsecret", "token", "accesstoken", "refreshtoken", "idtoken",
	"authorization", "proxyauthorization", "cookie", "setcookie", "apikey", "xapikey", "privatekey", "signingkey",
	"credential", "credentials", "dsn", "connectionstring", "cardnumber", "card", "cvv", "cvc", "pan", "iban", "ssn",
}

// masker knows which names are sensitive.
type masker struct{ keys map[string]struct{} }

func newMasker(extra []string) *masker {
	m := &masker{keys: make(map[string]struct{}, len(sensitiveKeys)+len(extra))}
	for _, k := range sensitiveKeys {
		m.keys[k] = struct{}{}
	}
	for _, k := range extra {
		m.keys[foldKey(k)] = struct{}{}
	}
	return m
}

func foldKey(k string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(k))
}

func (m *masker) sensitive(key string) bool {
	folded := foldKey(key)
	if _, ok := m.keys[folded]; ok {
		return true
	}
	// db_password, stripeSecret: the telling word often comes last.
	for _, suffix := range [...]string{"password", "secret", "token", "apikey", "privatekey"} {
		if strings.HasSuffix(folded, suffix) {
			return true
		}
	}
	return false
}

// maskingCore masks below every logger, so that no logger, slog bridge or named child can go around it.
type maskingCore struct {
	zapcore.Core
	masker *masker
}

// With masks fields before the encoder keeps them.
func (c *maskingCore) With(fields []zapcore.Field) zapcore.Core {
	return &maskingCore{Core: c.Core.With(c.masker.fields(fields)), masker: c.masker}
}

// Check adds this core and not the inner one, so that Write passes through here.
func (c *maskingCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write masks the message and the fields.
func (c *maskingCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.Message = maskText(e.Message)
	e.Stack = maskText(e.Stack)
	return c.Core.Write(e, c.masker.fields(fields))
}

// fields masks a copy: the caller's slice may be used again.
func (m *masker) fields(in []zapcore.Field) []zapcore.Field {
	if len(in) == 0 {
		return in
	}
	out := make([]zapcore.Field, len(in))
	for i, f := range in {
		out[i] = m.field(f)
	}
	return out
}

func (m *masker) field(f zapcore.Field) (masked zapcore.Field) {
	// A Stringer, an error or a marshaler that panics must not take the request with it, and must not be printed raw.
	defer func() {
		if p := recover(); p != nil {
			masked = zap.String(f.Key, "[could not be encoded]")
		}
	}()
	switch f.Type {
	case zapcore.NamespaceType, zapcore.SkipType:
		return f
	case zapcore.InlineMarshalerType:
		return m.inline(f)
	}
	if m.sensitive(f.Key) {
		return zap.String(f.Key, Redacted)
	}
	switch f.Type {
	case zapcore.StringType:
		f.String = maskText(f.String)
		return f
	case zapcore.ByteStringType, zapcore.BinaryType:
		b, ok := f.Interface.([]byte)
		if !ok {
			return f
		}
		return zap.String(f.Key, maskText(string(b)))
	case zapcore.ErrorType:
		err, ok := f.Interface.(error)
		if !ok || err == nil {
			return f
		}
		return zap.String(f.Key, maskText(err.Error()))
	case zapcore.StringerType:
		s, ok := f.Interface.(fmt.Stringer)
		if !ok {
			return f
		}
		return zap.String(f.Key, maskText(s.String()))
	case zapcore.ReflectType:
		return zap.Reflect(f.Key, m.reflected(f.Interface))
	case zapcore.ObjectMarshalerType, zapcore.ArrayMarshalerType:
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		return zap.Reflect(f.Key, m.reflected(enc.Fields[f.Key]))
	default: // numbers, booleans, times
		return f
	}
}

// inline masks the fields that an inlined object would have added beside the others.
func (m *masker) inline(f zapcore.Field) zapcore.Field {
	enc := zapcore.NewMapObjectEncoder()
	f.AddTo(enc)
	values := enc.Fields
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
		for k, v := range values {
			if m.sensitive(k) {
				e.AddString(k, Redacted)
			} else if err := e.AddReflected(k, m.reflected(v)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// reflected turns a value into what its JSON says, with secrets masked at every depth. Going through JSON costs more
// than reflection on the value would; it is the one way to see exactly the names that would be written.
func (m *masker) reflected(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return "[could not be encoded]"
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return "[could not be encoded]"
	}
	return m.walk(tree)
}

func (m *masker) walk(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if m.sensitive(k) {
				v[k] = Redacted
			} else {
				v[k] = m.walk(e)
			}
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = m.walk(e)
		}
		return v
	case string:
		return maskText(v)
	case json.Number:
		if s := v.String(); maskCards(s) != s {
			return Redacted
		}
		return v
	default:
		return v
	}
}
