package kafka_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
)

func TestEncodeAndDecodeAreInverse(t *testing.T) {
	t.Parallel()
	in := data.Event{
		ID: "e-1", Topic: "orders", Key: "o-1", Type: "test.created.v1", Source: "test", Subject: "orders/o-1",
		Time: time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC), Data: json.RawMessage(`{"n":1}`),
		Headers: map[string]string{"traceparent": "00-1", "correlation-id": "c", "causation-id": "d"},
	}
	r, err := kafka.Encode(in)
	require.NoError(t, err)
	require.Equal(t, "1.0", header(r, "ce_specversion"))
	require.Equal(t, "2026-11-22T10:00:00.123456789Z", header(r, "ce_time"))
	out, err := kafka.Decode(r)
	require.NoError(t, err)
	require.Equal(t, "application/json", out.ContentType)
	require.Equal(t, `{"n":1}`, string(out.Value))
	in.Data, out.Data = nil, nil
	require.Equal(t, in, out.Event)
}

func TestEncodeRefusesWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	_, err := kafka.Encode(data.Event{
		Topic: "no/slash", Source: "line\nbreak", Subject: strings.Repeat("x", 2000), Data: make(chan int),
		Headers: map[string]string{"ce_id": "mine", "": "none"},
	})
	for _, problem := range []string{"no/slash", "Key", "ID", "Type", "control", "2000 bytes", "encode Data", `"ce_id"`, `""`} {
		require.ErrorContains(t, err, problem)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"ce_specversion": "1.0", "ce_id": "1", "ce_type": "t", "ce_source": "s", "ce_time": "2026-11-22T10:00:00Z", "ce_tenant": "x",
	}
	got, err := kafka.Decode(record(good))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"tenant": "x"}, got.Extensions)
	for name, change := range map[string][2]string{
		"other version":   {"ce_specversion", "2.0"},
		"empty id":        {"ce_id", ""},
		"id not UTF-8":    {"ce_id", "\xff"},
		"id with NUL":     {"ce_id", "a\x00b"},
		"no time":         {"ce_time", "yesterday"},
		"structured mode": {"content-type", "application/cloudevents+json"},
		"long type":       {"ce_type", strings.Repeat("x", 1025)},
	} {
		headers := map[string]string{change[0]: change[1]}
		for k, v := range good {
			if k != change[0] {
				headers[k] = v
			}
		}
		_, err := kafka.Decode(record(headers))
		var de *kafka.DecodeError
		require.ErrorAs(t, err, &de, name)
		require.Equal(t, "orders", de.Topic)
	}
	for _, required := range []string{"ce_specversion", "ce_id", "ce_type", "ce_source"} {
		headers := map[string]string{}
		for k, v := range good {
			if k != required {
				headers[k] = v
			}
		}
		_, err := kafka.Decode(record(headers))
		require.ErrorContains(t, err, strings.TrimPrefix(required, "ce_"))
	}
	twice := record(good)
	twice.Headers = append(twice.Headers, kgo.RecordHeader{Key: "ce_id", Value: []byte("2")})
	_, err = kafka.Decode(twice)
	require.ErrorContains(t, err, "twice")
}

func record(headers map[string]string) *kgo.Record {
	r := &kgo.Record{Topic: "orders", Key: []byte("k"), Value: []byte(`{}`)}
	for k, v := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return r
}

// FuzzDecode: no record may bring the decoder down, and what it accepts can be sent on and means the same.
func FuzzDecode(f *testing.F) {
	f.Add("k", []byte(`{}`), "ce_specversion=1.0\nce_id=1\nce_type=t\nce_source=s\nce_time=2026-11-22T10:00:00Z\nx=y")
	f.Add("", []byte(nil), "ce_specversion=0.3\nce_id=1")
	f.Add("\xff", []byte("x"), "ce_specversion=1.0\nce_id=\x00\nce_id=2\ncontent-type=application/cloudevents")
	f.Add("k", []byte("x"), "ce_specversion=1.0\nce_id=1\nce_type=t\nce_source=s\nce_=x\n=y\nce_content-type=z\ncontent-type=text/plain")
	f.Fuzz(func(t *testing.T, key string, value []byte, headers string) {
		r := &kgo.Record{Topic: "orders", Key: []byte(key), Value: value, Timestamp: time.Unix(1, 0)}
		for line := range strings.Lines(headers) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
		got, err := kafka.Decode(r)
		if err != nil {
			var de *kafka.DecodeError
			require.ErrorAs(t, err, &de)
			return
		}
		require.NotEmpty(t, got.ID)
		require.NotEmpty(t, got.Type)
		require.NotEmpty(t, got.Source)
		if got.Key == "" {
			return // may be received, but not be sent
		}
		delete(got.Headers, "")
		if got.ContentType != "" {
			got.Headers["content-type"] = got.ContentType
		}
		again, err := kafka.Encode(got.Event)
		require.NoError(t, err)
		back, err := kafka.Decode(again)
		require.NoError(t, err)
		require.Equal(t, got.ID, back.ID)
		require.Equal(t, got.Subject, back.Subject)
		require.True(t, got.Time.Equal(back.Time), "%v %v", got.Time, back.Time)
		require.Equal(t, got.Value, back.Value)
	})
}
