package api

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/saga"
)

// Accepted is the answer to a taken order.
type Accepted struct {
	ID    string            `json:"id"`
	State string            `json:"state"`
	Links map[string]string `json:"links"`
}

// Order is an order as its customer sees it.
type Order struct {
	ID                  string    `json:"id"`
	CustomerID          string    `json:"customer_id"`
	PetID               string    `json:"pet_id"`
	PetName             string    `json:"pet_name,omitempty"`
	State               string    `json:"state"` // placed, approved or cancelled
	Reason              string    `json:"reason,omitempty"`
	AmountCents         int64     `json:"amount_cents,omitempty"`
	Currency            string    `json:"currency,omitempty"`
	PaymentMethod       string    `json:"payment_method"`
	PaymentID           string    `json:"payment_id,omitempty"`
	Priority            string    `json:"priority"`
	SpecialInstructions string    `json:"special_instructions,omitempty"`
	DeliveryID          string    `json:"delivery_id,omitempty"`
	DeliverySlot        string    `json:"delivery_slot,omitempty"`
	CreatedAt           time.Time `json:"created_at"`
	UpdatedAt           time.Time `json:"updated_at"`
	Version             int64     `json:"version"`
	// Workflow is what the saga is doing: running, compensating, parked, completed, compensated or terminated.
	Workflow      string `json:"workflow"`
	WorkflowSteps []Step `json:"workflow_steps"`
}

// Step is one step of an order's saga.
type Step struct {
	Name     string    `json:"name"`
	Status   string    `json:"status"`
	Attempts int       `json:"failed_attempts,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Error    string    `json:"error,omitempty"`
	Undoable bool      `json:"undoable"`
}

// OrderList is a customer's orders, without their workflows.
type OrderList struct {
	Orders []Order `json:"orders"`
}

// History is what happened to an order, in order.
type History struct {
	ID     string  `json:"id"`
	Events []Event `json:"events"`
}

// Event is one entry of a History.
type Event struct {
	Version int64     `json:"version"`
	Type    string    `json:"type"`
	At      time.Time `json:"at"`
	Data    any       `json:"data,omitempty"`
}

// Saga is a saga with its journal.
type Saga struct {
	saga.Status

	Journal []Record `json:"journal"`
	Dossier *Dossier `json:"dossier,omitempty"` // for admins
}

// Dossier is what else is known about a saga.
type Dossier struct {
	Attributes map[string]string `json:"attributes,omitempty"`
	ForkOf     saga.ID           `json:"fork_of,omitempty"`
	Forks      []saga.ID         `json:"forks,omitempty"`
	Timers     []saga.StepTimer  `json:"timers,omitempty"`
	Mail       []saga.Waiting    `json:"mail,omitempty"`
	Mermaid    string            `json:"mermaid,omitempty"`
}

// Record is one entry of a saga's journal.
type Record struct {
	Seq       int64           `json:"seq"`
	Kind      string          `json:"kind"`
	Step      string          `json:"step,omitempty"`
	Undo      bool            `json:"undo,omitempty"`
	Attempt   int             `json:"attempt,omitempty"`
	At        time.Time       `json:"at"`
	Reason    string          `json:"reason,omitempty"`
	Actor     string          `json:"actor,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	Outcome   string          `json:"outcome,omitempty"`
	Correlate string          `json:"correlation_id,omitempty"`
}

func viewOrder(o domain.Order, status saga.Status) Order {
	v := Order{
		ID: o.ID, CustomerID: o.CustomerID, PetID: o.PetID, PetName: o.PetName, State: string(o.State),
		AmountCents: o.AmountCents, Currency: o.Currency, PaymentMethod: o.PaymentMethod, PaymentID: o.PaymentID,
		Priority: o.Priority, SpecialInstructions: o.SpecialInstructions, DeliveryID: o.DeliveryID, DeliverySlot: o.DeliverySlot,
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, Version: o.Version,
		Workflow: string(status.State), Reason: status.Reason, WorkflowSteps: []Step{},
	}
	for _, s := range status.Steps {
		if strings.HasPrefix(s.Name, "publish_") {
			continue // part of the step before, as far as a customer is concerned
		}
		v.WorkflowSteps = append(v.WorkflowSteps, Step{
			Name: s.Name, Status: s.Status, Attempts: s.Failed, At: s.At, Error: s.Error, Undoable: s.Undoable,
		})
	}
	return v
}

func viewEvent(e domain.Event) Event {
	v := Event{Version: e.Version, At: e.At}
	switch {
	case e.Created != nil:
		v.Type, v.Data = "created", e.Created
	case e.Approval != nil:
		v.Type, v.Data = "approved", e.Approval
	case e.Cancelled != nil:
		v.Type = "cancelled"
	}
	return v
}

func viewSaga(status saga.Status, records []saga.Record) Saga {
	v := Saga{Status: status, Journal: make([]Record, 0, len(records))}
	for _, r := range records {
		v.Journal = append(v.Journal, Record{
			Seq: r.Seq, Kind: r.Kind.String(), Step: r.Node, Undo: r.Undo, Attempt: r.Attempt, At: r.At, Reason: r.Reason, Actor: r.Actor,
			Payload: r.Payload, Outcome: string(r.End), Correlate: r.Meta["correlation-id"],
		})
	}
	return v
}
