# One build makes every program, and one binary serves every network: the
# network is chosen at run time with --network (params.Network), so the guide's
# `make deps` and `make nerpanet` are the same build.

GO       ?= go
BIN      := bin
PROGRAMS := venus venus-auth venus-wallet venus-messager venus-sealer venus-worker venus-miner venus-cluster
FUZZTIME ?= 10s
# DATA and PORT_BASE choose the cluster that up, down and status work on.
CLUSTER  := $(BIN)/venus-cluster
CLUSTER_FLAGS := $(if $(DATA),--data $(DATA)) $(if $(PORT_BASE),--port-base $(PORT_BASE))

.PHONY: all build up down status test check bench fuzz conformance deps nerpanet clean

all: build

build:
	@mkdir -p $(BIN)
	$(GO) build -o $(BIN)/ $(addprefix ./cmd/,$(PROGRAMS))

# deps fetches the modules ahead of time; build would do it anyway.
deps:
	$(GO) mod download

nerpanet: build

up: build
	$(CLUSTER) up $(CLUSTER_FLAGS)

down:
	$(CLUSTER) down $(CLUSTER_FLAGS)

status:
	$(CLUSTER) status $(CLUSTER_FLAGS)

# test is what has to be green before anything lands.
# The end-to-end tests come last and alone: their clusters and nodes live in real time.
test: build
	$(GO) vet ./...
	$(GO) test -timeout 10m $$($(GO) list ./... | grep -v -e /test/e2e -e /test/faultnet)
	VENUS_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 12m ./test/e2e
	VENUS_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test -timeout 12m ./test/faultnet

# check is the quick round while working: format, vet, the house rules.
check:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt on these"; exit 1; }
	$(GO) vet ./...
	$(GO) test -run 'TestRules' .

# bench measures, and beside our machine the one that made the recorded chains (ChainSteps, in a module of its own).
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
	cd test/reference && $(GO) test -run '^$$' -bench . -benchmem .

# fuzz tries every fuzz target for FUZZTIME; little of it goes into making inputs small, which would eat the most.
fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
	  done; \
	done

# conformance compares with data that nobody here wrote and prints the counts.
conformance:
	$(GO) run ./internal/conformance

clean:
	rm -rf $(BIN)
