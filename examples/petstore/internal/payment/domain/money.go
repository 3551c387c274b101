package domain

import (
	"errors"
	"fmt"
)

// Money is an amount in the smallest unit of its currency, so that nothing is ever rounded here.
type Money struct {
	Cents    int64
	Currency string // ISO 4217, such as "USD"
}

// Validate refuses what can not be charged: nothing, a negative amount, or a currency that is no ISO 4217 code.
func (m Money) Validate() error {
	var errs []error
	if m.Cents <= 0 {
		errs = append(errs, fmt.Errorf("amount is %d cents: it must be positive", m.Cents))
	}
	if len(m.Currency) != 3 {
		errs = append(errs, fmt.Errorf("currency is %q: it must be an ISO 4217 code such as USD", m.Currency))
	}
	return errors.Join(errs...)
}

// String is for people: 1296.00 USD.
func (m Money) String() string {
	sign, c := "", m.Cents
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d %s", sign, c/100, c%100, m.Currency)
}
