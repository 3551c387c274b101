package outbox

import "context"

// Step lets tests run a relay one step at a time; worked says whether anything was sent or parked.
func (r *Relay) Step(ctx context.Context) (worked bool, err error) { return r.step(ctx) }
