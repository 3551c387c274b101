package saga_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// A refusal means that there was no effect, unless an earlier attempt may have had one: its request may still be on its way.
// SAFE-6.
func TestRefusalAfterAnUnknownOutcomeIsTakenBack(t *testing.T) {
	for name, failFirst := range map[string]bool{"refused at once": false, "refused at the second attempt": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, attempts := &log{}, 0
				_, err := alone(t, saga.Step("charge", func(saga.Ctx, trip) (string, error) {
					if attempts++; attempts == 1 && failFirst {
						return "", errors.New("no reply")
					}
					return "", saga.Reject("no money")
				}).Undo(func(c saga.Ctx, _ trip, _ string) error {
					l.add("undo known=%t", c.ResultKnown())
					return nil
				}))
				var compensated *saga.CompensatedError
				require.ErrorAs(t, err, &compensated)
				require.Equal(t, "no money", compensated.Reason)
				if failFirst {
					require.Equal(t, []string{"undo known=false"}, l.all())
				} else {
					require.Empty(t, l.all())
				}
			})
		})
	}
}
