package saga

import "context"

// JoinHooks makes one set of hooks of several; each event goes to all of them in order. Contexts that Starting and
// Attempting return go on to the next.
func JoinHooks(sets ...Hooks) Hooks {
	var out Hooks
	for _, h := range sets {
		out = Hooks{
			Starting: joinStarting(out.Starting, h.Starting), Started: join(out.Started, h.Started),
			Attempting: joinAttempting(out.Attempting, h.Attempting), Attempted: join(out.Attempted, h.Attempted),
			Hung: join(out.Hung, h.Hung), Waited: join(out.Waited, h.Waited), Unknown: join(out.Unknown, h.Unknown),
			TurnedBack: join(out.TurnedBack, h.TurnedBack), Finished: join(out.Finished, h.Finished), Parked: join(out.Parked, h.Parked),
			Refused: join(out.Refused, h.Refused), Violated: join(out.Violated, h.Violated), Flushed: join(out.Flushed, h.Flushed),
			Recovered: join(out.Recovered, h.Recovered), Fenced: join(out.Fenced, h.Fenced), Failed: join(out.Failed, h.Failed),
			Purged: join(out.Purged, h.Purged), Strayed: join(out.Strayed, h.Strayed), Admitted: join(out.Admitted, h.Admitted),
			Skipped: join(out.Skipped, h.Skipped),
		}
	}
	return out
}

func join[E any](a, b func(context.Context, E)) func(context.Context, E) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, e E) { a(ctx, e); b(ctx, e) }
}

func joinAttempting(a, b func(context.Context, AttemptEvent) context.Context) func(context.Context, AttemptEvent) context.Context {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, e AttemptEvent) context.Context { return b(a(ctx, e), e) }
}

type starting = func(context.Context, SagaEvent) (context.Context, func(error))

func joinStarting(a, b starting) starting {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return func(ctx context.Context, e SagaEvent) (context.Context, func(error)) {
		ctx, endA := a(ctx, e)
		ctx, endB := b(ctx, e)
		switch {
		case endA == nil:
			return ctx, endB
		case endB == nil:
			return ctx, endA
		}
		return ctx, func(err error) { endB(err); endA(err) }
	}
}
