# What CI runs, a person runs: .ci/run calls these targets. Tools are pinned in tools/go.mod and built once, into a folder
# of the user's cache whose name changes with tools/go.sum; nothing is built into the tree.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

GO ?= go
CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/mmf
LINT_DIR := $(CACHE)/lint-$(shell cat tools/go.sum tools/go.mod | cksum | tr ' ' '-')
LINT := $(LINT_DIR)/golangci-lint
BIN := $(CACHE)/bin-$(shell pwd | cksum | cut -d' ' -f1)

# What to test, and further flags: make test PKG=./saga/... TESTFLAGS='-run TestEngine -count 10'
PKG ?= ./...
TESTFLAGS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: test
test: tools ## all tests with -race beside real PostgreSQL, Redis and Kafka; PKG=./saga/... narrows, TESTFLAGS adds flags
	@$(BIN)/withservers -- $(BIN)/gotest $(if $(CI),-v) -race -timeout 10m $(TESTFLAGS) $(PKG)

.PHONY: test-long
test-long: tools ## the same with the long seeds, loops and schedules of a night
	@MMF_TEST_LONG=1 $(BIN)/withservers -- $(BIN)/gotest -race -timeout 4h $(TESTFLAGS) $(PKG)

.PHONY: test-tools
test-tools: tools ## the tests of the tools themselves
	@$(BIN)/gotest -dir tools $(if $(CI),-v) -race -timeout 10m ./...

.PHONY: test-bench
test-bench: tools ## the tests of bench/: every contender once, and what refuses a figure
	@env -u MMF_TEST_POSTGRES_DSN $(BIN)/withservers -only postgres -count-statements -- \
		$(BIN)/gotest -dir bench $(if $(CI),-v) -timeout 10m ./...

.PHONY: bench
bench: ## ten runs of every benchmark, through benchstat
	@$(GO) test -run '^$$' -bench . -benchmem -count 10 $(PKG) | tee "$${TMPDIR:-/tmp}/mmf-bench.txt"
	@$(GO) tool -modfile=tools/go.mod benchstat "$${TMPDIR:-/tmp}/mmf-bench.txt"

# A server of its own, whatever the environment offers; the ratios come last, after what withservers has to say.
.PHONY: bench-saga
bench-saga: tools ## one saga through MMF, DBOS, River and by hand, on one PostgreSQL and on SQLite (8 minutes); BENCHFLAGS='-only mmf,dbos -rounds 1'
	@$(GO) build -C bench -buildvcs=auto -o $(BIN)/bench-saga .
	@env -u MMF_TEST_POSTGRES_DSN $(BIN)/withservers -only postgres -require -count-statements -- $(BIN)/bench-saga $(BENCHFLAGS) | \
		awk '/^ratio / { last = last $$0 "\n"; next } { print; fflush() } END { printf "%s", last }'

.PHONY: bench-readme
bench-readme: ## write what BENCHFLAGS='-json bench/results.json' found into the READMEs' tables
	@$(GO) run -C bench . -table results.json -into README.md,../README.md

.PHONY: bench-allocs
bench-allocs: ## heap allocations of the engine per plain step, on the memory store
	@$(GO) -C bench test -run '^$$' -bench PlainStep -benchtime 20000x .

.PHONY: demo
demo: ## the petstore's stories, with their assertions, on embedded servers
	@$(GO) run ./examples/petstore demo saga

.PHONY: first-run
first-run: tools ## what a newcomer is promised: ready in 2 s, under 150 MB, Ctrl-C in 2 s with a report
	@$(GO) build -o $(BIN)/petstore ./examples/petstore
	@$(BIN)/firstrun $(BIN)/petstore

.PHONY: demo-servers
demo-servers: tools ## the same stories on a private PostgreSQL, Redis and Apache Kafka
	@$(BIN)/withservers -- sh -c 'if [ -z "$$MMF_TEST_KAFKA_BROKERS" ]; then \
		echo "NOT RUN: the demo on real servers, for want of a Kafka broker"; exit 0; fi; \
		export MMF_PETSTORE_DB_DSN=$$MMF_TEST_POSTGRES_DSN MMF_PETSTORE_REDIS_ADDR=$$MMF_TEST_REDIS_ADDR \
			MMF_PETSTORE_KAFKA_BROKERS=$$MMF_TEST_KAFKA_BROKERS; \
		$(GO) run ./examples/petstore demo saga --env servers'

.PHONY: fmt
fmt: $(LINT) ## format every Go file
	@$(LINT) fmt ./...
	@cd tools && $(LINT) fmt ./...
	@cd bench && $(LINT) fmt ./...

.PHONY: check
check: lint tidy-check arch ## format, vet, staticcheck, linters, import table, budgets, docs, tidy modules, README code

.PHONY: lint
lint: fmt-check vet golangci ## gofumpt, vet, staticcheck and the linters of .golangci.yml (make -k shows all at once)

.PHONY: fmt-check
fmt-check: $(LINT)
	@$(LINT) fmt --diff ./...
	@cd tools && $(LINT) fmt --diff ./...
	@cd bench && $(LINT) fmt --diff ./...

.PHONY: vet
vet:
	@$(GO) vet ./...
	@$(GO) -C tools vet ./...
	@$(GO) -C bench vet ./...

.PHONY: golangci
golangci: $(LINT)
	@$(LINT) run ./...
	@cd tools && $(LINT) run ./...
	@cd bench && $(LINT) run ./...

.PHONY: tidy-check
tidy-check: ## go.mod and go.sum of each module are what "go mod tidy" would write
	@$(GO) mod tidy -diff
	@$(GO) -C tools mod tidy -diff
	@$(GO) -C bench mod tidy -diff

.PHONY: arch
arch: ## the import table, dependency budgets, comments on exported symbols, README code
	@MMF_CHECK_BUDGETS=1 $(GO) test -count=1 ./internal/archtest/...

.PHONY: budgets
budgets: ## measure modules, packages and bytes per public package; rewrites docs/budgets and the README's table
	@$(GO) test -count=1 ./internal/archtest -run TestBudgets -update
	@$(GO) test -count=1 ./internal/archtest -run TestREADME -update

.PHONY: readme
readme: ## copy the compiled code that README.md shows into it
	@$(GO) test -count=1 ./internal/archtest -run TestREADMEShowsCompiledCode -update

.PHONY: consume
consume: tools ## build a stranger's module that imports each public package from a packed copy of HEAD
	@$(BIN)/consume

.PHONY: rename
rename: tools ## give the module another path: make rename MODULE=example.com/x/y
	@test -n "$(MODULE)" || { echo 'say where to: make rename MODULE=example.com/x/y' >&2; exit 2; }
	@$(BIN)/rename $(MODULE)

.PHONY: vuln
vuln: ## known vulnerabilities in what we link (needs the vulnerability database; VULNDB=file:///… for a copy)
	@$(GO) tool -modfile=tools/go.mod govulncheck $(if $(VULNDB),-db $(VULNDB)) ./...

.PHONY: deadcode
deadcode: ## functions that no program or test reaches
	@$(GO) tool -modfile=tools/go.mod deadcode -test ./...

# Our own small programs: go build decides whether there is anything to do.
.PHONY: tools
tools:
	@$(GO) build -C tools -o $(BIN)/ ./withservers ./gotest ./consume ./rename ./firstrun

# The linter takes minutes to build on a small machine, so it is kept; built aside and moved, since two makes may race.
$(LINT):
	@echo "building golangci-lint into $(LINT_DIR) (once; some minutes)" >&2
	@mkdir -p $(LINT_DIR)
	@$(GO) build -C tools -ldflags='-s -w' -o $@.$$$$ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $@.$$$$ $@
