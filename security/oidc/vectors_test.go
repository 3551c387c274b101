package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
)

// vector is one token and what must become of it. Each refused one differs from an accepted one in a single respect, and
// the reason proves that it was refused for that respect.
type vector struct {
	name  string
	token string
	want  oidc.Reason
}

func runVectors(t *testing.T, v *oidc.Verifier, seen *reasons, vectors []vector) {
	t.Helper()
	for _, c := range vectors {
		p, err := v.Verify(t.Context(), c.token)
		require.Equal(t, c.want, seen.get(), c.name)
		if c.want == oidc.ReasonOK {
			require.NoError(t, err, c.name)
			require.NotEmpty(t, p.Subject, c.name)
			continue
		}
		require.Equal(t, security.ErrInvalidToken, err, "one and the same error: %s", c.name)
		require.Equal(t, security.Principal{}, p, c.name)
	}
}

const goodHeader = `{"alg":"RS256","kid":"r1","typ":"at+jwt"}`

func TestGoodTokens(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	body := marshal(p.claims(nil))
	runVectors(t, v, seen, []vector{
		{"RS256", rs256(goodHeader, body), oidc.ReasonOK},
		{"ES256", es256(`{"alg":"ES256","kid":"e1","typ":"JWT"}`, body), oidc.ReasonOK},
		{"typ application/at+jwt", rs256(`{"alg":"RS256","kid":"r1","typ":"application/at+jwt"}`, body), oidc.ReasonOK},
		{"unknown header members are not looked at", rs256(`{"alg":"RS256","kid":"r1","typ":"JWT","foo":1}`, body), oidc.ReasonOK},
	})
}

// J-01: algorithms that are none; the signature is empty, then the right one.
func TestJ01AlgorithmNone(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	body := marshal(p.claims(nil))
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"nOnE"`, `"none "`, `""`, `null`, `0`, `["RS256"]`} {
		header := `{"alg":` + alg + `,"kid":"r1","typ":"at+jwt"}`
		runVectors(t, v, seen, []vector{
			{alg + " unsigned", signing(header, body) + ".", oidc.ReasonMalformed},
			{alg + " signed", rs256(header, body), oidc.ReasonAlgorithm},
		})
	}
	runVectors(t, v, seen, []vector{{"missing", rs256(`{"kid":"r1","typ":"at+jwt"}`, body), oidc.ReasonAlgorithm}})
}

// J-02: the public key used as the secret of HS256. J-03: a key used with another algorithm than its own.
func TestJ02J03KeyConfusion(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	body := marshal(p.claims(nil))
	pub := &rsaKey().PublicKey
	spki := generated(x509.MarshalPKIXPublicKey(pub))
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	jwk := generated(json.Marshal(jose.JSONWebKey{Key: pub, KeyID: "r1"}))
	for i, secret := range [][]byte{
		block, []byte(strings.TrimSpace(string(block))), spki, x509.MarshalPKCS1PublicKey(pub), jwk,
		pub.N.Bytes(), []byte(b64(pub.N.Bytes())),
	} {
		s := signing(`{"alg":"HS256","kid":"r1","typ":"at+jwt"}`, body)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(s))
		runVectors(t, v, seen, []vector{{fmt.Sprint("secret ", i), s + "." + b64(mac.Sum(nil)), oidc.ReasonAlgorithm}})
	}
	ps := signing(`{"alg":"PS256","kid":"r1","typ":"at+jwt"}`, body)
	sum := sha256.Sum256([]byte(ps))
	runVectors(t, v, seen, []vector{
		{"RS256 with e1", rs256(`{"alg":"RS256","kid":"e1","typ":"at+jwt"}`, body), oidc.ReasonKeyAlgorithm},
		{"ES256 with r1", es256(`{"alg":"ES256","kid":"r1","typ":"at+jwt"}`, body), oidc.ReasonKeyAlgorithm},
		{"PS256", ps + "." + b64(generated(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, sum[:], nil))), oidc.ReasonAlgorithm},
		{"EdDSA", eddsa(`{"alg":"EdDSA","kid":"d1","typ":"at+jwt"}`, body), oidc.ReasonAlgorithm},
	})
	cfg := p.config()
	cfg.Algorithms = []string{"EdDSA"}
	only, seenOnly := newVerifier(t, cfg)
	runVectors(t, only, seenOnly, []vector{
		{"EdDSA where allowed", eddsa(`{"alg":"EdDSA","kid":"d1","typ":"at+jwt"}`, body), oidc.ReasonOK},
		{"RS256 where not", rs256(goodHeader, body), oidc.ReasonAlgorithm},
	})
}

// J-04: signatures that a careless ECDSA accepts.
func TestJ04Signatures(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	body := marshal(p.claims(nil))
	header := `{"alg":"ES256","kid":"e1","typ":"at+jwt"}`
	s := signing(header, body)
	n := ecKey().Params().N
	pair := func(r, q []byte) string { return s + "." + b64(append(pad32(r), pad32(q)...)) }
	sum := sha256.Sum256([]byte(s))
	less := append([]byte(nil), n.Bytes()...)
	less[31]--
	good := es256(header, body)
	raw := generated(base64.RawURLEncoding.DecodeString(good[strings.LastIndexByte(good, '.')+1:]))
	runVectors(t, v, seen, []vector{
		{"zero", pair(nil, nil), oidc.ReasonSignature},
		{"r=0", pair(nil, []byte{1}), oidc.ReasonSignature},
		{"s=0", pair([]byte{1}, nil), oidc.ReasonSignature},
		{"r=n", pair(n.Bytes(), []byte{1}), oidc.ReasonSignature},
		{"s=n", pair([]byte{1}, n.Bytes()), oidc.ReasonSignature},
		{"r=s=n-1", pair(less, less), oidc.ReasonSignature},
		{"DER", s + "." + b64(generated(ecdsa.SignASN1(rand.Reader, ecKey(), sum[:]))), oidc.ReasonSignature},
		{"63 bytes", good[:strings.LastIndexByte(good, '.')] + "." + b64(raw[:63]), oidc.ReasonSignature},
		{"65 bytes", good[:strings.LastIndexByte(good, '.')] + "." + b64(append(raw[:64:64], 0)), oidc.ReasonSignature},
		{"96 bytes", good[:strings.LastIndexByte(good, '.')] + "." + b64(append(raw[:64:64], make([]byte, 32)...)), oidc.ReasonSignature},
		{"payload of another", signing(header, marshal(p.claims(map[string]any{"sub": "bob"}))) + "." + b64(raw), oidc.ReasonSignature},
		{"attacker's key", rs256With(rsaKey2(), goodHeader, body), oidc.ReasonSignature},
	})
}

func pad32(b []byte) []byte { return append(make([]byte, 32-len(b)), b...) }

// J-05: key ids are compared and never interpreted. J-06, J-07: keys that the token itself brings or points to.
func TestJ05J06J07KeysFromTheToken(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	hits := 0
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	t.Cleanup(canary.Close)
	v, seen := newVerifier(t, p.config())
	body := marshal(p.claims(nil))
	for _, kid := range []string{
		"../../../../dev/null", "/proc/sys/kernel/randomize_va_space", "file:///etc/passwd", "x' UNION SELECT 'k'-- ",
		"$(sleep 5)", "|sleep 5", canary.URL + "/k", "%00", "a\nlevel=error forged", strings.Repeat("k", 256),
	} {
		runVectors(t, v, seen, []vector{{kid, rs256(`{"alg":"RS256","typ":"at+jwt","kid":`+marshal(kid)+`}`, body), oidc.ReasonUnknownKey}})
	}
	attacker := marshal(jose.JSONWebKey{Key: rsaKey2().Public()})
	evil := func(extra string) string {
		return rs256With(rsaKey2(), `{"alg":"RS256","kid":"r1","typ":"at+jwt",`+extra+`}`, body)
	}
	runVectors(t, v, seen, []vector{
		{"10 KB kid", rs256(`{"alg":"RS256","typ":"at+jwt","kid":"`+strings.Repeat("k", 10<<10)+`"}`, body), oidc.ReasonHeader},
		{"object kid", rs256(`{"alg":"RS256","typ":"at+jwt","kid":{"a":1}}`, body), oidc.ReasonHeader},
		{"number kid", rs256(`{"alg":"RS256","typ":"at+jwt","kid":1}`, body), oidc.ReasonHeader},
		{"empty kid", rs256(`{"alg":"RS256","typ":"at+jwt","kid":""}`, body), oidc.ReasonHeader},
		{"no kid, several keys", rs256(`{"alg":"RS256","typ":"at+jwt"}`, body), oidc.ReasonUnknownKey},
		{"jku", evil(`"jku":"` + canary.URL + `"`), oidc.ReasonSignature},
		{"jku file", evil(`"jku":"file:///etc/passwd"`), oidc.ReasonSignature},
		{"x5u", evil(`"x5u":"` + canary.URL + `"`), oidc.ReasonSignature},
		{"jwk", evil(`"jwk":` + attacker), oidc.ReasonSignature},
		{"x5c", evil(`"x5c":["MIIB"]`), oidc.ReasonSignature},
	})
	require.Zero(t, hits, "nobody asked the attacker's server")
}

// J-08, J-09: times, with the default skew of 30 s and a lifetime of at most 24 h.
func TestJ08J09Times(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	at := func(claim string, value any) string { return p.token(map[string]any{claim: value}) }
	raw := func(exp string) string {
		c := p.claims(map[string]any{"exp": nil})
		return rs256(goodHeader, strings.TrimSuffix(marshal(c), "}")+`,"exp":`+exp+`}`)
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	runVectors(t, v, seen, []vector{
		{"expired", at("exp", in(-31*time.Second)), oidc.ReasonExpired},
		{"expired within the skew", at("exp", in(-20*time.Second)), oidc.ReasonOK},
		{"no exp", p.token(map[string]any{"exp": nil}), oidc.ReasonExpired},
		{"text", at("exp", "9999999999"), oidc.ReasonExpired},
		{"1e400", raw("1e400"), oidc.ReasonExpired},
		{"null", raw("null"), oidc.ReasonExpired},
		{"negative", at("exp", -5), oidc.ReasonExpired},
		{"2^63", raw("9223372036854775808"), oidc.ReasonExpired},
		{"fraction", raw(fmt.Sprintf("%d.5", in(time.Minute))), oidc.ReasonOK},
		{"milliseconds", at("exp", in(time.Minute)*1000), oidc.ReasonExpired}, // beyond the year 9999
		{"decades", at("exp", in(20*365*24*time.Hour)), oidc.ReasonLifetime},
		{"decades, without iat", p.token(map[string]any{"exp": in(20 * 365 * 24 * time.Hour), "iat": nil}), oidc.ReasonLifetime},
		{"EXP only", p.token(map[string]any{"exp": nil, "EXP": in(time.Minute)}), oidc.ReasonExpired},
		{"nbf beyond the skew", at("nbf", in(33*time.Second)), oidc.ReasonNotYetValid},
		{"nbf within the skew", at("nbf", in(25*time.Second)), oidc.ReasonOK},
		{"nbf text", at("nbf", "0"), oidc.ReasonNotYetValid},
		{"iat in ten minutes", at("iat", in(10*time.Minute)), oidc.ReasonIssuedAt},
		{"iat too old", at("iat", in(-25*time.Hour)), oidc.ReasonLifetime},
		{"no iat", p.token(map[string]any{"iat": nil}), oidc.ReasonOK},
	})
}

// J-10, J-11: audience and issuer are compared exactly.
func TestJ10J11AudienceAndIssuer(t *testing.T) {
	t.Parallel()
	p, other := newIDP(t), newIDP(t)
	other.publish(jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "x1", Algorithm: "RS256"})
	v, seen := newVerifier(t, p.config())
	for _, aud := range []any{
		"other", "", []string{}, "shop ", "Shop", "shop2", []string{"shop2"}, map[string]any{"shop": 1}, 7, []any{"shop", 1},
	} {
		runVectors(t, v, seen, []vector{{fmt.Sprint("aud ", aud), p.token(map[string]any{"aud": aud}), oidc.ReasonAudience}})
	}
	for _, iss := range []any{
		p.URL + "/", strings.ToUpper(p.URL), strings.Replace(p.URL, "http:", "https:", 1), other.URL, 1, []string{p.URL},
	} {
		runVectors(t, v, seen, []vector{{fmt.Sprint("iss ", iss), p.token(map[string]any{"iss": iss}), oidc.ReasonIssuer}})
	}
	body := marshal(p.claims(nil))
	runVectors(t, v, seen, []vector{
		{"aud missing", p.token(map[string]any{"aud": nil}), oidc.ReasonAudience},
		{"aud among others", p.token(map[string]any{"aud": []string{audience, "x"}}), oidc.ReasonOK},
		{"iss missing", p.token(map[string]any{"iss": nil}), oidc.ReasonIssuer},
		{"another issuer's key", rs256With(rsaKey2(), `{"alg":"RS256","kid":"x1","typ":"at+jwt"}`, body), oidc.ReasonUnknownKey},
	})
}

// J-12: tokens that the same issuer signed with the same key for another purpose.
func TestJ12OtherTokens(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	typed := func(typ string, change map[string]any) string {
		return rs256(`{"alg":"RS256","kid":"r1"`+typ+`}`, marshal(p.claims(change)))
	}
	jwt := `,"typ":"JWT"`
	runVectors(t, v, seen, []vector{
		{"JWT", typed(jwt, nil), oidc.ReasonOK},
		{"no typ", typed("", nil), oidc.ReasonType},
		{"nonce", typed(jwt, map[string]any{"nonce": "n"}), oidc.ReasonType},
		{"at_hash", typed(jwt, map[string]any{"at_hash": "h"}), oidc.ReasonType},
		{"logout", typed(`,"typ":"logout+jwt"`, nil), oidc.ReasonType},
		{"logout as JWT", typed(jwt, map[string]any{"events": map[string]any{}}), oidc.ReasonType},
		{"token_use id", typed(jwt, map[string]any{"token_use": "id"}), oidc.ReasonType},
		{"token_use access", typed(jwt, map[string]any{"token_use": "access"}), oidc.ReasonOK},
		{"Keycloak ID", typed(jwt, map[string]any{"typ": "ID"}), oidc.ReasonType},
		{"Keycloak Refresh, typed as an access token", typed(`,"typ":"at+jwt"`, map[string]any{"typ": "Refresh"}), oidc.ReasonType},
		{"Keycloak Bearer", typed(jwt, map[string]any{"typ": "Bearer"}), oidc.ReasonOK},
		{"typ is a number", typed(`,"typ":1`, nil), oidc.ReasonHeader},
	})
}

// J-13: members that occur twice, exactly or but for case. J-14, J-15, J-17: extensions and other serializations.
func TestJ13J14J15J17Structure(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	good := marshal(p.claims(nil))
	plus := func(members string) string { return rs256(goodHeader, strings.TrimSuffix(good, "}")+","+members+"}") }
	head := func(members string) string {
		return rs256(`{"alg":"RS256","kid":"r1","typ":"at+jwt",`+members+`}`, good)
	}
	runVectors(t, v, seen, []vector{
		{"alg twice", rs256(`{"alg":"none","alg":"RS256","kid":"r1","typ":"at+jwt"}`, good), oidc.ReasonHeader},
		{"ALG twin", head(`"ALG":"none"`), oidc.ReasonHeader},
		{"kid with the Kelvin sign", head(`"\u212aid":"e1"`), oidc.ReasonHeader},
		{"sub twice", plus(`"sub":"admin"`), oidc.ReasonPayload},
		{"sub twice, escaped", plus(`"\u0073ub":"admin"`), oidc.ReasonPayload},
		{"roles twice", plus(`"roles":["admin"]`), oidc.ReasonPayload},
		{"Roles twin", plus(`"Roles":["admin"]`), oidc.ReasonPayload},
		{"EXP twin", plus(`"EXP":1`), oidc.ReasonPayload},
		{"exp with NUL", plus(`"exp\u0000":1`), oidc.ReasonPayload},
		{"twice further down", plus(`"a":{"b":[{"c":1,"c":2}]}`), oidc.ReasonPayload},
		{"twins further down are other people's names", plus(`"a":{"b":1,"B":2}`), oidc.ReasonOK},
		{"not UTF-8", plus(`"a":"` + "\xff" + `"`), oidc.ReasonPayload},
		{"trailing text", rs256(goodHeader, good+"{}"), oidc.ReasonPayload},
		{"array", rs256(goodHeader, "["+good+"]"), oidc.ReasonPayload},
		{"crit b64", head(`"crit":["b64"],"b64":false`), oidc.ReasonExtension},
		{"b64", head(`"b64":false`), oidc.ReasonExtension},
		{"crit empty", head(`"crit":[]`), oidc.ReasonExtension},
		{"crit exp", head(`"crit":["exp"],"exp":1`), oidc.ReasonExtension},
		{"crit x", head(`"crit":["x"]`), oidc.ReasonExtension},
		{"crit registered", head(`"crit":["alg"]`), oidc.ReasonExtension},
		{"zip", head(`"zip":"DEF"`), oidc.ReasonExtension},
		{"nested", head(`"cty":"JWT"`), oidc.ReasonExtension},
		{"enc", head(`"enc":"A128GCM","p2c":2147483647`), oidc.ReasonExtension},
		{"JWE", strings.Repeat("eyJh.", 4) + "eyJh", oidc.ReasonMalformed},
		{"JSON serialization", `{"payload":"e30","signatures":[{"protected":"e30","signature":"AA"}]}`, oidc.ReasonMalformed},
		{"JSON serialization with two dots", `{"payload":"e.30","signatures":[{"protected":"e.30"}]}`, oidc.ReasonMalformed},
	})
}

// J-16, J-18: sizes, and other spellings of the same bytes.
func TestJ16J18Encoding(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	good := p.token(nil)
	sig := strings.LastIndexByte(good, '.') + 1
	head := strings.IndexByte(good, '.')
	alphabet := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	runVectors(t, v, seen, []vector{
		{"8 KB", p.token(map[string]any{"x": strings.Repeat("x", 5<<10)}), oidc.ReasonOK},
		{"16 KB + 1", strings.Repeat("x", 16<<10+1), oidc.ReasonSize},
		{"1 MB of dots", strings.Repeat(".", 1<<20), oidc.ReasonSize},
		{"10 000 segments", strings.Repeat("a.", 8000), oidc.ReasonMalformed},
		{"deep", rs256(goodHeader, `{"a":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`), oidc.ReasonPayload},
		{"padded", good + "==", oidc.ReasonMalformed},
		{"newline", good[:sig] + "\n" + good[sig:], oidc.ReasonMalformed},
		{"newline in the header", good[:3] + "\n" + good[3:], oidc.ReasonMalformed},
		{"space", good + " ", oidc.ReasonMalformed},
		{"question mark", good + "?", oidc.ReasonMalformed},
		{"slash", good[:sig] + "/" + good[sig+1:], oidc.ReasonMalformed},
		{"plus", good[:sig] + "+" + good[sig+1:], oidc.ReasonMalformed},
		{"trailing bits", good[:len(good)-1] + string(alphabet[last^1]), oidc.ReasonMalformed},
		{"signed, but spelled with padding", withRS256(rsaKey(), good[:head]+"=."+good[head+1:sig-1]), oidc.ReasonMalformed},
		{"empty", "", oidc.ReasonMalformed},
		{"two dots", "..", oidc.ReasonMalformed},
	})
}

// J-22, J-23: roles, scopes and subjects are taken as they are or not at all.
func TestJ22J23Names(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprint("r", i)
	}
	runVectors(t, v, seen, []vector{
		{"role as text", p.token(map[string]any{"roles": "admin"}), oidc.ReasonRoles},
		{"roles with commas", p.token(map[string]any{"roles": "user,admin"}), oidc.ReasonRoles},
		{"roles as object", p.token(map[string]any{"roles": map[string]any{"admin": true}}), oidc.ReasonRoles},
		{"roles mixed", p.token(map[string]any{"roles": []any{"customer", 1}}), oidc.ReasonRoles},
		{"257 roles", p.token(map[string]any{"roles": many}), oidc.ReasonRoles},
		{"256 roles", p.token(map[string]any{"roles": many[1:]}), oidc.ReasonOK},
		{"empty sub", p.token(map[string]any{"sub": ""}), oidc.ReasonSubject},
		{"no sub", p.token(map[string]any{"sub": nil}), oidc.ReasonSubject},
		{"sub number", p.token(map[string]any{"sub": 1}), oidc.ReasonSubject},
		{"sub with NUL", p.token(map[string]any{"sub": "a\x00"}), oidc.ReasonSubject},
		{"sub with newline", p.token(map[string]any{"sub": "a\nb"}), oidc.ReasonSubject},
		{"sub 10 KB", p.token(map[string]any{"sub": strings.Repeat("s", 10<<10)}), oidc.ReasonSubject},
		{"sub with dots", p.token(map[string]any{"sub": "../x"}), oidc.ReasonOK},
	})
	for _, roles := range []any{[]string{"ADMIN"}, []string{"аdmin"}, []string{"admin "}, []string{"user,admin"}, nil} {
		got, err := v.Verify(t.Context(), p.token(map[string]any{"roles": roles, "scope": "admin write:pets"}))
		require.NoError(t, err)
		require.False(t, got.HasRole("admin"), "roles %v", roles)
		require.True(t, got.HasScope("write:pets"))
	}
}
