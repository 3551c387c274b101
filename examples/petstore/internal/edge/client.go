package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/service"
)

type (
	// Pet is what the pages need of the catalog's answer.
	Pet struct {
		ID         string `json:"id"`
		Name       string `json:"name"`
		Category   string `json:"category"`
		PriceCents int64  `json:"price_cents"`
		Currency   string `json:"currency"`
		Status     string `json:"status"`
	}
	// Order is what the pages need of the order service's answer.
	Order struct {
		ID            string         `json:"id"`
		PetID         string         `json:"pet_id"`
		State         string         `json:"state"`
		Reason        string         `json:"reason"`
		AmountCents   int64          `json:"amount_cents"`
		Currency      string         `json:"currency"`
		PaymentMethod string         `json:"payment_method"`
		PaymentID     string         `json:"payment_id"`
		DeliveryID    string         `json:"delivery_id"`
		DeliverySlot  string         `json:"delivery_slot"`
		CreatedAt     time.Time      `json:"created_at"`
		Workflow      string         `json:"workflow"`
		WorkflowSteps []WorkflowStep `json:"workflow_steps"`
	}
	// WorkflowStep is one step of an order, in the order in which they are taken.
	WorkflowStep struct {
		Name     string `json:"name"`
		Status   string `json:"status"`
		Failed   int    `json:"failed_attempts"`
		Undoable bool   `json:"undoable"`
	}
	// Record is one entry of an order's journal.
	Record struct {
		Seq     int64     `json:"seq"`
		Kind    string    `json:"kind"`
		Step    string    `json:"step"`
		Undo    bool      `json:"undo"`
		Attempt int       `json:"attempt"`
		At      time.Time `json:"at"`
		Reason  string    `json:"reason"`
		Outcome string    `json:"outcome"`
	}
)

// Finished reports whether nothing more happens to the order by itself.
func (o Order) Finished() bool {
	return o.Workflow == "completed" || o.Workflow == "compensated" || o.Workflow == "terminated"
}

// backend calls the services for the pages, as the user of the session.
type backend struct {
	upstreams Upstreams
	client    *http.Client
}

func (b *backend) pets(ctx context.Context) ([]Pet, error) {
	var list struct {
		Pets []Pet `json:"pets"`
	}
	return list.Pets, b.call(ctx, "catalog", http.MethodGet, "/api/v1/pets", caller{}, nil, &list)
}

func (b *backend) pet(ctx context.Context, id string) (p Pet, err error) {
	return p, b.call(ctx, "catalog", http.MethodGet, "/api/v1/pets/"+id, caller{}, nil, &p)
}

func (b *backend) order(ctx context.Context, token, id string) (o Order, err error) {
	return o, b.call(ctx, "order", http.MethodGet, "/api/v1/orders/"+id, caller{token: token}, nil, &o)
}

func (b *backend) orders(ctx context.Context, token string) ([]Order, error) {
	var list struct {
		Orders []Order `json:"orders"`
	}
	return list.Orders, b.call(ctx, "order", http.MethodGet, "/api/v1/orders", caller{token: token}, nil, &list)
}

func (b *backend) journal(ctx context.Context, token, id string) ([]Record, error) {
	var saga struct {
		Journal []Record `json:"journal"`
	}
	return saga.Journal, b.call(ctx, "order", http.MethodGet, "/api/v1/sagas/"+id, caller{token: token}, nil, &saga)
}

// buy places the order; the key makes a second click the same order.
func (b *backend) buy(ctx context.Context, token, key, petID, method string) (id string, err error) {
	var accepted struct {
		ID string `json:"id"`
	}
	body := map[string]string{"petId": petID, "paymentMethod": method}
	return accepted.ID, b.call(ctx, "order", http.MethodPost, "/api/v1/orders", caller{token: token, key: key}, body, &accepted)
}

type caller struct{ token, key string }

// call makes one request. A problem of the service comes back as the *service.Problem that it is.
func (b *backend) call(ctx context.Context, owner, method, path string, as caller, in, out any) error {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("edge: encode a request: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.upstreams[owner]+path, body)
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if as.token != "" {
		req.Header.Set("Authorization", "Bearer "+as.token)
	}
	if as.key != "" {
		req.Header.Set("Idempotency-Key", as.key)
	}
	res, err := b.client.Do(req)
	if err != nil {
		return unreachable(req, owner, err)
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return unreachable(req, owner, err)
	}
	if res.StatusCode >= 400 {
		p := &service.Problem{}
		if json.Unmarshal(content, p) != nil || p.Status != res.StatusCode {
			p = service.NewProblem(res.StatusCode, "The service "+owner+" answered "+res.Status+".")
		}
		return p
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("edge: %s answered %s with something else than expected: %w", owner, path, err)
	}
	return nil
}
