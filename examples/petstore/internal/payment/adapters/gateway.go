package adapters

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/marty-framework/mmf/examples/petstore/internal/payment/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
)

// Gateway is the provider's HTTP API as an [app.Gateway]. It is safe for concurrent use.
type Gateway struct {
	url, apiKey     string
	charge, reverse *http.Client
}

// NewGateway makes a client of the API at base. Charges and reversals have a client each, because they are guarded by policies of
// their own: a breaker that stops charges must not stop money from going back.
func NewGateway(base, apiKey string, charge, reverse *http.Client) *Gateway {
	return &Gateway{url: strings.TrimRight(base, "/"), apiKey: apiKey, charge: charge, reverse: reverse}
}

type chargeRequest struct {
	AmountCents   int64  `json:"amount_cents"`
	Currency      string `json:"currency"`
	PaymentMethod string `json:"payment_method"`
	Reference     string `json:"reference"`
	Customer      string `json:"customer"`
}

type answer struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Reason   string `json:"reason"`
	RefundID string `json:"refund_id"`
	Error    struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Charge charges once per key; see [app.Gateway].
func (g *Gateway) Charge(ctx context.Context, key string, o domain.Order) (domain.Charge, error) {
	in := chargeRequest{
		AmountCents: o.Amount.Cents, Currency: o.Amount.Currency, PaymentMethod: o.Method, Reference: o.ID, Customer: o.CustomerID,
	}
	status, out, err := g.post(ctx, g.charge, "/v1/charges", key, in)
	switch {
	case err != nil:
		return domain.Charge{}, fmt.Errorf("charge order %s: %w", o.ID, err)
	case status == http.StatusUnprocessableEntity:
		// The gateway checks a request before it does anything, so this is a refusal like a declined card.
		return domain.Charge{Status: domain.ChargeDeclined, Reason: out.Error.Code}, nil
	default:
		return out.charge(status)
	}
}

// Reverse takes back whatever became of the key; see [app.Gateway].
func (g *Gateway) Reverse(ctx context.Context, key string) (domain.Charge, error) {
	status, out, err := g.post(ctx, g.reverse, "/v1/reversals", "reverse/"+key, map[string]string{"charge_key": key})
	if err != nil {
		return domain.Charge{}, fmt.Errorf("reverse charge %s: %w", key, err)
	}
	return out.charge(status)
}

// GatewayCharge is a charge in the gateway's own book.
type GatewayCharge struct {
	ID          string              `json:"id"`
	Status      domain.ChargeStatus `json:"status"`
	AmountCents int64               `json:"amount_cents"`
	Currency    string              `json:"currency"`
	Attempts    int64               `json:"attempts"` // how often it was asked for
}

// Charges is what the gateway's own book says about an order.
func (g *Gateway) Charges(ctx context.Context, orderID string) ([]GatewayCharge, error) {
	status, text, err := g.send(ctx, g.reverse, http.MethodGet, "/v1/charges?reference="+url.QueryEscape(orderID), "", nil)
	if err != nil {
		return nil, fmt.Errorf("payment: the gateway's book: %w", err)
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("payment: the gateway's book: status %d", status)
	}
	var list struct {
		Charges []GatewayCharge `json:"charges"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("payment: the gateway's book: %w", err)
	}
	return list.Charges, nil
}

func (a answer) charge(status int) (domain.Charge, error) {
	c := domain.Charge{ID: a.ID, Status: domain.ChargeStatus(a.Status), Reason: a.Reason, RefundID: a.RefundID}
	switch c.Status {
	case domain.ChargeCaptured, domain.ChargeDeclined, domain.ChargeRefunded, domain.ChargeVoided:
		return c, nil
	default:
		return domain.Charge{}, fmt.Errorf("payment: the gateway refused with %d %s: %s", status, a.Error.Code, a.Error.Message)
	}
}

// post sends a request that the policy may repeat, since it carries a key. Whatever leaves open whether it had an effect
// matches [app.ErrUnknown]: an earlier attempt under the same key may have had one even when this one was never sent.
func (g *Gateway) post(ctx context.Context, client *http.Client, path, key string, in any) (int, answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, answer{}, err
	}
	status, text, err := g.send(ctx, client, http.MethodPost, path, key, body)
	if err != nil {
		return 0, answer{}, errors.Join(app.ErrUnknown, err)
	}
	var out answer
	jsonErr := json.Unmarshal(text, &out)
	switch {
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusUnauthorized:
		// 401 is our own mistake, to be mended in the settings; the charge may have happened before the key changed.
		return 0, answer{}, fmt.Errorf("%w: status %d %s", app.ErrUnknown, status, out.Error.Code)
	case jsonErr != nil:
		return 0, answer{}, fmt.Errorf("%w: status %d with a body that is no JSON: %w", app.ErrUnknown, status, jsonErr)
	}
	return status, out, nil
}

// send also tells whether a policy let nothing through: then err matches [app.ErrNotAsked].
func (g *Gateway) send(ctx context.Context, client *http.Client, method, path, key string, body []byte) (int, []byte, error) {
	var asked atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { asked.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+g.apiKey)
	if key != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := client.Do(req)
	if err != nil && !asked.Load() {
		err = errors.Join(app.ErrNotAsked, err)
	}
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, text, err
}
