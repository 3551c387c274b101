package issuer

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// ErrProd says that the development issuer shall not run here.
var ErrProd = errors.New("the development issuer gives anybody's token to anybody and does not run when env is prod: " +
	"set auth.issuer to a real one and choose the other services with --services")

// Users are the people of the shop, with their roles.
func Users() map[string][]string {
	customer := []string{platform.RoleCustomer}
	return map[string][]string{"alice": customer, "bob": customer, "carol": customer, "admin": {platform.RoleAdmin}}
}

// Build adds the issuer to a service. Keys are kept beside the databases; where there is no data folder they live as long as the
// process, and users fetch new tokens after a restart.
func Build(_ context.Context, s *platform.Service) error {
	if s.Settings.Env == platform.EnvProd {
		return ErrProd
	}
	url := s.Settings.Auth.Issuer
	if url == "" {
		var err error
		if url, err = s.URL("issuer"); err != nil {
			return err
		}
	}
	path := ""
	if s.Settings.DB.Dir != "" {
		path = filepath.Join(s.Settings.DB.Dir, "issuer-keys.json")
	}
	keys, err := OpenKeys(path, max(UserLifetime, ServiceLifetime))
	if err != nil {
		return err
	}
	i, err := New(Config{
		URL: url, Audience: s.Settings.Auth.Audience, Users: Users(),
		Clients: platform.Services(), Secret: s.Settings.Auth.ClientSecret.Reveal,
	}, keys)
	if err != nil {
		return err
	}
	return s.Shell.Handle(i.Routes()...)
}
