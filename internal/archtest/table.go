package archtest

import "slices"

// Row says what one package of the module may import beside the standard library. Paths of the module are relative to
// it ("data/outbox"); others are prefixes of import paths ("github.com/jackc/pgx/v5").
type Row struct {
	// Package is relative to the module; "x/..." covers x and everything below it that has no row of its own.
	Package string
	// May lists packages of this module, exactly, or with "/..." and everything below.
	May []string
	// Third lists third-party modules or packages, as prefixes.
	Third []string
	// Test lists what the tests of the package may import in addition, of either sort.
	Test []string
}

// internals may be used everywhere: internal packages import the standard library only (see their row).
const internals = "internal/..."

// Words for groups of third-party packages that several rows share.
var (
	// otelAPI is the OpenTelemetry API: types for instrumentation, no SDK and no exporter.
	otelAPI = []string{
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes",
		"go.opentelemetry.io/otel/metric", "go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/semconv",
		"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/baggage",
	}
	// testLibraries is what the tests of every package may import, beside the module's own test kits ("…test").
	testLibraries = []string{
		"github.com/stretchr/testify", "go.uber.org/goleak", "pgregory.net/rapid", "github.com/anishathalye/porcupine",
		"github.com/rogpeppe/go-internal", "github.com/cucumber/godog", "github.com/google/go-cmp",
	}
	// cores are floors 1 and 2 as the service shell sees them.
	cores = []string{"data", "security", "resilience", "config", "config/flags", "observability", "saga"}
)

// Table is the import table: imports go down the floors, never sideways. Two packages of one floor that need each other
// get a small interface or a func from the one that consumes it. A package without a row fails the test, so that nobody
// adds a room to the house without saying on which floor.
var Table = []Row{
	// The map of the packages, and floor 0.
	{Package: "."},
	{Package: "internal/..."},
	{Package: "internal/pgproxy", Third: []string{"github.com/jackc/pgx/v5"}}, // for tests only

	// Floor 1.
	{Package: "data"},
	{Package: "security"},
	{Package: "resilience", Third: []string{"github.com/failsafe-go/failsafe-go"}},
	{Package: "config", Third: []string{"go.yaml.in/yaml/v3", "github.com/fsnotify/fsnotify"}},
	{
		Package: "observability",
		Third:   []string{"go.uber.org/zap", "go.opentelemetry.io/otel", "github.com/prometheus/client_golang", "go.opentelemetry.io/contrib"},
		Test:    []string{"github.com/prometheus/common", "github.com/prometheus/client_model"},
	},

	// Floor 2.
	{Package: "saga", May: []string{"data"}, Test: append([]string{"saga/sagasqlite", "saga/sagapg", "saga/sagacodec"}, dataDrivers...)},
	{Package: "data/migrate", May: []string{"data"}, Third: []string{"github.com/pressly/goose/v3"}, Test: dataDrivers},
	{Package: "data/outbox", May: []string{"data"}, Test: withMigrate},
	{Package: "data/inbox", May: []string{"data"}, Test: withMigrate},
	{Package: "data/eventstore", May: []string{"data"}, Test: withMigrate},
	{Package: "data/rowaudit", May: []string{"data"}, Test: withMigrate},
	{Package: "config/flags", May: []string{"config"}, Third: []string{"github.com/spaolacci/murmur3", "go.yaml.in/yaml/v3"}},

	// Floor 3: the family below, and one technology each.
	{Package: "data/datapg", May: []string{"data"}, Third: []string{"github.com/jackc/pgx/v5"}},
	{Package: "data/datasqlite", May: []string{"data"}, Third: []string{"modernc.org/sqlite"}},
	// The kit opens a database on every engine, so it is the one package that knows all drivers.
	{
		Package: "data/datatest", May: []string{"data", "data/migrate", "data/datapg", "data/datasqlite"},
		Third: append(slices.Clone(testLibraries), "github.com/jackc/pgx/v5"),
	},
	{Package: "data/dataotel", May: []string{"data"}, Third: otelAPI, Test: []string{"go.opentelemetry.io/otel/sdk"}},
	{
		Package: "data/kafka", May: []string{"data", "data/outbox", "data/inbox"}, Third: []string{"github.com/twmb/franz-go"},
		Test: withMigrate,
	},
	{
		Package: "data/cache", May: []string{"data"},
		Third: []string{"github.com/maypok86/otter/v2", "github.com/redis/go-redis/v9", "golang.org/x/sync"},
		Test:  []string{"github.com/alicebob/miniredis/v2"},
	},
	{Package: "resilience/resiliencehttp", May: []string{"resilience"}},
	{Package: "resilience/resilienceotel", May: []string{"resilience"}, Third: otelAPI, Test: []string{"go.opentelemetry.io/otel/sdk"}},
	{
		Package: "security/oidc", May: []string{"security"},
		Third: []string{
			"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset",
			"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2", "golang.org/x/time", "golang.org/x/sync",
		},
	},
	{Package: "security/cedar", May: []string{"security"}, Third: []string{"github.com/cedar-policy/cedar-go"}},
	{
		Package: "security/ratelimit", May: []string{"security"}, Third: []string{"github.com/redis/go-redis/v9"},
		Test: []string{"github.com/alicebob/miniredis/v2"},
	},
	{Package: "security/audit", May: []string{"security", "data"}, Test: withMigrate},
	{Package: "security/securityhttp", May: []string{"security"}},
	{Package: "observability/otlp", May: []string{"observability"}, Third: []string{"go.opentelemetry.io", "google.golang.org/grpc"}},
	{Package: "observability/dashboards", May: []string{"observability"}},
	{Package: "config/flags/openfeature", May: []string{"config", "config/flags"}, Third: []string{"github.com/open-feature/go-sdk"}},
	{Package: "config/vault", May: []string{"config"}},

	// Floor 4: sagas on a technology.
	{Package: "saga/internal/sqlstore", May: []string{"saga", "data", "data/migrate"}, Test: dataDrivers}, // what both SQL stores share
	{
		Package: "saga/internal/faulttest",
		Test:    append([]string{"saga", "data", "data/migrate", "saga/sagasqlite", "saga/sagapg", "saga/sagatest"}, dataDrivers...),
	},
	{
		Package: "saga/sagapg", May: []string{"saga", "data", "data/datapg", "data/migrate", "data/outbox"},
		Third: []string{"github.com/jackc/pgx/v5"}, Test: dataDrivers,
	},
	{
		Package: "saga/sagasqlite", May: []string{"saga", "data", "data/datasqlite", "data/migrate", "data/outbox"},
		Third: []string{"modernc.org/sqlite"}, Test: dataDrivers,
	},
	{
		Package: "saga/sagakafka", May: []string{"saga", "data", "data/outbox", "data/inbox"},
		Test: append([]string{"data/kafka", "data/migrate", "saga/sagasqlite", "saga/sagapg", "github.com/twmb/franz-go"}, dataDrivers...),
	},
	{
		Package: "saga/sagatest", May: []string{"saga", "data", "data/datasqlite"}, Third: testLibraries,
		Test: []string{"saga/sagasqlite", "saga/sagapg"},
	},
	{Package: "saga/sagacodec", May: []string{"saga"}, Test: append([]string{"saga/sagasqlite"}, dataDrivers...)},
	{
		Package: "saga/sagaotel", May: []string{"saga"}, Third: otelAPI,
		Test: append([]string{
			"saga/sagasqlite", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters/prometheus", "github.com/prometheus/client_golang",
		}, dataDrivers...),
	},

	// Floor 5: the shell. An HTTP service links no Kafka, Redis, Postgres or Cedar through it.
	{
		Package: "service", May: cores, Third: append([]string{"go.uber.org/zap"}, otelAPI...),
		Test: []string{"go.opentelemetry.io/otel/sdk", "github.com/prometheus/client_golang"},
	},
	{Package: "service/console", May: append([]string{"service"}, cores...)},

	// Floor 6: wiring, each for its own family.
	fx("data", "data/migrate", "data/outbox", "data/inbox", "data/kafka", "data/cache"), // the application picks the driver
	fx("saga", "data", "saga/sagaotel"),
	fx("observability", "observability/otlp"),
	fx("resilience", "resilience/resiliencehttp"),
	fx("config", "config/flags"),
	fx("security", "security/oidc", "security/ratelimit", "security/cedar", "security/audit", "security/securityhttp"),
	fx("service", append([]string{"service/console"}, cores...)...),

	// Floor 7: everything.
	{Package: "examples/...", May: []string{"..."}, Third: []string{""}},
}

var (
	dataDrivers = []string{"data/datapg", "data/datasqlite", "github.com/jackc/pgx/v5", "modernc.org/sqlite"}
	withMigrate = append([]string{"data/migrate", "data/outbox", "data/inbox"}, dataDrivers...)
)

// wiring lists the families that have an fx package.
var wiring = []string{"config", "data", "observability", "resilience", "saga", "security", "service"}

// technology lists types of third parties that a family's constructors take, and its wiring must therefore name.
var technology = map[string][]string{
	"security": {"github.com/redis/go-redis/v9"}, "data": {"github.com/redis/go-redis/v9"},
	"saga": otelAPI, "observability": otelAPI,
}

// fx is the row of a family's wiring package. Its tests may start an application: with other families' wiring, on any driver.
func fx(family string, may ...string) Row {
	tests := append([]string{
		"saga/sagasqlite", "saga/sagapg",
		"go.opentelemetry.io/otel", "github.com/alicebob/miniredis/v2", "github.com/redis/go-redis/v9", "github.com/twmb/franz-go",
	}, dataDrivers...)
	for _, other := range wiring {
		tests = append(tests, other, other+"/"+other+"fx")
	}
	return Row{
		Package: family + "/" + family + "fx",
		May:     append([]string{family}, may...),
		Third:   append([]string{"go.uber.org/fx", "go.uber.org/zap"}, technology[family]...),
		Test:    tests,
	}
}

// Confinement keeps a heavy or opinionated dependency where it belongs, however many imports away.
type Confinement struct {
	// Dependency is a prefix of import paths.
	Dependency string
	// To lists the packages of the module that may reach it: exact, "x/..." or "*suffix".
	To []string
	// Why is said to whoever breaks the rule.
	Why string
}

const driversOnly = "only a driver links its database"

// Confined holds for what a package links, its tests aside; "examples/..." may reach everything.
var Confined = []Confinement{
	{Dependency: "go.uber.org/fx", To: []string{"*fx"}, Why: "every constructor works without fx"},
	{Dependency: "google.golang.org/grpc", To: []string{"observability/otlp"}, Why: "grpc doubles a binary"},
	{Dependency: "github.com/jackc/pgx/v5", To: []string{"data/datapg", "data/datatest", "saga/sagapg", "internal/pgproxy"}, Why: driversOnly},
	{Dependency: "modernc.org/sqlite", To: []string{"data/datasqlite", "data/datatest", "saga/sagasqlite", "saga/sagatest"}, Why: driversOnly},
	{Dependency: "github.com/twmb/franz-go", To: []string{"data/kafka", "data/datafx"}, Why: "sagas and outboxes run without Kafka"},
	{
		Dependency: "github.com/redis/go-redis/v9", Why: "Redis is a hint, never a need",
		To: []string{"data/cache", "security/ratelimit", "security/securityfx", "data/datafx"},
	},
	{Dependency: "github.com/twmb/franz-go/pkg/kfake", Why: "embedded servers belong to examples and tests"},
	{Dependency: "github.com/alicebob/miniredis/v2", Why: "embedded servers belong to examples and tests"},
	{Dependency: "github.com/stretchr/testify", To: []string{"*test"}, Why: "test libraries do not ship"},
	{Dependency: "github.com/docker", Why: "a library starts no containers"},
	{Dependency: "k8s.io", Why: "a library does not know where it runs"},
	{Dependency: "github.com/hashicorp/vault", Why: "secrets come through config's seam"},
}
