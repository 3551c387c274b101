package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/marty-framework/mmf/config"
)

// TestSecretDoesNotShowItself (S-SEC-1) tries every way by which values end in logs.
func TestSecretDoesNotShowItself(t *testing.T) {
	t.Parallel()
	const canary = "hunter2-canary"
	secret := config.NewSecret(canary)
	type outer struct {
		Exported config.Secret
		hidden   config.Secret
		Map      map[string]config.Secret
		List     []config.Secret
		Pointer  *config.Secret
	}
	value := outer{secret, secret, map[string]config.Secret{"k": secret}, []config.Secret{secret}, &secret}
	var all bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%t", "%10s", "%p"} {
		for _, v := range []any{secret, &secret, value, &value, []any{secret}} {
			_, _ = fmt.Fprintf(&all, verb+"\n", v)
		}
	}
	encoded, err := json.Marshal(value)
	require.NoError(t, err)
	all.Write(encoded)
	encoded, err = yaml.Marshal(struct{ S config.Secret }{secret})
	require.NoError(t, err)
	all.Write(encoded)
	slog.New(slog.NewJSONHandler(&all, nil)).Info("x", "secret", secret, "value", value)
	slog.New(slog.NewTextHandler(&all, nil)).Info("x", "secret", secret, "value", value)
	_, _ = fmt.Fprint(&all, errors.Join(fmt.Errorf("wrapped: %v", secret)))
	require.NotContains(t, all.String(), canary)
	require.NotContains(t, all.String(), fmt.Sprintf("%x", canary))
	require.NotContains(t, all.String(), fmt.Sprintf("%X", canary))
	require.Contains(t, string(encoded), "[redacted]")
	require.Equal(t, canary, secret.Reveal())
}

func TestSecretsCompare(t *testing.T) {
	t.Parallel()
	var zero config.Secret
	require.True(t, zero.IsZero())
	require.True(t, zero.Equal(config.NewSecret("")))
	require.True(t, config.NewSecret("a").Equal(config.NewSecret("a")))
	require.False(t, config.NewSecret("a").Equal(config.NewSecret("b")))
	var read config.Secret
	require.NoError(t, json.Unmarshal([]byte(`"a"`), &read))
	require.Equal(t, "a", read.Reveal())
}

// TestErrorsHoldNoSecrets: a secret of the wrong form is refused without showing it.
func TestErrorsHoldNoSecrets(t *testing.T) {
	_, err := load(t, config.Options{}, "db: {dsn: 4111111111111111}")
	require.EqualError(t, err, "config: a.yaml:1: db.dsn: must be a text, not a number; put it in quotes")
}
