// Package resiliencefx provides a [resilience.Set] to an fx application.
//
//	fx.New(
//		resiliencefx.Module,
//		fx.Supply([]resilience.Config{{Name: "payment"}}),
//		fx.Invoke(func(set *resilience.Set) { … }),
//	)
//
// The application supplies the configurations, and optionally [resilience.Hooks], which are called besides those of each
// configuration. To follow a live configuration, let a subscriber vote with [resilience.Set.Check] and apply with
// [resilience.Set.Update]. Policies have nothing to start or stop. A configuration that is not valid fails the start of
// the application.
package resiliencefx

import (
	"slices"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/resilience"
)

// Params are what the module needs.
type Params struct {
	fx.In

	Configs []resilience.Config
	Hooks   resilience.Hooks `optional:"true"`
}

// Module provides *resilience.Set.
var Module = fx.Module("resilience", fx.Provide(NewSet))

// NewSet makes the set; it is what [Module] provides, and usable by hand.
func NewSet(p Params) (*resilience.Set, error) {
	configs := slices.Clone(p.Configs)
	for i := range configs {
		configs[i].Hooks = configs[i].Hooks.Join(p.Hooks)
	}
	return resilience.NewSet(configs...)
}
