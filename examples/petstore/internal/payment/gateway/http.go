package gateway

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxKey bounds an Idempotency-Key.
const maxKey = 255

type chargeRequest struct {
	AmountCents   int64  `json:"amount_cents"`
	Currency      string `json:"currency"`
	PaymentMethod string `json:"payment_method"`
	Reference     string `json:"reference"`
	Customer      string `json:"customer"`
}

type reversalRequest struct {
	ChargeKey string `json:"charge_key"`
}

// Handler serves the gateway's API: POST /v1/charges (with an Idempotency-Key), POST /v1/reversals, and
// GET /v1/charges?reference=….
func (g *Gateway) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/charges", g.postCharge)
	mux.HandleFunc("POST /v1/reversals", g.postReversal)
	mux.HandleFunc("GET /v1/charges", g.getCharges)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(key), []byte(g.cfg.APIKey)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="gateway"`)
			refuse(w, http.StatusUnauthorized, "unauthorized", "send the API key as a bearer token")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (g *Gateway) postCharge(w http.ResponseWriter, r *http.Request) {
	var in chargeRequest
	if !decode(w, r, &in) {
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" || len(key) > maxKey {
		refuse(w, http.StatusBadRequest, "idempotency_key", "Idempotency-Key is required, with at most 255 bytes")
		return
	}
	if in.AmountCents <= 0 || len(in.Currency) != 3 || in.Reference == "" {
		refuse(w, http.StatusUnprocessableEntity, "invalid_charge", "a positive amount_cents, a currency and a reference are required")
		return
	}
	switch in.PaymentMethod {
	case Visa, Declining, ChargeThenTimeout:
	case Unreachable:
		refuse(w, http.StatusServiceUnavailable, "acquirer_unreachable", "the acquirer does not answer; nothing was charged")
		return
	default:
		refuse(w, http.StatusUnprocessableEntity, "unknown_payment_method", "there is no such payment method")
		return
	}
	reason := "" // why it is declined
	switch {
	case in.PaymentMethod == Declining:
		reason = "insufficient_funds"
	case g.cfg.Decline != nil && g.cfg.Decline(r.Context(), in.Customer):
		reason = "declined_on_purpose"
	}
	c, first, err := g.book.charge(r.Context(), Charge{
		Key: key, AmountCents: in.AmountCents, Currency: in.Currency, PaymentMethod: in.PaymentMethod, Reference: in.Reference, Reason: reason,
	})
	switch {
	case errors.Is(err, errKeyReused):
		refuse(w, http.StatusConflict, "idempotency_key_reused", "this key was used for another charge")
	case err != nil:
		refuse(w, http.StatusInternalServerError, "internal", "the charge was not carried out, or its outcome is unknown; repeat it")
	case first && c.Status == captured && in.PaymentMethod == ChargeThenTimeout:
		g.neverAnswer(r)
	default:
		answer(w, statusOf(c, first), c)
	}
}

// neverAnswer holds the connection until the client or the gateway gives up, then cuts it.
func (g *Gateway) neverAnswer(r *http.Request) {
	timer := time.NewTimer(g.cfg.HangFor)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C:
	}
	panic(http.ErrAbortHandler) // net/http's way to end a connection without an answer
}

func statusOf(c Charge, first bool) int {
	switch {
	case c.Status == declined:
		return http.StatusPaymentRequired
	case c.Status == refunded || c.Status == voided:
		return http.StatusConflict
	case first:
		return http.StatusCreated
	default:
		return http.StatusOK
	}
}

func (g *Gateway) postReversal(w http.ResponseWriter, r *http.Request) {
	var in reversalRequest
	if !decode(w, r, &in) {
		return
	}
	if in.ChargeKey == "" || len(in.ChargeKey) > maxKey {
		refuse(w, http.StatusUnprocessableEntity, "invalid_reversal", "charge_key is required, with at most 255 bytes")
		return
	}
	c, err := g.book.reverse(r.Context(), in.ChargeKey)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "the reversal was not carried out, or its outcome is unknown; repeat it")
		return
	}
	answer(w, http.StatusOK, c)
}

func (g *Gateway) getCharges(w http.ResponseWriter, r *http.Request) {
	reference := r.URL.Query().Get("reference")
	if reference == "" {
		refuse(w, http.StatusBadRequest, "reference", "ask with ?reference=")
		return
	}
	list, err := g.book.byReference(r.Context(), reference)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal", "the book cannot be read; try again")
		return
	}
	answer(w, http.StatusOK, map[string]any{"charges": list})
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		_, err = dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
	}
	refuse(w, http.StatusBadRequest, "bad_json", "the body is not one JSON object of this request")
	return false
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody is left to tell
}
