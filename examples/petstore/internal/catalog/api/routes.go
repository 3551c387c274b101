// Package api is the catalog's HTTP: everybody may look.
package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Pet is a pet as callers see it; who has it is nobody's business.
type Pet struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Category   string `json:"category"`
	PriceCents int64  `json:"price_cents"`
	Currency   string `json:"currency"`
	Status     string `json:"status"`
	Version    int64  `json:"version"`
}

// PetList is the answer to a search.
type PetList struct {
	Pets []Pet `json:"pets"`
}

type listPets struct {
	Category string `json:"-" query:"category"`
	Status   string `json:"-" query:"status"`
	// MaxPrice is in cents, as prices are in the answer.
	MaxPrice *int64 `json:"-" query:"maxPrice"`
}

// Validate refuses what no pet can have.
func (l listPets) Validate() error {
	if l.MaxPrice != nil && *l.MaxPrice <= 0 {
		return service.Invalid("maxPrice", "must be a price in cents, such as 30000")
	}
	switch domain.Status(l.Status) {
	case "", domain.Available, domain.Reserved, domain.Sold:
		return nil
	}
	return service.Invalid("status", "must be available, reserved or sold")
}

type getPet struct {
	ID string `json:"-" path:"id"`
}

// Routes are the catalog's routes; premium says who may filter by price.
func Routes(db data.DB, pets app.Pets, premium platform.Switch) []service.Route {
	return []service.Route{
		{
			Pattern: "GET /api/v1/pets", Operation: "list-pets", Summary: "List pets, by category, status and maxPrice in cents",
			Policy: security.Public(), Limit: "600/min burst 100", Timeout: 2 * time.Second,
			Handler: service.JSON(func(ctx context.Context, in listPets) (PetList, error) {
				filter := app.Filter{Category: in.Category, Status: in.Status}
				if in.MaxPrice != nil {
					who, _ := security.PrincipalFrom(ctx)
					if !premium(ctx, who.Subject) {
						return PetList{}, service.NewProblem(http.StatusBadRequest, "maxPrice is not offered at the moment: leave it out.")
					}
					filter.MaxPriceCents = *in.MaxPrice
				}
				found, err := pets.List(ctx, db, filter)
				list := PetList{Pets: make([]Pet, 0, len(found))}
				for _, p := range found {
					list.Pets = append(list.Pets, view(p))
				}
				return list, err
			}),
		},
		{
			Pattern: "GET /api/v1/pets/{id}", Operation: "get-pet", Summary: "Show one pet",
			Policy: security.Public(), Limit: "600/min burst 100", Timeout: 2 * time.Second,
			Handler: service.JSON(func(ctx context.Context, in getPet) (Pet, error) {
				p, err := pets.Get(ctx, db, in.ID)
				if errors.Is(err, domain.ErrUnknown) {
					return Pet{}, service.NewProblem(http.StatusNotFound, "There is no pet with this id; GET /api/v1/pets lists them.").WithCause(err)
				}
				return view(p), err
			}),
		},
	}
}

func view(p domain.Pet) Pet {
	return Pet{
		ID: p.ID, Name: p.Name, Category: p.Category, PriceCents: p.PriceCents, Currency: p.Currency,
		Status: string(p.Status), Version: p.Version,
	}
}
