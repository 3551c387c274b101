package shop

import (
	"context"

	"github.com/marty-framework/mmf/examples/petstore/internal/catalog"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery"
	"github.com/marty-framework/mmf/examples/petstore/internal/edge"
	"github.com/marty-framework/mmf/examples/petstore/internal/issuer"
	"github.com/marty-framework/mmf/examples/petstore/internal/order"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// builders build each service's routes, tables and workers. One line per service: what is not here is not in the shop.
func builders() map[string]func(context.Context, *platform.Service) error {
	return map[string]func(context.Context, *platform.Service) error{
		"edge":     edge.Build,
		"catalog":  catalog.Build,
		"order":    order.Build,
		"payment":  payment.Build,
		"delivery": delivery.Build,
		"issuer":   issuer.Build,
	}
}

// Names are the services that can be chosen, in the order in which they are built.
func Names() []string {
	var names []string
	built := builders()
	for _, name := range platform.Services() {
		if built[name] != nil {
			names = append(names, name)
		}
	}
	return names
}
