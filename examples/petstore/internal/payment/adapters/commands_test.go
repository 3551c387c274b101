package adapters_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/gateway"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/resilience/resiliencehttp"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

const apiKey = "a-key-for-tests-only"

// rig is payment's command handler with a real database and a real gateway.
type rig struct {
	t        *testing.T
	db       data.DB
	gate     *flakyGateway
	charges  *resilience.Policy
	commands *adapters.Commands
}

// flakyGateway loses answers and lets things happen in between, as networks do.
type flakyGateway struct {
	*adapters.Gateway
	mu         sync.Mutex
	loseCharge int    // answers to charges that get lost, after the gateway did its work
	charged    func() // runs between the gateway's work and its answer
}

func (g *flakyGateway) Charge(ctx context.Context, key string, o domain.Order) (domain.Charge, error) {
	charge, err := g.Gateway.Charge(ctx, key, o)
	g.mu.Lock()
	defer g.mu.Unlock()
	if between := g.charged; between != nil {
		g.charged = nil
		between()
	}
	if g.loseCharge > 0 {
		g.loseCharge--
		return domain.Charge{}, fmt.Errorf("%w: the answer was lost", app.ErrUnknown)
	}
	return charge, err
}

func newRig(t *testing.T, db data.DB) *rig {
	t.Helper()
	ctx := t.Context()
	g, err := gateway.New(gateway.Config{APIKey: apiKey}, datatest.SQLite(t))
	require.NoError(t, err)
	require.NoError(t, g.Migrate(ctx))
	srv := httptest.NewServer(g.Handler())
	t.Cleanup(srv.Close)
	require.NoError(t, migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	require.NoError(t, migrate.Up(ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}))
	require.NoError(t, migrate.Up(ctx, db, payment.Migrations(), migrate.Config{Name: "payment"}))
	box, err := outbox.New(outbox.Config{Source: "petstore/payment"})
	require.NoError(t, err)
	charges, err := resilience.New(resilience.Config{Name: "payment_gateway", Retry: resilience.Retry{First: time.Millisecond}})
	require.NoError(t, err)
	guarded := &http.Client{Transport: resiliencehttp.Transport(charges, http.DefaultTransport)}
	gate := &flakyGateway{Gateway: adapters.NewGateway(srv.URL, apiKey, guarded, http.DefaultClient)}
	commands, err := adapters.NewCommands(app.New(db, gate, adapters.SQL{}, box, "payment.events"), db, box.Write, nil)
	require.NoError(t, err)
	return &rig{t, db, gate, charges, commands}
}

func command(direction saga.Direction, method string) kafka.Received {
	body, _ := json.Marshal(platform.ProcessPayment{
		OrderID: "ord-1", CustomerID: "alice", AmountCents: 129600, Currency: "USD", PaymentMethod: method,
	})
	return kafka.Received{Event: data.Event{
		ID: "c", Topic: platform.TopicPaymentCommands, Key: "ord-1", Type: platform.CommandProcessPayment, Data: body,
		Headers: map[string]string{
			sagakafka.SagaHeader: "order", sagakafka.SagaIDHeader: "ord-1", sagakafka.StepHeader: "process_payment",
			sagakafka.KeyHeader: "uid/process_payment/" + string(direction), sagakafka.DirectionHeader: string(direction),
			sagakafka.ReplyToHeader: platform.TopicSagaReplies,
		},
	}, Value: body, Attempt: 1}
}

func (r *rig) handle(direction saga.Direction, method string) {
	r.t.Helper()
	require.NoError(r.t, r.commands.Handle(r.t.Context(), command(direction, method)))
}

// told lists what was written to the outbox: events by type, replies as "do: done" or "undo: rejected reason".
func (r *rig) told() []string {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), "select type, headers from mmf_outbox order by seq")
	require.NoError(r.t, err)
	var list []string
	for rows.Next() {
		var typ, text string
		require.NoError(r.t, rows.Scan(&typ, &text))
		if typ != sagakafka.ReplyType {
			list = append(list, typ)
			continue
		}
		var h map[string]string
		require.NoError(r.t, json.Unmarshal([]byte(text), &h))
		line := h[sagakafka.DirectionHeader] + ": " + h[sagakafka.OutcomeHeader]
		if h[sagakafka.ReasonHeader] != "" {
			line += " " + h[sagakafka.ReasonHeader]
		}
		list = append(list, line)
	}
	require.NoError(r.t, rows.Err())
	return list
}

// expect checks the payment, that both books agree, and what was told.
func (r *rig) expect(status domain.Status, told ...string) {
	r.t.Helper()
	require.Equal(r.t, told, r.told())
	p, err := adapters.SQL{}.Payment(r.t.Context(), r.db, "ord-1")
	if status == "" {
		require.ErrorIs(r.t, err, data.ErrNoRows)
	} else {
		require.NoError(r.t, err)
		require.Equal(r.t, status, p.Status)
	}
	entries, err := adapters.SQL{}.Ledger(r.t.Context(), r.db, "ord-1")
	require.NoError(r.t, err)
	var sum int64
	for _, e := range entries {
		sum += e.Amount.Cents
	}
	require.Zero(r.t, sum, "double entry")
	held := r.held()
	require.Equal(r.t, held, domain.Balance(entries)["USD"], "the gateway's book and ours agree")
	if status == domain.Charged {
		require.EqualValues(r.t, 129600, held)
	} else {
		require.Zero(r.t, held)
	}
}

// held is what the gateway has of the order's money, by its own book; it may have charged once at most.
func (r *rig) held() (cents int64) {
	r.t.Helper()
	charges, err := r.gate.Charges(r.t.Context(), "ord-1")
	require.NoError(r.t, err)
	require.LessOrEqual(r.t, len(charges), 1)
	for _, c := range charges {
		if c.Status == domain.ChargeCaptured {
			cents += c.AmountCents
		}
	}
	return cents
}

const (
	charged  = "petstore.payment.charged.v1"
	declined = "petstore.payment.declined.v1"
	refunded = "petstore.payment.refunded.v1"
	barred   = "do: rejected the step was compensated before"
)

func engines(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig(t, open(t)))
		})
	}
}

func TestDuplicateCommandsChargeOnceAndRefundOnce(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.handle(saga.Do, gateway.Visa)
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Charged, charged, "do: done", "do: done")
		r.handle(saga.Undo, gateway.Visa)
		r.handle(saga.Undo, gateway.Visa)
		r.expect(domain.Refunded, charged, "do: done", "do: done", refunded, "undo: done", "undo: done")
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Refunded, charged, "do: done", "do: done", refunded, "undo: done", "undo: done", barred)
	})
}

func TestDeclinedIsRejectedAndWrittenDown(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.handle(saga.Do, gateway.Declining)
		r.handle(saga.Do, gateway.Declining)
		no := "do: rejected payment declined: insufficient_funds"
		r.expect(domain.Declined, declined, no, no)
		r.handle(saga.Undo, gateway.Declining)
		r.expect(domain.Declined, declined, no, no, "undo: done")
	})
}

func TestCompensationBeforeTheCommand(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.handle(saga.Undo, gateway.Visa)
		r.expect(domain.Voided, "undo: done")
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Voided, "undo: done", barred)
	})
}

func TestLostAnswerIsAskedForAgain(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.gate.loseCharge = 1
		require.ErrorIs(t, r.commands.Handle(t.Context(), command(saga.Do, gateway.Visa)), app.ErrUnknown)
		require.Empty(t, r.told())
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Charged, charged, "do: done")
	})
}

func TestLostAnswerIsFoundByTheCompensation(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.gate.loseCharge = 1
		require.Error(t, r.commands.Handle(t.Context(), command(saga.Do, gateway.Visa)))
		r.handle(saga.Undo, gateway.Visa)
		r.handle(saga.Undo, gateway.Visa)
		r.expect(domain.Refunded, refunded, "undo: done", "undo: done")
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Refunded, refunded, "undo: done", "undo: done", barred)
	})
}

func TestPatienceEnds(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		require.ErrorIs(t, r.commands.Handle(t.Context(), command(saga.Do, gateway.Unreachable)), app.ErrUnknown)
		r.handle(saga.Do, gateway.Unreachable)
		no := "do: rejected payment declined: gateway_unreachable"
		r.expect(domain.Declined, declined, no)
		r.handle(saga.Do, gateway.Unreachable)
		r.expect(domain.Declined, declined, no, no)
	})
}

// While the breaker is open nobody knows whether this very charge would work, so payment waits for as long as that takes.
func TestOpenBreakerCostsNoOrder(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		require.NoError(t, r.charges.ForceOpen(time.Hour))
		for range 5 {
			err := r.commands.Handle(t.Context(), command(saga.Do, gateway.Visa))
			require.ErrorIs(t, err, app.ErrNotAsked)
			require.ErrorIs(t, err, app.ErrUnknown)
			require.ErrorIs(t, err, resilience.ErrOpen)
		}
		r.charges.Unforce()
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Charged, charged, "do: done")
		require.NoError(t, r.charges.ForceOpen(time.Hour))
		r.handle(saga.Undo, gateway.Visa) // money goes back although charges are stopped
		r.expect(domain.Refunded, charged, "do: done", refunded, "undo: done")
	})
}

// The saga gives up while the gateway charges: the compensation is carried out before the answer to the charge is here.
func TestCompensationOvertakesTheCharge(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.gate.charged = func() { r.handle(saga.Undo, gateway.Visa) }
		r.handle(saga.Do, gateway.Visa)
		r.expect(domain.Refunded, refunded, "undo: done", barred)
	})
}

func TestMalformedCommandsKeepNoMoney(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		for name, spoil := range map[string]func(ev *kafka.Received){
			"nobody to answer":  func(ev *kafka.Received) { delete(ev.Headers, sagakafka.ReplyToHeader) },
			"no direction":      func(ev *kafka.Received) { delete(ev.Headers, sagakafka.DirectionHeader) },
			"another direction": func(ev *kafka.Received) { ev.Headers[sagakafka.DirectionHeader] = "sideways" },
			"direction and key": func(ev *kafka.Received) {
				ev.Headers[sagakafka.DirectionHeader], ev.Headers[sagakafka.KeyHeader] = "sideways", "uid/sideways"
			},
			"no key":       func(ev *kafka.Received) { delete(ev.Headers, sagakafka.KeyHeader) },
			"another type": func(ev *kafka.Received) { ev.Type = "refund_everything" },
		} {
			ev := command(saga.Do, gateway.Visa)
			spoil(&ev)
			err := r.commands.Handle(t.Context(), ev)
			var malformed *sagakafka.MessageError
			require.ErrorAs(t, err, &malformed, name)
			require.Zero(t, r.held(), name)
		}
	})
}

func TestOrderThatCannotBeChargedIsRejected(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		ev := command(saga.Do, gateway.Visa)
		ev.Value = []byte(`{"order_id":"ord-1"}`)
		ev.Data = ev.Value
		require.NoError(t, r.commands.Handle(t.Context(), ev))
		ev = command(saga.Undo, gateway.Visa)
		ev.Value = []byte(`{"order_id":"ord-1"}`)
		ev.Data = ev.Value
		require.NoError(t, r.commands.Handle(t.Context(), ev))
		told := r.told()
		require.Len(t, told, 2)
		require.Contains(t, told[0], "do: rejected this order cannot be charged")
		require.Equal(t, "undo: done", told[1])
		r.expect("", told...)
	})
}
