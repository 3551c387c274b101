package adapters

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// patience is how many deliveries of a command ask the gateway in vain, each as often as the policy allows, before the charge is taken
// back. Deliveries that did not get to ask, because the breaker was open, do not count.
const patience = 2

// Commands carries out the order saga's commands to payment. It is safe for concurrent use.
type Commands struct {
	payments *app.Payments
	barrier  *sagakafka.Participant

	mu sync.Mutex
	// inVain counts, by charge, for as long as the outcome is unknown. It is lost with the process, which only makes us
	// more patient.
	inVain map[string]int
}

// NewCommands makes the handler; write is that of the outbox in db, which also needs the tables of [sagakafka.Migrations]. handled is
// told about each command and may be nil.
func NewCommands(
	payments *app.Payments, db data.DB, write sagakafka.Write, handled func(context.Context, sagakafka.Handled),
) (*Commands, error) {
	c := &Commands{payments: payments, inVain: map[string]int{}}
	var err error
	c.barrier, err = sagakafka.NewParticipant(sagakafka.ParticipantConfig{
		Name: "payment", Write: write,
		Handled: func(ctx context.Context, h sagakafka.Handled) {
			talkOf(ctx).barred = h.Outcome == sagakafka.HandledBarred
			if handled != nil {
				handled(ctx, h)
			}
		},
	}, db, sagakafka.On(platform.CommandProcessPayment, c.do, c.undo))
	return c, err
}

// talk is what the gateway said before the barrier's transaction began. It travels in the context, because the barrier decides
// whether the handlers below run at all.
type talk struct {
	charge   domain.Charge // of a do
	reversed domain.Charge // of an undo
	barred   bool          // the barrier refused the command, because its compensation came first
}

type talkKey struct{}

func talkOf(ctx context.Context) *talk {
	if t, ok := ctx.Value(talkKey{}).(*talk); ok {
		return t
	}
	return &talk{}
}

// Handle carries out one command: first the network, then the barrier's transaction with effect and reply. If we die between the
// two, the command is delivered again, and the gateway says the same as before.
func (c *Commands) Handle(ctx context.Context, ev kafka.Received) error {
	var in platform.ProcessPayment
	direction := saga.Direction(ev.Headers[sagakafka.DirectionHeader])
	key, whole := strings.CutSuffix(ev.Headers[sagakafka.KeyHeader], "/"+string(direction)) // the same for a charge and its refund
	if ev.Type != platform.CommandProcessPayment || !whole || json.Unmarshal(ev.Value, &in) != nil {
		return c.barrier.Handle(ctx, ev.Event) // which says what is wrong with it
	}
	order, t := orderOf(in), &talk{}
	ctx = context.WithValue(ctx, talkKey{}, t)
	var err error
	switch {
	case direction == saga.Undo:
		t.reversed, err = c.payments.Refund(ctx, key, order)
	case direction == saga.Do && order.Validate() == nil:
		t.charge, err = c.charge(ctx, key, order)
	}
	if err != nil {
		return patient(err)
	}
	err = c.barrier.Handle(ctx, ev.Event)
	var malformed *sagakafka.MessageError
	if t.charge.Status == domain.ChargeCaptured && (t.barred || errors.As(err, &malformed)) {
		// We charged for nothing: the compensation overtook us, or nobody can be answered. Until the money is back this
		// command is not handled.
		if _, refundErr := c.payments.Refund(ctx, key, order); refundErr != nil {
			return patient(refundErr)
		}
	}
	return err
}

func (c *Commands) charge(ctx context.Context, key string, order domain.Order) (domain.Charge, error) {
	c.mu.Lock()
	last := c.inVain[key]+1 >= patience
	c.mu.Unlock()
	charge, err := c.payments.Charge(ctx, key, order, last)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, app.ErrNotAsked):
	case errors.Is(err, app.ErrUnknown):
		c.inVain[key]++
	default:
		delete(c.inVain, key)
	}
	return charge, err
}

// patient makes the consumer repeat a command for as long as the gateway owes an answer.
func patient(err error) error {
	if errors.Is(err, app.ErrUnknown) {
		return kafka.Transient(err)
	}
	return err
}

func (c *Commands) do(ctx saga.Ctx, tx data.Tx, in platform.ProcessPayment) (platform.PaymentProcessed, error) {
	order := orderOf(in)
	if err := order.Validate(); err != nil {
		return platform.PaymentProcessed{}, saga.Reject("this order cannot be charged: %v", err)
	}
	charge := talkOf(ctx).charge
	if charge.Status != domain.ChargeCaptured {
		return platform.PaymentProcessed{}, saga.Reject("payment %s: %s", charge.Status, charge.Reason)
	}
	payment, err := c.payments.RecordCharge(ctx, tx, chargeKey(ctx), order, charge)
	return platform.PaymentProcessed{PaymentID: payment.ID, Status: string(payment.Status)}, err
}

// undo finds the refund written down already, unless another process recorded the charge in the meantime.
func (c *Commands) undo(ctx saga.Ctx, tx data.Tx, in platform.ProcessPayment, _ platform.PaymentProcessed) error {
	return c.payments.RecordRefund(ctx, tx, chargeKey(ctx), orderOf(in), talkOf(ctx).reversed)
}

func chargeKey(ctx saga.Ctx) string {
	return strings.TrimSuffix(ctx.Key(), "/"+string(ctx.Direction()))
}

func orderOf(in platform.ProcessPayment) domain.Order {
	return domain.Order{
		ID: in.OrderID, CustomerID: in.CustomerID, Method: in.PaymentMethod,
		Amount: domain.Money{Cents: in.AmountCents, Currency: in.Currency},
	}
}
