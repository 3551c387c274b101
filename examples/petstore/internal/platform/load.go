package platform

import (
	"context"
	"path/filepath"

	"github.com/marty-framework/mmf/config"
)

// EnvPrefix is what environment variables with settings begin with: MMF_PETSTORE_DB_DSN sets db.dsn.
const EnvPrefix = "MMF_PETSTORE_"

// Load reads the settings: [Defaults] < dir/base.yaml < dir/env/<env>.yaml < environment variables < overrides, which
// are key=value pairs of the command line. Unknown keys are errors that name file, line and the nearest key.
func Load(ctx context.Context, dir, env string, overrides ...string) (*config.Store[Settings], error) {
	return config.Load(ctx, Defaults(), config.Options{
		Files: []config.File{
			{Path: filepath.Join(dir, "base.yaml")},
			{Path: filepath.Join(dir, "env", env+".yaml")},
		},
		EnvPrefix: EnvPrefix,
		Overrides: append([]string{"env=" + env}, overrides...),
	})
}
