package platform

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/marty-framework/mmf/config/flags"
	"github.com/marty-framework/mmf/service"
)

// faultPrefix is what the keys of flags begin with that make things go wrong on purpose.
const faultPrefix = "fault."

// Flags are the shop's feature flags, one handle each: who renames a flag changes this file and flags.json. Each service has a set of
// its own, as it would in a process of its own.
type Flags struct {
	// Set holds the flags, for overrides.
	Set *flags.Set

	// PaymentProcessing lets customers order; off, orders are refused for now.
	PaymentProcessing flags.Handle[bool]
	// RealTimeOrderUpdates streams an order's progress to its page; off, the page asks now and then.
	RealTimeOrderUpdates flags.Handle[bool]
	// PremiumFilters allows to filter pets by price.
	PremiumFilters flags.Handle[bool]
	// PaymentDecline makes the gateway's simulator decline new charges, and NoSlots makes delivery have no slot left. In prod both are
	// off whatever the file says.
	PaymentDecline, NoSlots flags.Handle[bool]
}

// Switch is a flag as a question about a customer, for code that need not know where the answer comes from. An empty id is nobody
// in particular. It is safe for concurrent use.
type Switch func(ctx context.Context, customerID string) bool

// Ask makes a flag a [Switch].
func Ask(flag flags.Handle[bool]) Switch {
	return func(ctx context.Context, customerID string) bool {
		if customerID != "" {
			ctx = flags.WithSubject(ctx, customerID, nil)
		}
		return flag.Get(ctx)
	}
}

// loadFlags reads the flags and follows their file while the service runs.
func (s *Service) loadFlags(ctx context.Context) error {
	if s.Name == "issuer" {
		return nil
	}
	hooks, err := s.flagHooks()
	if err != nil {
		return err
	}
	options := flags.Options{Data: s.Platform.opts.Flags, Hooks: hooks}
	if file := s.Platform.opts.FlagsFile; file != "" {
		options.Files = []string{file}
	}
	set, err := flags.Load(ctx, options)
	if err != nil {
		return err
	}
	faults := set
	if s.Settings.Env == EnvProd {
		if err := refuseFaults(set); err != nil {
			return err
		}
		faults = nil // a file that changes later cannot turn them on either
	}
	s.Flags = &Flags{
		Set:                  set,
		PaymentProcessing:    flags.Bool(set, "payment_processing", true),
		RealTimeOrderUpdates: flags.Bool(set, "real_time_order_updates", true),
		PremiumFilters:       flags.Bool(set, "premium_filters", true),
		PaymentDecline:       flags.Bool(faults, "fault.payment.decline", false),
		NoSlots:              flags.Bool(faults, "fault.delivery.no_slots", false),
	}
	if len(options.Files) == 0 {
		return nil
	}
	return s.Shell.Add(service.Component{Name: "flags", Run: set.Run})
}

// refuseFaults names every fault that is not plainly off.
func refuseFaults(set *flags.Set) error {
	var errs []error
	for _, f := range set.Flags() {
		if strings.HasPrefix(f.Key, faultPrefix) && f.Enabled && (f.DefaultVariant != "off" || f.Targeting) {
			errs = append(errs, fmt.Errorf("flags: %s: faults are refused when env is prod: give it the default variant off and no targeting", f.Key))
		}
	}
	return errors.Join(errs...)
}

// flagHooks count answers and log what changes.
func (s *Service) flagHooks() (flags.Hooks, error) {
	answers, err := s.Telemetry.Meter("petstore/flags").Int64Counter("mmf.flag.evaluations", metric.WithUnit("{evaluation}"),
		metric.WithDescription("Answers of feature flags, by flag and variant."))
	if err != nil {
		return flags.Hooks{}, err
	}
	log := s.Telemetry.Logger()
	return flags.Hooks{
		Evaluation: func(ctx context.Context, e flags.Evaluation) {
			answers.Add(ctx, 1, metric.WithAttributes(attribute.String("flag", e.Flag), attribute.String("variant", e.Variant)))
			if e.ErrorCode != "" {
				s.Telemetry.Log(ctx).Warn("flag has no answer", zap.String("flag", e.Flag), zap.String("error_code", string(e.ErrorCode)))
			}
		},
		Reload: func(r flags.Reload) {
			if r.Applied {
				log.Info("flags changed", zap.Strings("flags", r.Changed), zap.Uint64("generation", r.Generation))
				return
			}
			log.Warn("flags refused; the last good ones stay", zap.Error(r.Err))
		},
		Override: func(o flags.OverrideEvent) {
			log.Warn("flag overridden", zap.String("flag", o.Flag), zap.String("variant", o.Variant), zap.Time("until", o.Until))
		},
		WatchDegraded: func(err error) {
			log.Warn("flags file cannot be watched; it is read every second instead", zap.Error(err))
		},
	}, nil
}
