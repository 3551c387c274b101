package security

import (
	"errors"
	"fmt"
)

// What an [Authenticator], an [Authorizer] or a [Limiter] reports. Transports branch on these with errors.Is.
var (
	// ErrNoCredentials says that the request carried no credentials at all. A public route goes on without a principal;
	// any other answers 401.
	ErrNoCredentials = errors.New("security: the request carries no credentials")
	// ErrInvalidToken says that credentials were sent and are no good. It is one error for every defect on purpose: which
	// check failed goes to hooks, never to the caller.
	ErrInvalidToken = errors.New("security: the credentials are not valid")
	// ErrUnavailable says that no decision could be made, for example because signing keys or the limiter's store are not
	// to be had. Answer 503; never treat it as allowed.
	ErrUnavailable = errors.New("security: no decision can be made at the moment")
	// ErrDenied says that the caller is known and may not. See [DeniedError] for the decision.
	ErrDenied = errors.New("security: denied")
	// ErrUnauthenticated says that the policy demands a caller who is known, and this one is not. It also matches
	// [ErrDenied].
	ErrUnauthenticated = fmt.Errorf("%w: the caller is not known", ErrDenied)
)

// DeniedError carries the decision behind a refusal; it matches [ErrDenied], and [ErrUnauthenticated] too when the
// caller was anonymous. Its text names policy and reason and is meant for logs, not for the caller.
type DeniedError struct {
	Decision Decision
}

// Error tells the policy and the reason.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("security: denied by %s: %s", e.Decision.Policy, e.Decision.Reason)
}

// Is matches [ErrDenied], and [ErrUnauthenticated] when the caller was anonymous.
func (e *DeniedError) Is(target error) bool {
	return target == ErrDenied || (target == ErrUnauthenticated && e.Decision.Reason == ReasonAnonymous)
}
