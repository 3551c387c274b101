package sagakafka_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually bounds every wait for an event; a busy machine may need much of it.
const eventually = 60 * time.Second

type charge struct {
	Order string `json:"order"`
	Cents int    `json:"cents"`
}

type payment struct {
	ID string `json:"id"`
}

// bank is a participant with an effect that can be counted: one row per charge, one per void.
type bank struct {
	db          data.DB
	box         *outbox.Outbox
	participant *sagakafka.Participant

	mu       sync.Mutex
	outcomes []string
	// decide, when set, may make a handler fail after it wrote.
	decide func(saga.Ctx) error
}

const chargeCommand = "bank.charge.v1"

func newBank(t testing.TB, db data.DB) *bank {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	require.NoError(t, migrate.Up(ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}))
	_, err := db.Exec(ctx, "create table effects (step text not null, what text not null, cents bigint not null)")
	require.NoError(t, err)
	box, err := outbox.New(outbox.Config{Source: "bank"})
	require.NoError(t, err)
	b := &bank{db: db, box: box}
	b.participant, err = sagakafka.NewParticipant(sagakafka.ParticipantConfig{
		Name: "bank", Write: box.Write,
		Handled: func(_ context.Context, h sagakafka.Handled) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.outcomes = append(b.outcomes, h.Outcome)
		},
	}, db, sagakafka.On(chargeCommand, b.charge, b.void))
	require.NoError(t, err)
	return b
}

func (b *bank) charge(c saga.Ctx, tx data.Tx, in charge) (payment, error) {
	return payment{ID: "p-" + in.Order}, b.write(c, tx, "charge", in.Cents)
}

func (b *bank) void(c saga.Ctx, tx data.Tx, in charge, p payment) error {
	if p.ID != "p-"+in.Order || !c.ResultKnown() {
		return saga.Reject("void got the result %q", p.ID)
	}
	return b.write(c, tx, "void", in.Cents)
}

func (b *bank) write(c saga.Ctx, tx data.Tx, what string, cents int) error {
	if _, err := tx.Exec(c, "insert into effects (step, what, cents) values ($1, $2, $3)", c.Step(), what, cents); err != nil {
		return err
	}
	b.mu.Lock()
	decide := b.decide
	b.mu.Unlock()
	if decide != nil {
		return decide(c)
	}
	return nil
}

func (b *bank) onWrite(decide func(saga.Ctx) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.decide = decide
}

func (b *bank) lastOutcome() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.outcomes) == 0 {
		return ""
	}
	return b.outcomes[len(b.outcomes)-1]
}

// effects counts what a step did.
func (b *bank) effects(t require.TestingT, ctx context.Context, step string) (charges, voids int) {
	err := b.db.QueryRow(ctx, `select coalesce(sum(case what when 'charge' then 1 else 0 end), 0),
		coalesce(sum(case what when 'void' then 1 else 0 end), 0) from effects where step = $1`, step).Scan(&charges, &voids)
	require.NoError(t, err)
	return charges, voids
}

type reply struct{ outcome, reason, body string }

// replies reads what the outbox holds for a key, oldest first.
func (b *bank) replies(t require.TestingT, ctx context.Context, key string) (out []reply) {
	rows, err := b.db.Query(ctx, "select headers, body from mmf_outbox where topic = 'replies' order by seq")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var raw string
		var body []byte
		require.NoError(t, rows.Scan(&raw, &body))
		var headers map[string]string
		require.NoError(t, json.Unmarshal([]byte(raw), &headers))
		if headers[sagakafka.KeyHeader] == key {
			out = append(out, reply{headers[sagakafka.OutcomeHeader], headers[sagakafka.ReasonHeader], string(body)})
		}
	}
	require.NoError(t, rows.Err())
	return out
}

// command is what a caller sends, as a consumer gets it.
func command(step string, d saga.Direction) data.Event {
	return data.Event{
		ID: "c-" + step, Topic: "bank.commands", Key: "s-1", Type: chargeCommand, Source: "shop",
		Data: []byte(`{"order":"o-1","cents":4200}`),
		Headers: map[string]string{
			sagakafka.SagaHeader: "place-order", sagakafka.SagaIDHeader: "s-1", sagakafka.StepHeader: step,
			sagakafka.KeyHeader: "uid/" + step + "/" + string(d), sagakafka.DirectionHeader: string(d), sagakafka.AttemptHeader: "1",
			sagakafka.ReplyToHeader: "replies",
		},
	}
}
