package sagacodec_test

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagacodec"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// Account is a state that came in with a password.
type Account struct{ Mail, Password, Hash string }

// A definition says what is sensitive; the engine's codec encrypts it before it reaches the database.
func Example() {
	def := saga.Define("sign-up", 1,
		saga.Step("hash-password", func(_ saga.Ctx, a Account) (string, error) { return "hash of " + a.Password, nil }).
			Into(func(a *Account, hash string) { a.Hash = hash }).
			Sensitive(),
		saga.Step("greet", func(_ saga.Ctx, a Account) (string, error) { return "mail to " + a.Mail, nil }),
	).Sensitive() // the input

	key := make([]byte, sagacodec.KeySize)
	_, _ = rand.Read(key) // yours comes from where your secrets are
	ring, err := sagacodec.New(sagacodec.Config{Current: "2026-11", Keys: map[string][]byte{"2026-11": key}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	store, err := sagasqlite.New(ctx, db)
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := saga.New(saga.Config{Codec: ring}, store, def)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- engine.Run(ctx) }()
	run, err := def.Start(ctx, engine, "ann", Account{Mail: "ann@example.org", Password: "correct horse"})
	if err != nil {
		fmt.Println(err)
		return
	}
	account, err := run.Result(ctx)
	fmt.Println(account.Hash, err)

	history, err := engine.History(ctx, "ann") // as an operator sees it; engine.Reveal shows all
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range history {
		fmt.Println(r.Kind, r.Node, string(r.Payload))
	}
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// hash of correct horse <nil>
	// started  "[sensitive]"
	// done hash-password "[sensitive]"
	// done greet "mail to ann@example.org"
	// stopped: <nil>
}

// A key is exchanged in three moves, none of which needs a restart.
func ExampleRing_Replace() {
	old, fresh := make([]byte, sagacodec.KeySize), make([]byte, sagacodec.KeySize)
	_, _ = rand.Read(old)
	_, _ = rand.Read(fresh)
	ring, err := sagacodec.New(sagacodec.Config{Current: "2025", Keys: map[string][]byte{"2025": old}})
	if err != nil {
		fmt.Println(err)
		return
	}
	place := saga.PayloadInfo{Saga: "sign-up@1", Seq: 2, Kind: "done", Step: "hash-password"}
	written, err := ring.Encode([]byte(`"secret"`), place)
	if err != nil {
		fmt.Println(err)
		return
	}
	both := map[string][]byte{"2025": old, "2026": fresh}
	fmt.Println("every process can read both:", ring.Replace(sagacodec.Config{Current: "2025", Keys: both}))
	fmt.Println("every process writes the new one:", ring.Replace(sagacodec.Config{Current: "2026", Keys: both}))
	plain, err := ring.Decode(written, place)
	fmt.Println(string(plain), err)
	fmt.Println("after the retention:", ring.Replace(sagacodec.Config{Current: "2026", Keys: map[string][]byte{"2026": fresh}}))
	_, err = ring.Decode(written, place)
	fmt.Println(err)
	// Output:
	// every process can read both: <nil>
	// every process writes the new one: <nil>
	// "secret" <nil>
	// after the retention: <nil>
	// sagacodec: the payload was encrypted under key "2025", which this ring does not have; put it back until no saga that was written under it is remembered
}
