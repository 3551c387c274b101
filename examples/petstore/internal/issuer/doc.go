// Package issuer is the shop's OpenID Connect issuer for development: it publishes its keys like a real one and gives tokens to
// the shop's own services and to a handful of named users.
//
//	GET  /.well-known/openid-configuration   where the rest is
//	GET  /jwks.json                          the public keys: the one that signs, and those whose tokens may still be about
//	POST /token                              grant_type=client_credentials for services,
//	                                         grant_type=urn:petstore:development&user=alice for people
//
// Whoever reaches it gets the token of any user without a password. So it refuses to run when env is prod; there auth.issuer names
// a real one.
package issuer
