// Package api is delivery's HTTP: customers see their own deliveries.
package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Delivery is a delivery as its customer sees it.
type Delivery struct {
	ID         string    `json:"id"`
	OrderID    string    `json:"order_id"`
	CustomerID string    `json:"customer_id"`
	PetID      string    `json:"pet_id"`
	Priority   string    `json:"priority"`
	Slot       string    `json:"slot"` // the day, as 2006-01-02
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Deliveries reads the service's own tables.
type Deliveries interface {
	Delivery(ctx context.Context, q data.Querier, orderID string) (domain.Delivery, error)
}

type byOrder struct {
	OrderID string `json:"-" path:"orderId"`
}

// Routes are delivery's routes.
func Routes(db data.DB, deliveries Deliveries) []service.Route {
	return []service.Route{{
		Pattern: "GET /api/v1/deliveries/{orderId}", Operation: "get-delivery", Summary: "Show the delivery of an order",
		Policy: security.AnyRole(platform.RoleCustomer, platform.RoleAdmin), Limit: "600/min burst 100", Timeout: 2 * time.Second,
		// Others' deliveries are shown to admins only; to customers they do not exist.
		Handler: service.JSON(func(ctx context.Context, in byOrder) (Delivery, error) {
			d, err := deliveries.Delivery(ctx, db, in.OrderID)
			who, _ := security.PrincipalFrom(ctx)
			if errors.Is(err, data.ErrNoRows) || err == nil && d.CustomerID != who.Subject && !who.HasRole(platform.RoleAdmin) {
				return Delivery{}, service.NewProblem(http.StatusNotFound,
					"There is no delivery for such an order of yours. It gets one once it is paid: ask again.").WithCause(err)
			}
			if err != nil {
				return Delivery{}, err
			}
			return Delivery{
				ID: d.ID, OrderID: d.OrderID, CustomerID: d.CustomerID, PetID: d.PetID, Priority: string(d.Priority), Slot: string(d.Day),
				Status: string(d.Status), CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
			}, nil
		}),
	}}
}
