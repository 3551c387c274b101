package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/service"
)

// searchSagas are the query's parameters: status, type, olderThan, attr (name=value), prefix, cursor, limit.
type searchSagas struct {
	Status    string   `json:"-" query:"status"`
	Type      string   `json:"-" query:"type"`
	OlderThan string   `json:"-" query:"olderThan"`
	Attr      []string `json:"-" query:"attr"`
	Prefix    string   `json:"-" query:"prefix"`
	Cursor    string   `json:"-" query:"cursor"`
	Limit     int      `json:"-" query:"limit"`
}

// Where is the same in a body.
type Where struct {
	Status    string            `json:"status,omitempty"`
	Type      string            `json:"type,omitempty"`
	OlderThan string            `json:"olderThan,omitempty"`
	Attr      map[string]string `json:"attr,omitempty"`
	Prefix    string            `json:"prefix,omitempty"`
}

func (w Where) filter() (saga.Filter, error) {
	f := saga.Filter{State: saga.State(w.Status), Saga: w.Type, Attributes: w.Attr, IDPrefix: saga.ID(w.Prefix)}
	if w.OlderThan != "" {
		age, err := time.ParseDuration(w.OlderThan)
		if err != nil || age < 0 {
			return f, service.NewProblem(http.StatusBadRequest, "olderThan must be a duration such as 90s or 2h.")
		}
		f.Before = time.Now().Add(-age)
	}
	return f, nil
}

// ChangeSaga is the body of POST /api/v1/sagas/{id}/{verb}. The reason stands in the saga's journal beside who asked.
type ChangeSaga struct {
	ID   string `json:"-" path:"id"`
	Verb string `json:"-" path:"verb"`

	Reason string          `json:"reason,omitempty"`
	Step   string          `json:"step,omitempty"`
	Undo   bool            `json:"undo,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	As     string          `json:"as,omitempty"` // of fork: the new saga's id
}

// ChangeSagas is the body of POST /api/v1/sagas: one verb for all that are found.
type ChangeSagas struct {
	Where  Where           `json:"where"`
	Verb   string          `json:"verb"`
	Reason string          `json:"reason"`
	Step   string          `json:"step,omitempty"`
	Undo   bool            `json:"undo,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	DryRun bool            `json:"dryRun,omitempty"`
	Limit  int             `json:"limit,omitempty"`
	After  string          `json:"after,omitempty"`
	Key    string          `json:"key,omitempty"`
}

func (h handlers) sagas(ctx context.Context, in searchSagas) (saga.Page, error) {
	w := Where{Status: in.Status, Type: in.Type, OlderThan: in.OlderThan, Prefix: in.Prefix}
	for _, a := range in.Attr {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return saga.Page{}, service.NewProblem(http.StatusBadRequest, "attr must be name=value.")
		}
		if w.Attr == nil {
			w.Attr = map[string]string{}
		}
		w.Attr[name] = value
	}
	f, err := w.filter()
	if err != nil {
		return saga.Page{}, err
	}
	page, err := h.orders.Engine.Search(ctx, f, saga.Cursor(in.Cursor), in.Limit)
	if page.Sagas == nil {
		page.Sagas = []saga.Summary{}
	}
	return page, problem(err)
}

// dossier is everything about a saga, for admins.
func (h handlers) dossier(ctx context.Context, id string) (Saga, error) {
	d, err := h.orders.Engine.Show(ctx, saga.ID(id))
	if err != nil {
		return Saga{}, problem(err)
	}
	v := viewSaga(d.Status, d.Journal)
	v.Dossier = &Dossier{d.Attributes, d.ForkOf, d.Forks, d.Timers, d.Mail, d.Mermaid}
	return v, nil
}

// change does a verb and waits for what became of it; 202 says that nobody took it in yet.
func (h handlers) change(ctx context.Context, in ChangeSaga) (service.Response[Saga], error) {
	by := saga.By{Actor: viewer(ctx).CustomerID, Reason: in.Reason}
	if in.Reason == "" {
		return service.Response[Saga]{}, service.NewProblem(http.StatusUnprocessableEntity, "Say why: the reason stands in the saga's journal.")
	}
	if in.Verb == "fork" {
		if err := h.orders.Engine.Fork(ctx, saga.ID(in.ID), saga.ID(in.As), in.Step, by); err != nil {
			return service.Response[Saga]{}, problem(err)
		}
		v, err := h.dossier(ctx, in.As)
		return service.Response[Saga]{Status: http.StatusCreated, Body: v}, err
	}
	verb := saga.Verb{Do: saga.VerbName(in.Verb), Step: in.Step, Undo: in.Undo, Result: in.Result}
	i, err := h.orders.Engine.Intervene(ctx, saga.ID(in.ID), verb, by)
	if err != nil {
		return service.Response[Saga]{}, problem(err)
	}
	status := http.StatusOK
	patience, wait := context.WithTimeout(ctx, 3*time.Second)
	defer wait()
	if err := i.Wait(patience); errors.Is(err, saga.ErrPending) {
		status = http.StatusAccepted
	} else if err != nil {
		return service.Response[Saga]{}, problem(err)
	}
	v, err := h.dossier(ctx, in.ID)
	return service.Response[Saga]{Status: status, Body: v}, err
}

func (h handlers) changeAll(ctx context.Context, in ChangeSagas) (saga.BulkReport, error) {
	f, err := in.Where.filter()
	if err != nil {
		return saga.BulkReport{}, err
	}
	if in.Reason == "" {
		return saga.BulkReport{}, service.NewProblem(http.StatusUnprocessableEntity, "Say why: the reason stands in every saga's journal.")
	}
	report, err := h.orders.Engine.Bulk(ctx, f,
		saga.Verb{Do: saga.VerbName(in.Verb), Step: in.Step, Undo: in.Undo, Result: in.Result},
		saga.By{Actor: viewer(ctx).CustomerID, Reason: in.Reason},
		saga.BulkOptions{DryRun: in.DryRun, Limit: in.Limit, After: saga.Cursor(in.After), Key: in.Key, Wait: 3 * time.Second})
	return report, problem(err)
}

// refusal answers for the engine when it will not do something: its own words say why.
func refusal(err error) error {
	var verb *saga.VerbError
	var fork *saga.ForkError
	detail := ""
	switch {
	case errors.As(err, &verb):
		detail = "The " + string(verb.Verb.Do) + " is refused: " + verb.Why + "."
	case errors.As(err, &fork):
		detail = "The fork is refused: " + strings.Join(fork.Reasons, "; ") + "."
	default:
		return nil
	}
	status := http.StatusConflict
	if errors.Is(err, saga.ErrUnknownStep) {
		status = http.StatusUnprocessableEntity
	}
	return service.NewProblem(status, detail).WithCause(err)
}
