package demo

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// What the scenarios read of the shop's answers.
type (
	order struct {
		ID          string `json:"id"`
		State       string `json:"state"`
		AmountCents int64  `json:"amount_cents"`
		Workflow    string `json:"workflow"`
		Steps       []struct {
			Name   string `json:"name"`
			Status string `json:"status"`
		} `json:"workflow_steps"`
	}
	history struct {
		Events []struct {
			Version int    `json:"version"`
			Type    string `json:"type"`
		} `json:"events"`
	}
	saga struct {
		Journal []struct {
			Kind string `json:"kind"`
			Step string `json:"step"`
			Undo bool   `json:"undo"`
		} `json:"journal"`
	}
	ledger struct {
		Entries []struct {
			AmountCents int64 `json:"amount_cents"`
		} `json:"entries"`
		Balance map[string]int64 `json:"balance"`
		Gateway []struct {
			Status   string `json:"status"`
			Attempts int    `json:"attempts"`
		} `json:"gateway"`
		GatewayError string `json:"gateway_error"`
	}
	pet struct {
		Status string `json:"status"`
	}
	delivery struct {
		Status string `json:"status"`
	}
)

// patience is how long a scenario waits for something that the shop does by itself.
const patience = 30 * time.Second

// buy places an order with a key and a correlation id.
func (c *Client) buy(ctx context.Context, petID, method, key, correlation string) (Reply, error) {
	return c.Do(ctx, http.MethodPost, "/api/v1/orders", http.Header{
		"Idempotency-Key": {key}, "X-Correlation-Id": {correlation},
	}, map[string]string{"petId": petID, "paymentMethod": method})
}

// settled waits until the order's saga is over.
func (c *Client) settled(ctx context.Context, id string) (order, error) {
	return until(ctx, patience, func(ctx context.Context) (order, error) { return get[order](ctx, c, "/api/v1/orders/"+id) },
		func(o order) bool {
			return o.Workflow == "completed" || o.Workflow == "compensated" || o.Workflow == "parked"
		})
}

// petBecomes waits for a pet's status.
func (c *Client) petBecomes(ctx context.Context, id, status string) (string, error) {
	p, err := until(ctx, patience, func(ctx context.Context) (pet, error) { return get[pet](ctx, c, "/api/v1/pets/"+id) },
		func(p pet) bool { return p.Status == status })
	return p.Status, err
}

func (c *Client) ledger(ctx context.Context, orderID string) (ledger, error) {
	l, err := get[ledger](ctx, c, "/api/v1/ledger/"+orderID)
	if err == nil && l.GatewayError != "" {
		err = fmt.Errorf("the gateway's book: %s", l.GatewayError)
	}
	return l, err
}

// charges are how the gateway's charges of an order stand.
func (l ledger) charges() []string {
	all := []string{}
	for _, c := range l.Gateway {
		all = append(all, c.Status)
	}
	return all
}

// captured counts charges that the gateway keeps the money of.
func (l ledger) captured() (n int) {
	for _, c := range l.Gateway {
		if c.Status == "captured" {
			n++
		}
	}
	return n
}

// sum is what all lines add up to: zero in every double-entry book.
func (l ledger) sum() (total int64) {
	for _, e := range l.Entries {
		total += e.AmountCents
	}
	return total
}

func (o order) steps() []string {
	all := []string{}
	for _, s := range o.Steps {
		all = append(all, s.Name+" "+s.Status)
	}
	return all
}

func (h history) types() []string {
	all := []string{}
	for _, e := range h.Events {
		all = append(all, e.Type)
	}
	return all
}

// undone are the steps that were taken back, in the order in which that happened.
func (s saga) undone() []string {
	all := []string{}
	for _, r := range s.Journal {
		if r.Undo && r.Kind == "done" {
			all = append(all, r.Step)
		}
	}
	return all
}
