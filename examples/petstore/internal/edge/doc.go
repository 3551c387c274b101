// Package edge is the shop's front: the pages that people see, and the one address under which programs reach every service's API.
//
// Programs call /api/v1/… with a token of their own; the edge passes the request on to the service that owns the path, with the
// caller's Authorization and the correlation id, and answers with a 503 problem when that service cannot be reached. Every service
// decides for itself what the caller may do: the edge adds no rights.
//
// People get pages rendered here and a session: a random id in a cookie that scripts cannot read, and behind it, in Redis, the name
// of the user. Their tokens never leave the edge. A form of another site is refused by [net/http.CrossOriginProtection].
package edge
