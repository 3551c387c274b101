package config_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config"
)

func TestLayers(t *testing.T) {
	store, err := load(t, config.Options{
		EnvPrefix: "SHOP_",
		EnvNames:  map[string]string{"DATABASE_URL": "db.dsn"},
		Environ: []string{
			"PATH=/bin", "SHOP_HTTP_TIMEOUT=3s", "SHOP_LIMITS_BROWSE_EVENTS=60", "SHOP_LIMITS_LOGIN_EVENTS=7", "SHOP_TAGS=x, y",
			"DATABASE_URL=postgres://secret", "SHOP_DB_DSN=weaker", "SHOP_HTTP_TLS=true",
		},
		Overrides: []string{"db.pool=9", "name=a=b", "limits.export.events=1"},
	}, `
name: base
http:
  timeout: 1s
  max_body: 100
limits:
  browse: {events: 30, per: 1s}
routes:
  - path: /pets
    roles: [customer, admin]
`, `
# the overlay
http:
  timeout: 2s
db:
ratio: 0.5
`)
	require.NoError(t, err)
	got := store.Get()
	want := defaults()
	want.Name = "a=b"
	want.HTTP.Timeout, want.HTTP.MaxBody, want.HTTP.TLS = 3*time.Second, 100, true
	want.DB.DSN, want.DB.Pool = config.NewSecret("postgres://secret"), 9
	want.Limits = map[string]limit{"login": {7, time.Minute}, "browse": {60, time.Second}, "export": {Events: 1}}
	want.Tags, want.Ratio = []string{"x", "y"}, 0.5
	want.Routes = []route{{"/pets", []string{"customer", "admin"}}}
	require.Equal(t, want, got)

	var lines []string
	for _, s := range store.Origins() {
		lines = append(lines, fmt.Sprintf("%s = %s (%s)", s.Key, s.Value, s.Origin))
	}
	require.Equal(t, []string{
		"db.dsn = [redacted] (env DATABASE_URL)",
		"db.pool = 9 (override)",
		"http.addr = :8080 (default)",
		"http.max_body = 100 (a.yaml:5)",
		"http.timeout = 3s (env SHOP_HTTP_TIMEOUT)",
		"http.tls = true (env SHOP_HTTP_TLS)",
		"limits.browse.events = 60 (env SHOP_LIMITS_BROWSE_EVENTS)",
		"limits.browse.per = 1s (a.yaml:7)",
		"limits.export.events = 1 (override)",
		"limits.export.per = 0s (default)",
		"limits.login.events = 7 (env SHOP_LIMITS_LOGIN_EVENTS)",
		"limits.login.per = 1m0s (default)",
		"name = a=b (override)",
		"ratio = 0.5 (b.yaml:6)",
		"routes[0].path = /pets (a.yaml:9)",
		"routes[0].roles = [customer admin] (a.yaml:10)",
		"tags = [x y] (env SHOP_TAGS)",
	}, lines)
}

func TestDefaultsAreCopied(t *testing.T) {
	d := defaults()
	store, err := config.Load(t.Context(), d, config.Options{Overrides: []string{"limits.login.events=1"}})
	require.NoError(t, err)
	d.Limits["login"] = limit{Events: 99}
	d.Tags[0] = "changed"
	require.Equal(t, 1, store.Get().Limits["login"].Events)
	require.Equal(t, []string{"a"}, store.Get().Tags)
	require.NoError(t, store.Reload(t.Context()))
	require.Equal(t, 1, store.Get().Limits["login"].Events)
	require.Equal(t, []string{"a"}, store.Get().Tags)
}

// TestRefusals (F-CFG-1) holds the messages: what, where, and what to do.
func TestRefusals(t *testing.T) {
	many := strings.Repeat("x", 1<<20)
	tests := map[string]struct {
		text string
		o    config.Options
		want string
	}{
		"unknown key":           {text: "http:\n  timout: 1s", want: `config: a.yaml:2: http.timout: unknown key; did you mean "timeout"?`},
		"unknown, nothing near": {text: "zzz: 1", want: `config: a.yaml:1: zzz: unknown key`},
		"duplicate":             {text: "name: a\nhttp: {}\nname: b", want: `config: a.yaml:3: name: the key is here twice; first on line 1`},
		"text for a number":     {text: "db:\n  pool: lots", want: `config: a.yaml:2: db.pool: must be an integer, not the text "lots"`},
		"number for a text":     {text: "name: 1.10", want: `config: a.yaml:1: name: must be a text, not a number; put it in quotes`},
		"yes for a text":        {text: "name: true", want: `config: a.yaml:1: name: must be a text, not true or false; put it in quotes`},
		"yes for a bool":        {text: "http: {tls: yes}", want: `config: a.yaml:1: http.tls: must be true or false, not the text "yes"`},
		"bare duration": {
			text: "http:\n  timeout: 5",
			want: `config: a.yaml:2: http.timeout: must be a duration such as "5s", not "5"`,
		},
		"too large":          {text: "db: {pool: 256}", want: `config: a.yaml:1: db.pool: must be 0 or more and fit in uint8, not "256"`},
		"negative":           {text: "db: {pool: -1}", want: `config: a.yaml:1: db.pool: must be 0 or more and fit in uint8, not "-1"`},
		"octal":              {text: "db: {pool: 010}", want: `config: a.yaml:1: db.pool: must be an integer in plain digits, not "010"`},
		"fraction":           {text: "db: {pool: 1.5}", want: `config: a.yaml:1: db.pool: must be an integer in plain digits, not "1.5"`},
		"not a number":       {text: "ratio: .nan", want: `config: a.yaml:1: ratio: must be a number, not ".nan"`},
		"null":               {text: "name:", want: `config: a.yaml:1: name: must be a text, not nothing`},
		"list for a text":    {text: "name: [a]", want: `config: a.yaml:1: name: must be a text, not a list`},
		"text for a list":    {text: "tags: a", want: `config: a.yaml:1: tags: must be a list, not a text`},
		"text for a section": {text: "http: off", want: `config: a.yaml:1: http: must be a section with keys, not a text`},
		"element": {
			text: "tags:\n  - a\n  - 1",
			want: `config: a.yaml:3: tags[1]: must be a text, not a number; put it in quotes`,
		},
		"list of sections": {
			text: "routes:\n  - path: /\n    role: [x]",
			want: `config: a.yaml:3: routes[0].role: unknown key; did you mean "roles"?`,
		},
		"validation": {
			text: "limits:\n  login:\n    events: -1",
			want: `config: a.yaml:3: limits.login.events: must be 0 or more, not -1`,
		},
		"merge key": {
			text: "http: &h {}\ndb:\n  <<: *h",
			want: `config: a.yaml:3: db: merge keys (<<) are not allowed; name the keys`,
		},
		"tag":      {text: "name: !!binary aGk=", want: `config: a.yaml:1: name: the tag !!binary is not allowed`},
		"odd key":  {text: "? [a]\n: 1", want: `config: a.yaml:1: a key must be a word`},
		"not YAML": {text: "name: a\nhttp: [", want: `config: a.yaml:2: not valid YAML: did not find expected node content`},
		"tab": {
			text: "http:\n\ttls: true",
			want: `config: a.yaml:2: not valid YAML: found character that cannot start any token`,
		},
		"list at the top": {text: "- a", want: `config: a.yaml:1: the file must hold keys and values, not a list`},
		"empty":           {text: "", want: `config: a.yaml: the file is empty; write {} if it shall say nothing`},
		"only comments":   {text: "# nothing\n", want: `config: a.yaml: the file is empty; write {} if it shall say nothing`},
		"two documents":   {text: "name: a\n---\nname: b", want: `config: a.yaml:2: a second document is not allowed`},
		"50 MB":           {text: many + "x", want: `config: a.yaml: is larger than 1048576 bytes`},
		"deep": {
			text: strings.Repeat("{a: ", 200) + "1" + strings.Repeat("}", 200),
			want: `config: a.yaml:1: more than 100000 values, or nested deeper than 64, with aliases expanded`,
		},
		"alias bomb": {
			text: bomb(),
			want: `config: a.yaml:1: more than 100000 values, or nested deeper than 64, with aliases expanded`,
		},
		"all of them": {
			text: "name: 1\nzzz: 2\ndb: {pool: x}",
			want: "config: a.yaml:1: name: must be a text, not a number; put it in quotes\n" +
				"config: a.yaml:2: zzz: unknown key\n" +
				"config: a.yaml:3: db.pool: must be an integer, not the text \"x\"",
		},
		"override unknown": {
			text: "{}", o: config.Options{Overrides: []string{"http.tmeout=1s"}},
			want: `config: override: http.tmeout: unknown key; did you mean "timeout"?`,
		},
		"override section": {
			text: "{}", o: config.Options{Overrides: []string{"http=1"}},
			want: `config: override: http: is a section; set one of its keys`,
		},
		"override below": {
			text: "{}", o: config.Options{Overrides: []string{"name.x=1"}},
			want: `config: override: name.x: unknown key: name has no keys below it`,
		},
		"override form": {
			text: "{}", o: config.Options{Overrides: []string{"name"}},
			want: `config: override: "name" must have the form key=value`,
		},
		"override type": {
			text: "{}", o: config.Options{Overrides: []string{"http.timeout=soon"}},
			want: `config: override: http.timeout: must be a duration such as "5s", not "soon"`,
		},
		"env type": {
			text: "{}", o: config.Options{EnvPrefix: "S_", Environ: []string{"S_DB_POOL=x"}},
			want: `config: env S_DB_POOL: db.pool: must be an integer in plain digits, not "x"`,
		},
		"env unknown": {
			text: "{}", o: config.Options{EnvPrefix: "S_", Environ: []string{"S_DB_POOOL=1"}},
			want: `config: env S_DB_POOOL: sets no key; did you mean "S_DB_POOL"?`,
		},
		"env name unknown": {
			text: "{}", o: config.Options{EnvNames: map[string]string{"DB": "db.dns"}},
			want: `config: env DB: db.dns: unknown key; did you mean "dsn"?`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.o, tt.text)
			require.EqualError(t, err, tt.want)
			var all *config.Error
			require.ErrorAs(t, err, &all)
			_, again := load(t, tt.o, tt.text)
			require.EqualError(t, again, err.Error(), "the same text each time")
		})
	}
}

func bomb() string {
	b := strings.Builder{}
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

func TestForms(t *testing.T) {
	tests := map[string]string{
		"BOM":     "\ufeffname: x",
		"CRLF":    "name: x\r\nhttp:\r\n  tls: true\r\n",
		"alias":   "name: &n x\ntags: [*n]",
		"quotes":  `name: "x"`,
		"utf-16":  "\xff\xfen\x00a\x00m\x00e\x00:\x00 \x00x\x00",
		"comment": "name: x # the name",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			store, err := load(t, config.Options{}, text)
			require.NoError(t, err)
			require.Equal(t, "x", store.Get().Name)
		})
	}
}

func TestMissingFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := config.Load(t.Context(), defaults(), config.Options{Files: []config.File{{Path: "no.yaml"}, {Path: "."}}})
	require.EqualError(t, err, "config: no.yaml: the file does not exist\nconfig: .: is not a regular file")
	require.NotErrorIs(t, err, fs.ErrExist)
	_, err = config.Load(t.Context(), defaults(), config.Options{Files: []config.File{{Path: "no.yaml", Optional: true}}})
	require.NoError(t, err)
}

func TestIgnoredVariables(t *testing.T) {
	for _, ignore := range []string{"S_PORT", "*"} {
		environ := []string{"S_PORT=tcp://1.2.3.4", "S_NAME="}
		store, err := load(t, config.Options{EnvPrefix: "S_", IgnoreEnv: []string{ignore}, Environ: environ}, "{}")
		require.NoError(t, err)
		require.Empty(t, store.Get().Name, "set but empty is the empty text")
	}
}

func TestAmbiguousVariable(t *testing.T) {
	type ambiguous struct {
		A struct {
			BC int `config:"b_c"`
		}
		AB struct{ C int } `config:"a_b"`
	}
	_, err := config.Load(t.Context(), ambiguous{}, config.Options{EnvPrefix: "S_", Environ: []string{"S_A_B_C=1"}})
	require.EqualError(t, err, "config: env S_A_B_C: could mean a.b_c or a_b.c; map another name with EnvNames")
	store, err := config.Load(t.Context(), ambiguous{}, config.Options{
		EnvPrefix: "S_", EnvNames: map[string]string{"S_A_B_C": "a_b.c"}, Environ: []string{"S_A_B_C=1"},
	})
	require.NoError(t, err)
	require.Equal(t, 1, store.Get().AB.C)
}

type embedded struct{ Inner string }

func TestEmbeddedStructsLendTheirFields(t *testing.T) {
	type outer struct {
		embedded
		Named embedded `config:"other"`
	}
	type exported struct {
		Embedded embedded
	}
	store, err := config.Load(t.Context(), outer{}, config.Options{Overrides: []string{"inner=x", "other.inner=y"}})
	require.NoError(t, err)
	require.Equal(t, outer{embedded{"x"}, embedded{"y"}}, store.Get())
	other, err := config.Load(t.Context(), exported{}, config.Options{Overrides: []string{"embedded.inner=x"}})
	require.NoError(t, err)
	require.Equal(t, "x", other.Get().Embedded.Inner)
}

type cyclic struct{ Next []cyclic }

func TestTypesThatCannotBeFilled(t *testing.T) {
	try := func(err error) string { return err.Error() }
	_, err := config.Load(t.Context(), 5, config.Options{})
	require.Equal(t, "config: int must be a struct", try(err))
	_, err = config.Load(t.Context(), struct {
		F func()
		C chan int
		A any
		P *int
		M map[int]string
		X int `config:"y"`
		Y int
		Z []struct {
			V int `reload:"no"`
		}
		R int `reload:"yes"`
	}{}, config.Options{})
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 8)
	_, err = config.Load(t.Context(), cyclic{}, config.Options{})
	require.ErrorContains(t, err, "contains itself")
}

type whole struct {
	Low, High int
	Panic     bool
}

var errOrder = errors.New("low must not be above high")

func (w *whole) Validate() error {
	if w.Panic {
		panic("a mistake in Validate")
	}
	var order error
	if w.Low > w.High {
		order = errOrder
	}
	var high error
	if w.High > 10 {
		high = config.Invalid("high", "must be at most 10")
	}
	return errors.Join(order, high)
}

func TestValidateOfTheWhole(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.yaml", "low: 12\nhigh: 11\n")
	_, err := config.Load(t.Context(), whole{}, config.Options{Files: []config.File{{Path: "a.yaml"}}})
	require.EqualError(t, err, "config: a.yaml:2: high: must be at most 10\nconfig: low must not be above high")
	require.ErrorIs(t, err, errOrder)
	_, err = config.Load(t.Context(), whole{Panic: true}, config.Options{})
	require.EqualError(t, err, "config: Validate panicked: a mistake in Validate")
}

func TestOptionProblemsAndContext(t *testing.T) {
	_, err := config.Load(t.Context(), whole{}, config.Options{MaxFileBytes: -1, Debounce: -1, Poll: -1, History: -1, Files: []config.File{{}}})
	require.Len(t, strings.Split(err.Error(), "\n"), 5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = config.Load(ctx, whole{}, config.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestProcessEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("CFGTEST_LOW", "0")
	t.Setenv("CFGTEST_HIGH", "3")
	store, err := config.Load(t.Context(), whole{}, config.Options{EnvPrefix: "CFGTEST_"})
	require.NoError(t, err)
	require.Equal(t, 3, store.Get().High)
}
