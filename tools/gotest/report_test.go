package main

import (
	"strings"
	"testing"
)

const stream = `{"Action":"start","Package":"m/p"}
{"Action":"run","Package":"m/p","Test":"TestGood"}
{"Action":"output","Package":"m/p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"m/p","Test":"TestGood","Output":"--- PASS: TestGood (0.00s)\n"}
{"Action":"pass","Package":"m/p","Test":"TestGood"}
{"Action":"output","Package":"m/p","Test":"TestServer","Output":"=== RUN   TestServer\n"}
{"Action":"output","Package":"m/p","Test":"TestServer","Output":"    p_test.go:9: set MMF_TEST_REDIS_ADDR\n"}
{"Action":"output","Package":"m/p","Test":"TestServer","Output":"--- SKIP: TestServer (0.00s)\n"}
{"Action":"skip","Package":"m/p","Test":"TestServer"}
{"Action":"output","Package":"m/p","Test":"TestBad","Output":"    p_test.go:12: broken\n"}
{"Action":"output","Package":"m/p","Test":"TestBad","Output":"--- FAIL: TestBad (0.00s)\n"}
{"Action":"fail","Package":"m/p","Test":"TestBad"}
{"Action":"output","Package":"m/p","Test":"TestPanics","Output":"panic: here\n"}
{"Action":"output","Package":"m/p","Output":"FAIL\tm/p\t0.1s\n"}
{"Action":"fail","Package":"m/p"}
{"Action":"output","Package":"m/q","Output":"?   \tm/q\t[no test files]\n"}
{"Action":"skip","Package":"m/q"}
go: a complaint
`

func TestReportShowsFailuresAndSkipsAndHidesTheRest(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := newReport(&out, false)
	if err := readEvents(strings.NewReader(stream), r); err != nil {
		t.Fatal(err)
	}
	r.summary()
	want := `    p_test.go:12: broken
--- FAIL: TestBad (0.00s)
panic: here
FAIL	m/p	0.1s
go: a complaint

tests: 1 passed, 1 failed, 1 skipped; packages without tests: 1
NOT RUN: p.TestServer: set MMF_TEST_REDIS_ADDR
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestVerboseAddsTheResultOfEachTest(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := readEvents(strings.NewReader(stream), newReport(&out, true)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"--- PASS: TestGood (0.00s)\n", "--- SKIP: TestServer (0.00s)\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q in:\n%s", line, out.String())
		}
	}
}

func TestExitStatusIsThatOfGoTest(t *testing.T) {
	t.Parallel()
	var out, complaints strings.Builder
	if status, _ := run([]string{"./nowhere"}, &out, &complaints); status == 0 {
		t.Errorf("a package that does not exist passed: %s%s", out.String(), complaints.String())
	}
}
