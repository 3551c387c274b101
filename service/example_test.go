package service_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

type GetPet struct {
	ID string `path:"id" json:"-"`
}

type Pet struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// A whole service: one route, started, called and drained. In a program the context comes from signal.NotifyContext.
func Example() {
	tel, err := observability.New(observability.Config{Service: "pets", LogWriter: io.Discard})
	if err != nil {
		panic(err)
	}
	svc, err := service.New(service.Config{Name: "pets", Addr: "127.0.0.1:0", Drain: service.DrainBudget{Linger: -1}},
		service.Deps{Telemetry: tel})
	if err != nil {
		panic(err)
	}
	err = svc.Handle(service.Route{
		Pattern: "GET /pets/{id}", Operation: "get-pet", Policy: security.Public(),
		Handler: service.JSON(func(ctx context.Context, in GetPet) (Pet, error) {
			if in.ID != "7" {
				return Pet{}, service.NewProblem(http.StatusNotFound, "There is no such pet.")
			}
			return Pet{ID: in.ID, Name: "Buddy"}, nil
		}),
	})
	if err != nil {
		panic(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	if err := svc.Listen(ctx); err != nil {
		panic(err)
	}
	ended := make(chan error)
	go func() { ended <- svc.Run(ctx) }()

	resp, err := http.Get("http://" + svc.Addr() + "/pets/7")
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Print(resp.Status, " ", string(body))

	stop()
	fmt.Println("drained:", <-ended)
	for _, phase := range svc.Report().Phases {
		fmt.Println("-", phase.Name)
	}
	// Output:
	// 200 OK {"id":"7","name":"Buddy"}
	// drained: <nil>
	// - not ready
	// - stop ingress
	// - finish work
	// - flush telemetry
	// - close clients
}
