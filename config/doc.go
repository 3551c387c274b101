// Package config gives a service its settings as one typed value: loaded from layers, checked as a whole, exchanged at
// run time as a whole, or not at all.
//
//	type Settings struct {
//		HTTP struct {
//			Addr    string        `reload:"no"`
//			Timeout time.Duration
//		}
//		DB struct{ DSN config.Secret }
//	}
//
//	store, err := config.Load(ctx, defaults, config.Options{
//		Files:     []config.File{{Path: "config/base.yaml"}, {Path: "config/env/prod.yaml"}},
//		EnvPrefix: "SHOP_",                                  // SHOP_DB_DSN
//		Overrides: os.Args[1:],                            // http.timeout=2s
//	})
//	…
//	timeout := store.Get().HTTP.Timeout
//
// # Layers
//
// From the weakest: the defaults given to [Load], the files in their order, environment variables, overrides. Mappings
// are merged key by key; a list replaces the list below it. [Store.Origins] tells for each key its value and where it
// comes from.
//
// # Keys
//
// A field's key is its name in snake case (MaxBody: max_body, DSN: dsn), or what the tag `config:"key"` says;
// `config:"-"` leaves a field out; an embedded struct without a tag lends its fields to the struct around it. Fields are
// bool, integers, floats, string, [time.Duration] ("5s"), [Secret], types with UnmarshalText, and structs, slices and
// maps with string keys of those. Sizes are integers.
//
// # Strictness
//
// A file is refused for unknown keys (with a suggestion), duplicate keys, values of another type (a number where a string
// belongs must be quoted), merge keys, a second document, no content at all, and for exceeding limits of size, depth and
// number of nodes after the expansion of aliases. The [*Error] lists all problems with file, line and key. Then each
// struct with a method Validate() error is asked, the innermost first.
//
// # Reload
//
// [Store.Run] watches the directories of the files. When the content changed and rests, everything is loaded again,
// validated, put to the vote of [Store.Subscribe], and swapped in by one atomic store, or refused with the running value
// kept. [Store.Reloads] and [Hooks] tell of both. A field with the tag `reload:"no"` keeps its value until a restart, and
// the reload says so. A file that is written in place can be seen half written; when that half is valid by itself,
// nothing can tell. Replace files by renaming.
//
// # What it does not do
//
// No remote sources, no writing of files, no process-wide registry. Environment variables are read once.
package config
