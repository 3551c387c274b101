package oidc

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/marty-framework/mmf/security"
)

const (
	maxSubject  = 255 // OpenID Connect Core, section 2
	maxNames    = 256 // roles, scopes, audiences
	maxNameSize = 256
)

// principal checks the claims of a token whose signature holds and makes the principal of them.
func (c *Config) principal(kind string, claims map[string]any, now time.Time) (security.Principal, Reason) {
	none := security.Principal{}
	if iss, ok := claims["iss"].(string); !ok || iss != c.Issuer {
		return none, ReasonIssuer
	}
	if !hasAudience(claims["aud"], c.Audience) {
		return none, ReasonAudience
	}
	expires, reason := c.checkTimes(claims, now)
	if reason != ReasonOK {
		return none, reason
	}
	if !c.isAccessToken(kind, claims) {
		return none, ReasonType
	}
	subject, ok := claims["sub"].(string)
	if !ok || subject == "" || len(subject) > maxSubject || strings.ContainsFunc(subject, unicode.IsControl) {
		return none, ReasonSubject
	}
	roles, ok := names(lookUp(claims, c.RolesClaim), false)
	if !ok {
		return none, ReasonRoles
	}
	scopes, ok := names(claims[c.ScopeClaim], true)
	if !ok {
		return none, ReasonRoles
	}
	return security.Principal{
		Subject: subject, Issuer: c.Issuer, Roles: roles, Scopes: scopes, Expires: expires,
		Service: c.IsService(subject, claims), Claims: claims,
	}, ReasonOK
}

func hasAudience(claim any, want string) bool {
	switch aud := claim.(type) {
	case string:
		return aud == want
	case []any:
		if len(aud) > maxNames {
			return false
		}
		found := false
		for _, a := range aud {
			s, ok := a.(string)
			if !ok {
				return false
			}
			found = found || s == want
		}
		return found
	default:
		return false
	}
}

func (c *Config) checkTimes(claims map[string]any, now time.Time) (expires time.Time, reason Reason) {
	exp, there, ok := timeClaim(claims, "exp")
	if !there || !ok || !now.Before(exp.Add(c.ClockSkew)) {
		return time.Time{}, ReasonExpired
	}
	// A far exp is most often milliseconds written for seconds; either way it outlives every withdrawal.
	if exp.After(now.Add(c.MaxLifetime + c.ClockSkew)) {
		return time.Time{}, ReasonLifetime
	}
	nbf, there, ok := timeClaim(claims, "nbf")
	if !ok || there && nbf.After(now.Add(c.ClockSkew)) {
		return time.Time{}, ReasonNotYetValid
	}
	iat, there, ok := timeClaim(claims, "iat")
	if !ok || there && iat.After(now.Add(c.ClockSkew)) {
		return time.Time{}, ReasonIssuedAt
	}
	if there && exp.Sub(iat) > c.MaxLifetime+c.ClockSkew {
		return time.Time{}, ReasonLifetime
	}
	return exp, ReasonOK
}

// timeClaim reads seconds since 1970, with a fraction if need be. Anything that is not a plain number below the year
// 9999 is not ok; a missing claim is.
func timeClaim(claims map[string]any, name string) (t time.Time, there, ok bool) {
	v, there := claims[name]
	if !there {
		return time.Time{}, false, true
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return time.Time{}, true, false
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, true, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true, true
}

// idTokenMarks are claims of ID tokens and of security event tokens (logout tokens) that no access token needs.
var idTokenMarks = []string{"nonce", "at_hash", "c_hash", "s_hash", "events"}

// otherKinds are values of a typ claim with which issuers (Keycloak) mark tokens that are not for APIs.
var otherKinds = []string{"id", "refresh", "offline", "logout"}

// isAccessToken keeps out tokens that the issuer signed with the same key for other purposes. at+jwt (RFC 9068) is the
// issuer's own word; for any other type the marks decide.
func (c *Config) isAccessToken(kind string, claims map[string]any) bool {
	if !slices.Contains(c.TokenTypes, kind) {
		return false
	}
	if use, there := claims["token_use"]; there && use != "access" {
		return false
	}
	if typ, ok := claims["typ"].(string); ok && slices.Contains(otherKinds, strings.ToLower(typ)) {
		return false
	}
	if kind == "at+jwt" {
		return true
	}
	return !slices.ContainsFunc(idTokenMarks, func(mark string) bool { _, there := claims[mark]; return there })
}

func lookUp(claims map[string]any, path []string) any {
	var v any = claims
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			// A level that is there but is no object is a wrong form; hand it on, it is refused there.
			return v
		}
		if v, ok = object[name]; !ok {
			return nil
		}
	}
	return v
}

// names reads an array of texts and, where spaced, also one text separated by spaces (RFC 6749 3.3). Nothing is split,
// trimmed or folded beyond that: "admin,user" is one odd name and no administrator.
func names(v any, spaced bool) ([]string, bool) {
	if v == nil {
		return nil, true
	}
	var out []string
	switch v := v.(type) {
	case string:
		if !spaced {
			return nil, false
		}
		out = strings.Split(v, " ")
		out = slices.DeleteFunc(out, func(s string) bool { return s == "" })
	case []any:
		if len(v) > maxNames {
			return nil, false
		}
		for _, e := range v {
			s, ok := e.(string)
			if !ok || s == "" {
				return nil, false
			}
			out = append(out, s)
		}
	default:
		return nil, false
	}
	if len(out) > maxNames || slices.ContainsFunc(out, func(s string) bool { return len(s) > maxNameSize }) {
		return nil, false
	}
	return out, true
}

// serviceByRFC9068 recognises a token from the client credentials grant: RFC 9068 section 2.2 makes its sub the client.
func serviceByRFC9068(subject string, claims map[string]any) bool {
	client, ok := claims["client_id"].(string)
	return ok && client == subject
}
