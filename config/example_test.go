package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/marty-framework/mmf/config"
)

type shop struct {
	HTTP struct {
		Addr    string `reload:"no"`
		Timeout time.Duration
	}
	DB struct{ DSN config.Secret }
}

func Example() {
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "base.yaml")
	save := func(text string) { _ = os.WriteFile(file, []byte(text), 0o600) }
	save("http:\n  timeout: 2s\n")

	var defaults shop
	defaults.HTTP.Addr = ":8080"
	store, err := config.Load(context.Background(), defaults, config.Options{
		Files:     []config.File{{Path: file}},
		EnvPrefix: "SHOP_",
		Environ:   []string{"SHOP_DB_DSN=postgres://shop:hunter2@db/shop"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range store.Origins() {
		fmt.Println(s.Key, "=", s.Value, "from", s.Origin.Kind)
	}

	timeout := config.View(store, func(s shop) time.Duration { return s.HTTP.Timeout })
	save("http:\n  timeout: soon\n")
	if err := store.Reload(context.Background()); err != nil { // Run does this when the file changes
		fmt.Println("refused; still", timeout.Get())
	}
	save("http:\n  timeout: 3s\n")
	fmt.Println(store.Reload(context.Background()), timeout.Get())
	// Output:
	// db.dsn = [redacted] from env
	// http.addr = :8080 from default
	// http.timeout = 2s from file
	// refused; still 2s
	// <nil> 3s
}
