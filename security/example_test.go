package security_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/security"
)

func ExamplePolicy() {
	policy := security.AnyRole("clerk", "admin").And(security.Scope("write:pets"))
	alice := security.Principal{Subject: "alice", Roles: []string{"clerk"}, Scopes: []string{"read:pets"}}

	fmt.Println(policy)
	fmt.Println(policy.Check(context.Background(), security.Principal{}, false).Reason)
	fmt.Println(policy.Check(context.Background(), alice, true).Reason)
	alice.Scopes = append(alice.Scopes, "write:pets")
	fmt.Println(policy.Check(context.Background(), alice, true).Reason)

	var forgotten security.Policy
	fmt.Println(forgotten.Check(context.Background(), alice, true).Allowed)
	// Output:
	// role(clerk|admin)+scope(write:pets)
	// anonymous
	// missing_scope
	// allowed
	// false
}

func ExampleParseLimit() {
	limit, err := security.ParseLimit("10/s burst 20")
	fmt.Println(limit.Events, limit.Per, limit.Burst, err)
	_, err = security.ParseLimit("10/m")
	fmt.Println(err)
	// Output:
	// 10 1s 20 <nil>
	// security: limit "10/m": the unit is none of s, min, h, d; write it like "30/min" or "10/s burst 20"
}

func ExampleEncodeKey() {
	fmt.Println(security.EncodeKey("a:b", "c"))
	fmt.Println(security.EncodeKey("a", "b:c"))
	// Output:
	// 3:a:b1:c
	// 1:a3:b:c
}
