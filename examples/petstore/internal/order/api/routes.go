package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Routes are the order service's routes.
func Routes(orders *app.Orders) []service.Route {
	h := handlers{orders}
	customers := security.AnyRole(platform.RoleCustomer)
	known := security.AnyRole(platform.RoleCustomer, platform.RoleAdmin)
	admins := security.AnyRole(platform.RoleAdmin)
	return []service.Route{
		{
			Pattern: "POST /api/v1/orders", Operation: "create-order", Summary: "Order a pet; Idempotency-Key required",
			Policy: customers, Limit: "120/min burst 60", Timeout: 5 * time.Second, MaxBody: 16 << 10, Handler: service.JSON(h.create),
		},
		{
			Pattern: "GET /api/v1/orders", Operation: "list-orders", Summary: "List one's own orders, the newest first",
			Policy: known, Limit: "600/min burst 100", Timeout: 2 * time.Second, Handler: service.JSON(h.list),
		},
		{
			Pattern: "GET /api/v1/orders/{id}", Operation: "get-order", Summary: "Show an order and where its saga stands",
			Policy: known, Limit: "3000/min burst 600", Timeout: 2 * time.Second, Handler: service.JSON(h.get),
		},
		{
			Pattern: "GET /api/v1/orders/{id}/history", Operation: "get-order-history", Summary: "Show an order's events",
			Policy: known, Limit: "600/min burst 100", Timeout: 2 * time.Second, Handler: service.JSON(h.history),
		},
		{
			Pattern: "POST /api/v1/orders/{id}/cancel", Operation: "cancel-order", Summary: "Ask for an order to be taken back",
			Policy: known, Limit: "120/min burst 60", Timeout: 5 * time.Second, MaxBody: 4 << 10, Handler: service.JSON(h.cancel),
		},
		{
			Pattern: "GET /api/v1/sagas/{id}", Operation: "get-saga", Summary: "Show a saga and its journal",
			Policy: known, Limit: "600/min burst 100", Timeout: 2 * time.Second, Handler: service.JSON(h.saga),
		},
		{
			Pattern: "GET /api/v1/sagas", Operation: "list-sagas", Summary: "Find sagas: status, type, olderThan, attr, prefix",
			Policy: admins, Limit: "600/min burst 100", Timeout: 5 * time.Second, Handler: service.JSON(h.sagas),
		},
		{
			Pattern: "POST /api/v1/sagas", Operation: "change-sagas", Summary: "Do something to all sagas that are found",
			Policy: admins, Limit: "60/min", Timeout: 30 * time.Second, MaxBody: 64 << 10, Handler: service.JSON(h.changeAll),
		},
		{
			Pattern: "POST /api/v1/sagas/{id}/{verb}", Operation: "change-saga",
			Summary: "retry, pause, resume, skip, resolve, reject, cancel, terminate or fork a saga",
			Policy:  admins, Limit: "60/min", Timeout: 5 * time.Second, MaxBody: 64 << 10, Handler: service.JSON(h.change),
		},
	}
}

type handlers struct{ orders *app.Orders }

func (h handlers) create(ctx context.Context, in CreateOrder) (service.Response[Accepted], error) {
	id, existed, err := h.orders.Place(ctx, in.Key, in.purchase(viewer(ctx).CustomerID))
	if err != nil {
		return service.Response[Accepted]{}, problem(err)
	}
	at := "/api/v1/orders/" + id
	header := http.Header{"Location": {at}}
	if existed {
		header.Set("Idempotent-Replayed", "true")
	}
	return service.Response[Accepted]{Status: http.StatusAccepted, Header: header, Body: Accepted{
		ID: id, State: "placed", Links: map[string]string{"order": at, "history": at + "/history", "saga": "/api/v1/sagas/" + id},
	}}, nil
}

func (h handlers) list(ctx context.Context, _ struct{}) (OrderList, error) {
	found, err := h.orders.Store.List(ctx, h.orders.DB, viewer(ctx).CustomerID, 100)
	list := OrderList{Orders: make([]Order, 0, len(found))}
	for _, o := range found {
		list.Orders = append(list.Orders, viewOrder(o, saga.Status{}))
	}
	return list, err
}

func (h handlers) get(ctx context.Context, in orderByID) (Order, error) {
	order, status, err := h.orders.Order(ctx, viewer(ctx), in.ID)
	if err != nil {
		return Order{}, problem(err)
	}
	return viewOrder(order, status), nil
}

func (h handlers) history(ctx context.Context, in orderByID) (History, error) {
	if _, _, err := h.orders.Order(ctx, viewer(ctx), in.ID); err != nil {
		return History{}, problem(err)
	}
	events, err := h.orders.Store.Events(ctx, h.orders.DB, in.ID)
	v := History{ID: in.ID, Events: make([]Event, 0, len(events))}
	for _, e := range events {
		v.Events = append(v.Events, viewEvent(e))
	}
	return v, err
}

func (h handlers) cancel(ctx context.Context, in changeSaga) (service.Response[Order], error) {
	who := viewer(ctx)
	reason := in.Reason
	if reason == "" {
		reason = "cancelled by the customer"
	}
	if err := h.orders.Cancel(ctx, who, in.ID, reason); err != nil {
		return service.Response[Order]{}, problem(err)
	}
	order, status, err := h.orders.Order(ctx, who, in.ID)
	return service.Response[Order]{Status: http.StatusAccepted, Body: viewOrder(order, status)}, problem(err)
}

func (h handlers) saga(ctx context.Context, in orderByID) (Saga, error) {
	if viewer(ctx).Admin {
		return h.dossier(ctx, in.ID)
	}
	_, status, err := h.orders.Order(ctx, viewer(ctx), in.ID)
	if err != nil {
		return Saga{}, problem(err)
	}
	records, err := h.orders.Engine.History(ctx, saga.ID(in.ID))
	return viewSaga(status, records), problem(err)
}

func viewer(ctx context.Context) app.Viewer {
	p, _ := security.PrincipalFrom(ctx)
	return app.Viewer{CustomerID: p.Subject, Admin: p.HasRole(platform.RoleAdmin)}
}

// problem says what each refusal means to the caller. What is not in the table is for the shell's own.
func problem(err error) error {
	if p := refusal(err); p != nil {
		return p
	}
	if errors.Is(err, app.ErrClosed) {
		closed := service.NewProblem(http.StatusServiceUnavailable, "The shop takes no payments at the moment. Send the same order again later.")
		closed.Retryable, closed.RetryAfter = true, 30*time.Second
		return closed.WithCause(err)
	}
	if errors.Is(err, saga.ErrInvalidID) || errors.Is(err, saga.ErrInvalidSearch) { // their text is about what was sent
		return service.NewProblem(http.StatusBadRequest, "Not understood: "+strings.TrimPrefix(err.Error(), "saga: ")+".").WithCause(err)
	}
	for _, known := range []struct {
		err    error
		status int
		detail string
	}{
		{app.ErrKeyReused, 422, "This Idempotency-Key was used for another order of yours: use a new key for a new order."},
		{app.ErrNoPet, 422, "There is no pet with this id; GET /api/v1/pets lists them."},
		{app.ErrTooMany, 409, "You have too many open orders: wait until one is approved or cancelled."},
		{app.ErrNotFound, 404, "There is no such order of yours."},
		{saga.ErrNotFound, 404, "There is no such saga."},
		{saga.ErrPastPivot, 409, "The order can no longer be cancelled: it is being approved."},
		{saga.ErrFinished, 409, "The order is approved or cancelled already; nothing was changed."},
	} {
		if errors.Is(err, known.err) {
			return service.NewProblem(known.status, known.detail).WithCause(err)
		}
	}
	return err
}
