// Package datatest is for tests that touch a database: a fresh database per test, the addresses of test servers, and
// the conformance suite that every driver of [data.DB] passes.
//
//	func TestStore(t *testing.T) {
//		for name, open := range datatest.Engines() {
//			t.Run(name, func(t *testing.T) {
//				db := open(t) // empty, private to this test, gone afterwards
//				…
//			})
//		}
//	}
//
// SQLite needs nothing. The servers are named by MMF_TEST_POSTGRES_DSN, MMF_TEST_REDIS_ADDR and
// MMF_TEST_KAFKA_BROKERS; a test that needs one that is not named is skipped aloud. With MMF_TEST_REQUIRE=1, as in
// continuous integration, a missing Postgres or Redis fails the test instead, so that a green run means that they ran.
package datatest
