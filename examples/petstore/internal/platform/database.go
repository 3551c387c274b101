package platform

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/inbox"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/service"
)

// openDB opens the service's own database. No service ever sees another's.
func (s *Service) openDB(ctx context.Context) error {
	db, err := s.Settings.DB.open(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	s.DB = db
	s.OnClose("database", db.Close)
	if err := s.Shell.Health().Add(observability.Check{Name: "database", Probe: db.Ping}); err != nil {
		return err
	}
	s.Outbox, err = outbox.New(outbox.Config{Source: "petstore/" + s.Name, Inject: s.Telemetry.Inject})
	if err != nil {
		return err
	}
	s.Inbox, err = inbox.New(inbox.Config{Failed: s.failed("inbox")})
	if err != nil {
		return err
	}
	if err := migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}); err != nil {
		return err
	}
	if err := migrate.Up(ctx, db, inbox.Migrations(), migrate.Config{Name: inbox.MigrationsName}); err != nil {
		return err
	}
	return s.Shell.Add(service.Component{Name: "inbox", Run: func(ctx context.Context) error { return s.Inbox.Run(ctx, db) }})
}

func (s DBSettings) open(ctx context.Context, name string) (data.DB, error) {
	if s.Driver == "sqlite" {
		if s.Dir == "" {
			return nil, errors.New("db.dir is not set: use --data DIR")
		}
		return datasqlite.Open(ctx, datasqlite.Config{Path: filepath.Join(s.Dir, name+".db")})
	}
	if dsn, ok := s.DSNs[name]; ok {
		return datapg.Open(ctx, datapg.Config{DSN: dsn.Reveal(), MaxConns: s.MaxConns, ApplicationName: "petstore/" + name})
	}
	database := s.NamePrefix + name
	if s.Create {
		if err := createDatabase(ctx, s.DSN.Reveal(), database); err != nil {
			return nil, err
		}
	}
	dsn, err := withDatabase(s.DSN.Reveal(), database)
	if err != nil {
		return nil, err
	}
	return datapg.Open(ctx, datapg.Config{DSN: dsn, MaxConns: s.MaxConns, ApplicationName: "petstore/" + name})
}

// withDatabase points a DSN at another database of the same server.
func withDatabase(dsn, database string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		// The parser's own error quotes the DSN, which is a secret.
		return "", errors.New("db.dsn must have the form postgres://user:password@host:port/database; or set db.dsns for each service")
	}
	u.Path = "/" + database
	return u.String(), nil
}

var databaseName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// createDatabase makes a database that does not exist. CREATE DATABASE takes no parameter, hence the strict name.
func createDatabase(ctx context.Context, dsn, database string) error {
	if !databaseName.MatchString(database) {
		return fmt.Errorf("db.name_prefix: %q is no name for a database; use lower-case letters, digits and underscores", database)
	}
	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn, MaxConns: 2})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var there bool
	if err := db.QueryRow(ctx, `select exists (select 1 from pg_database where datname = $1)`, database).Scan(&there); err != nil || there {
		return err
	}
	_, err = db.Exec(ctx, `create database `+database)
	var refused *data.Error
	if errors.As(err, &refused) && (refused.Code == "42P04" || refused.Kind == data.KindUnique) {
		return nil // another process was faster
	}
	return err
}
