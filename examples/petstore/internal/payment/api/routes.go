// Package api is payment's HTTP: customers see their own payments, admins the ledger.
package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Payment is a payment as its customer sees it.
type Payment struct {
	ID            string    `json:"id"`
	OrderID       string    `json:"order_id"`
	CustomerID    string    `json:"customer_id"`
	AmountCents   int64     `json:"amount_cents"`
	Currency      string    `json:"currency"`
	PaymentMethod string    `json:"payment_method"`
	Status        string    `json:"status"` // charged, declined, refunded or voided
	Reason        string    `json:"reason,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
}

// Ledger is what both books say about an order: ours, and the gateway's where it can be reached.
type Ledger struct {
	OrderID string  `json:"order_id"`
	Entries []Entry `json:"entries"`
	// Balance is what the gateway holds for the order by our book, in cents by currency; 0 after a refund.
	Balance map[string]int64 `json:"balance"`
	// Gateway lists the gateway's own charges; absent, with GatewayError, when it cannot be asked now.
	Gateway      []adapters.GatewayCharge `json:"gateway,omitempty"`
	GatewayError string                   `json:"gateway_error,omitempty"`
}

// Entry is one line of the ledger; all entries of one posting sum to zero.
type Entry struct {
	Posting     string `json:"posting"`
	Account     string `json:"account"`
	AmountCents int64  `json:"amount_cents"`
	Currency    string `json:"currency"`
}

// Book reads the service's own tables.
type Book interface {
	Payment(ctx context.Context, q data.Querier, orderID string) (domain.Payment, error)
	Ledger(ctx context.Context, q data.Querier, orderID string) ([]domain.Entry, error)
}

// GatewayBook asks the gateway for its own book.
type GatewayBook interface {
	Charges(ctx context.Context, orderID string) ([]adapters.GatewayCharge, error)
}

type byOrder struct {
	OrderID string `json:"-" path:"orderId"`
}

// Routes are payment's routes.
func Routes(db data.DB, book Book, gateway GatewayBook) []service.Route {
	h := handlers{db, book, gateway}
	return []service.Route{
		{
			Pattern: "GET /api/v1/payments/{orderId}", Operation: "get-payment", Summary: "Show the payment of an order",
			Policy: security.AnyRole(platform.RoleCustomer, platform.RoleAdmin), Limit: "600/min burst 100", Timeout: 2 * time.Second,
			Handler: service.JSON(h.payment),
		},
		{
			Pattern: "GET /api/v1/ledger/{orderId}", Operation: "get-ledger", Summary: "Show the ledger's entries of an order and the gateway's book",
			Policy: security.AnyRole(platform.RoleAdmin), Limit: "600/min burst 100", Timeout: 5 * time.Second,
			Handler: service.JSON(h.ledger),
		},
	}
}

type handlers struct {
	db      data.DB
	book    Book
	gateway GatewayBook
}

// payment shows others' payments to admins only; to customers they do not exist.
func (h handlers) payment(ctx context.Context, in byOrder) (Payment, error) {
	p, err := h.book.Payment(ctx, h.db, in.OrderID)
	who, _ := security.PrincipalFrom(ctx)
	if errors.Is(err, data.ErrNoRows) || err == nil && p.CustomerID != who.Subject && !who.HasRole(platform.RoleAdmin) {
		return Payment{}, service.NewProblem(http.StatusNotFound,
			"There is no payment for such an order of yours. A new order is paid within seconds: ask again.").WithCause(err)
	}
	if err != nil {
		return Payment{}, err
	}
	return Payment{
		ID: p.ID, OrderID: p.OrderID, CustomerID: p.CustomerID, AmountCents: p.Amount.Cents, Currency: p.Amount.Currency,
		PaymentMethod: p.Method, Status: string(p.Status), Reason: p.Reason, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}, nil
}

// ledger of an order that nobody paid is empty, not absent: no entry is an answer too.
func (h handlers) ledger(ctx context.Context, in byOrder) (Ledger, error) {
	entries, err := h.book.Ledger(ctx, h.db, in.OrderID)
	if err != nil {
		return Ledger{}, err
	}
	v := Ledger{OrderID: in.OrderID, Entries: make([]Entry, 0, len(entries)), Balance: domain.Balance(entries)}
	for _, e := range entries {
		v.Entries = append(v.Entries, Entry{e.Posting, string(e.Account), e.Amount.Cents, e.Amount.Currency})
	}
	if v.Gateway, err = h.gateway.Charges(ctx, in.OrderID); err != nil {
		v.GatewayError = "The gateway cannot be asked at the moment; this is our own book alone."
	}
	return v, nil
}
