// Package api is the order service's HTTP.
package api

import (
	"regexp"
	"strings"

	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/service"
)

// CreateOrder is the body of POST /api/v1/orders. Who orders is in the token, never here.
type CreateOrder struct {
	Key string `json:"-" header:"Idempotency-Key"`

	PetID               string `json:"petId"`
	PaymentMethod       string `json:"paymentMethod"`
	Priority            string `json:"priority,omitempty"`
	SpecialInstructions string `json:"specialInstructions,omitempty"`
}

var (
	idempotencyKey = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)
	petID          = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+){0,9}$`)
	paymentMethod  = regexp.MustCompile(`^pm_[a-z_]{1,40}$`)
)

// Validate names everything that is wrong at once.
func (c *CreateOrder) Validate() error {
	if c.Key == "" {
		return service.NewProblem(400, "The header Idempotency-Key is missing: send a value of your own, the same whenever you repeat this order.")
	}
	var errs []service.FieldError
	add := func(field, message string) { errs = append(errs, service.FieldError{Field: field, Message: message}) }
	if !idempotencyKey.MatchString(c.Key) {
		add("Idempotency-Key", "must be 1 to 128 printable ASCII characters without spaces")
	}
	if len(c.PetID) > 100 || !petID.MatchString(c.PetID) {
		add("petId", "must be a pet's id, such as golden-retriever-001; GET /api/v1/pets lists them")
	}
	if !paymentMethod.MatchString(c.PaymentMethod) {
		add("paymentMethod", "must be the name of a payment method, such as pm_visa; never send a card number")
	}
	switch c.Priority {
	case "", "normal", "express":
	default:
		add("priority", "must be normal or express")
	}
	if len(c.SpecialInstructions) > 500 {
		add("specialInstructions", "must not be longer than 500 bytes")
	}
	if len(errs) == 0 {
		return nil
	}
	p := service.NewProblem(422, "The order cannot be taken like this; see errors.")
	p.Errors = errs
	return p
}

// purchase is what the saga begins with. What means the same is the same text, so that a repetition is recognised.
func (c *CreateOrder) purchase(customerID string) app.Purchase {
	priority := c.Priority
	if priority == "" {
		priority = "normal"
	}
	return app.Purchase{
		CustomerID: customerID, PetID: c.PetID, PaymentMethod: c.PaymentMethod, Priority: priority,
		SpecialInstructions: strings.TrimSpace(c.SpecialInstructions),
	}
}

type orderByID struct {
	ID string `json:"-" path:"id"`
}

type changeSaga struct {
	ID     string `json:"-" path:"id"`
	Reason string `json:"reason,omitempty"`
}
