package archtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/archtest"
)

// root is the module, seen from this package's folder, where go test runs.
const root = "../.."

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	g, err := archtest.Load(t.Context(), root, "internal/deps") // which pins modules for packages that are being written
	require.NoError(t, err)
	require.Greater(t, len(g.Own()), 5, "the graph is empty: the test would pass whatever anybody imports")
	for _, violation := range archtest.Violations(g, archtest.Table, archtest.Confined) {
		t.Error(violation)
	}
}

// madeUp is a small repository that keeps the rules; the tests below break one each.
func madeUp() archtest.Graph {
	packages := map[string]archtest.Package{}
	for path, imports := range map[string][]string{
		"m.test/saga": {"context", "m.test/data", "m.test/internal/uuid"}, "m.test/data": {"context"}, "m.test/internal/uuid": nil,
		"m.test/data/datapg": {"m.test/data", "github.com/jackc/pgx/v5/pgxpool"},
		"m.test/saga/sagafx": {"m.test/saga", "go.uber.org/fx"}, "m.test/resilience": {"github.com/failsafe-go/failsafe-go"},
		"github.com/failsafe-go/failsafe-go": {"time"}, "github.com/jackc/pgx/v5/pgxpool": nil, "go.uber.org/fx": nil, "context": nil,
	} {
		packages[path] = archtest.Package{ImportPath: path, Imports: imports}
	}
	return archtest.Graph{Module: "m.test", Packages: packages}
}

func TestAKeptArchitectureHasNoViolations(t *testing.T) {
	t.Parallel()
	require.Empty(t, archtest.Violations(madeUp(), archtest.Table, archtest.Confined))
}

func TestPlantedViolationsAreFoundWithTheirChain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant func(p map[string]archtest.Package)
		want  []string
	}{
		"sideways": {
			func(p map[string]archtest.Package) { plant(p, "m.test/data", "m.test/resilience") },
			[]string{"data → m.test/resilience: not in the row"},
		},
		"upwards": {
			func(p map[string]archtest.Package) { plant(p, "m.test/data", "m.test/data/datapg") },
			[]string{
				"data → m.test/data/datapg", "data links github.com/jackc/pgx/v5",
				"m.test/data\n\t→ m.test/data/datapg\n\t→ github.com/jackc/pgx/v5/pgxpool",
			},
		},
		"a technology in a core": {
			func(p map[string]archtest.Package) {
				plant(p, "m.test/saga", "github.com/twmb/franz-go/pkg/kgo")
			},
			[]string{"saga → github.com/twmb/franz-go/pkg/kgo", "sagas and outboxes run without Kafka"},
		},
		"grpc through a dependency of a dependency": {
			func(p map[string]archtest.Package) {
				plant(p, "github.com/failsafe-go/failsafe-go", "example.com/between")
				p["example.com/between"] = archtest.Package{Imports: []string{"google.golang.org/grpc/codes"}}
			},
			[]string{
				"resilience links google.golang.org/grpc: grpc doubles a binary",
				"m.test/resilience\n\t→ github.com/failsafe-go/failsafe-go\n\t→ example.com/between\n\t→ google.golang.org/grpc/codes",
			},
		},
		"fx in a test of a core": {
			func(p map[string]archtest.Package) {
				saga := p["m.test/saga"]
				saga.XTestImports = []string{
					"testing", "github.com/stretchr/testify/require", "m.test/saga/sagatest", "m.test/saga/sagafx", "go.uber.org/fx/fxtest",
				}
				p["m.test/saga"] = saga
			},
			[]string{"saga (its tests) → m.test/saga/sagafx", "saga (its tests) → go.uber.org/fx/fxtest"},
		},
		"an internal package that knows the house": {
			func(p map[string]archtest.Package) { plant(p, "m.test/internal/uuid", "m.test/data") },
			[]string{"internal/uuid → m.test/data"},
		},
		"a technology in an internal part of a core": {
			func(p map[string]archtest.Package) {
				p["m.test/saga/internal/wal"] = archtest.Package{ImportPath: "m.test/saga/internal/wal", Imports: []string{"modernc.org/sqlite"}}
			},
			[]string{"saga/internal/wal → modernc.org/sqlite: not in the row of \"saga\""},
		},
		"a room on no floor": {
			func(p map[string]archtest.Package) {
				p["m.test/util"] = archtest.Package{ImportPath: "m.test/util"}
			},
			[]string{"util has no row in the import table"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := madeUp()
			c.plant(g.Packages)
			found := archtest.Violations(g, archtest.Table, archtest.Confined)
			require.NotEmpty(t, found)
			for _, want := range c.want {
				require.Condition(t, func() bool { return containsPart(found, want) }, "%q is not in %q", want, found)
			}
		})
	}
}
