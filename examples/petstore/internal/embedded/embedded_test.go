package embedded_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/examples/petstore/internal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTemporaryFolderIsRemoved(t *testing.T) {
	t.Parallel()
	s, err := embedded.Start("")
	require.NoError(t, err)
	require.DirExists(t, s.Dir)
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.Dir)
}

func TestFolderOfANewerVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "format"), []byte("2\n"), 0o600))
	_, err := embedded.Start(dir)
	require.ErrorIs(t, err, embedded.ErrNewer)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "--data")
	require.NoDirExists(t, filepath.Join(dir, "kafka"), "nothing was touched")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "format"), []byte("two"), 0o600))
	_, err = embedded.Start(dir)
	require.ErrorContains(t, err, "no version")
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := embedded.Start(dir)
	require.NoError(t, err)
	_, err = embedded.Start(dir)
	require.ErrorIs(t, err, embedded.ErrInUse)
	require.NoError(t, first.Close())
	again, err := embedded.Start(dir)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestRecordsStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := embedded.Start(dir)
	require.NoError(t, err)
	client, err := kafka.NewClient(kafka.Config{Brokers: s.Kafka})
	require.NoError(t, err)
	require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "pets", Partitions: 1}))
	require.NoError(t, client.Native().ProduceSync(t.Context(), &kgo.Record{Topic: "pets", Value: []byte("Buddy")}).FirstErr())
	require.NoError(t, client.Close(t.Context()))
	require.NoError(t, s.Close())

	s, err = embedded.Start(dir)
	require.NoError(t, err)
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka...), kgo.ConsumeTopics("pets"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	records := reader.PollFetches(ctx).Records()
	require.Len(t, records, 1)
	require.Equal(t, "Buddy", string(records[0].Value))
	reader.Close()
	require.NoError(t, s.Close())
}

func TestTimePassesInRedis(t *testing.T) {
	t.Parallel()
	s, err := embedded.Start("")
	require.NoError(t, err)
	client := redis.NewClient(&redis.Options{Addr: s.Redis})
	require.NoError(t, client.Set(t.Context(), "k", "v", 200*time.Millisecond).Err())
	require.Eventually(t, func() bool { return client.Exists(t.Context(), "k").Val() == 0 }, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, client.Close())
	require.NoError(t, s.Close())
}
