// Package ratelimit counts calls: one algorithm, two stores. [Local] keeps its counts in the process, [Redis] shares them
// between all processes of a service, and both take the same decisions. Both are a [security.Limiter].
//
// The algorithm is GCRA (the generic cell rate algorithm of ITU-T I.371): one number per key, the theoretical arrival
// time, says how far ahead of its rate a key is. So a key costs a few bytes, there are no windows at whose edges twice
// the limit passes, and the time to wait is exact.
//
// The smallest complete use:
//
//	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
//	…
//	limit, err := security.ParseLimit("30/min burst 5")
//	…
//	r, err := limiter.Allow(ctx, security.EncodeKey("create-order", principal.Key()), limit)
//	if err != nil { … }        // 503
//	if !r.Allowed { … }        // 429, Retry-After: r.RetryAfter
//
// Guarantees: over any time t a key is allowed at most burst + rate·t calls; RetryAfter is honest when nobody else uses
// the key; n parallel calls with k remaining are allowed exactly k times. Time is monotonic in [Local] and the server's in
// [Redis], so a wall clock that jumps neither freezes nor floods a limit. A limit may change at run time: the key's state
// is kept and no wait grows longer than the new limit's own.
//
// Failure semantics: what happens while Redis is away is declared, see [OnUnavailable]; a call pays at most
// RedisConfig.Timeout for finding out, and after a few failures nothing at all, but for one probe per pause. Counts lost
// by Redis (a restart, a fail-over, FLUSHALL) give each key at most one extra burst. [Local] holds at most
// LocalConfig.MaxKeys keys and forgets the one that was used longest ago, which gives that key a fresh burst.
//
// What it does not do: it does not know requests, routes or addresses (the caller makes the key), sets no headers, and
// does not queue calls until they may go.
package ratelimit
