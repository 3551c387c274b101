// Package resilience guards calls to a dependency that may be slow, failing or dead: named policies of timeout, bulkhead,
// circuit breaker, retry with a budget, and fallback.
//
//	payment, err := resilience.New(resilience.Config{
//		Name:     "payment",
//		Timeout:  2 * time.Second,
//		Retry:    resilience.Retry{Max: 2},
//		Breaker:  resilience.Breaker{Failures: 5, Cooldown: 5 * time.Second},
//		Bulkhead: resilience.Bulkhead{Max: 5},
//	})
//	…
//	receipt, err := resilience.Do(ctx, payment, func(ctx context.Context) (Receipt, error) {
//		return gateway.Charge(ctx, order)
//	}, resilience.Idempotent())
//
// # Order
//
// From the outside in: fallback > retry > breaker > bulkhead > timeout > the call. So a fallback sees the last error of all
// attempts; each attempt asks the breaker and takes a bulkhead permit anew; a call that the bulkhead turned away says nothing
// about the dependency and is not counted by the breaker; the timeout limits one attempt and does not run while the attempt
// waits for a permit. The caller's context limits everything together.
//
// # What counts as what
//
// [Config.Classify] turns an error into an [Outcome]; see [DefaultClassify]. Whatever it says, an attempt that ends in an
// error after the caller's context is done is [OutcomeIgnored]: neither success nor failure for the breaker, and not
// repeated. A call is repeated only when it is marked with [Idempotent], its outcome is a failure, the retry budget
// allows it, and the wait ends before the caller's deadline. An error with a method RetryAfter() time.Duration sets the
// least wait.
//
// # Failure semantics
//
// Calls that are refused without reaching the dependency return an [*Error] that matches [ErrOpen] or [ErrRejected]; an attempt
// that ran out of [Config.Timeout] matches [ErrTimeout]: its effect on the other side is unknown. A timeout is cooperative: the
// function gets a context with the deadline and Do returns when the function returns, so no goroutine is ever left behind; a
// function that ignores its context holds its permit for as long as it runs. A panic of the function releases all permits,
// counts as nothing, and continues to the caller.
//
// # What it does not do
//
// No rate limits (see security/ratelimit), no state shared between processes, no goroutines of its own. HTTP clients are guarded by
// the package resiliencehttp below this one.
//
// failsafe-go counts the breaker's results and holds the bulkhead's permits. Which call may pass, when a result still
// counts, and when to repeat is decided here, because that library has no way to hand back a half-open permit without a
// result, counts late results in the state they arrive in, and bounds retries by concurrency where a budget per call is
// needed.
package resilience
