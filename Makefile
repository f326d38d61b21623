# `make` prints the targets: the words after ## are their descriptions.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test build image psql check lint fmt race golden bench fuzz test-matrix clean

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s
MATRIX ?= bookworm trixie forky

# The version comes from git by -ldflags: the checkout may belong to another user, whom git distrusts.
VERSION = $(shell git -c safe.directory='$(CURDIR)' describe --tags --always --dirty 2>/dev/null || echo unknown)
export GOFLAGS := -buildvcs=false $(GOFLAGS)

# Tests take every PostgreSQL that is to be had: here, in a container, or both. Two packages at a time, because each
# runs its own PostgreSQL.
TEST_SERVER = way=$${TINYDEV_TEST_SERVER:-}; here=; \
	if [ "$$way" != container ]; then here=$$(deploy/setup); fi; \
	if [ -n "$$way" ]; then :; \
	elif [ "$$here" = docker ]; then way=container; \
	elif docker version >/dev/null 2>&1; then way=all; \
	else way=local; fi; \
	echo "tests run on: $$way (TINYDEV_TEST_SERVER)"; export TINYDEV_TEST_SERVER=$$way
GO_TEST = go test -p 2 -timeout 30m

help:
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: build ## install what is missing and start the server; ARGS="--listen …" for flags of `tinydev up`
	@way=$$(deploy/setup); \
	if [ "$$way" = docker ]; then exec deploy/run-in-docker $(ARGS); fi; \
	exec bin/tinydev up $(ARGS)

test: build ## vet and all tests, on a PostgreSQL here and, where a Docker engine answers, in containers
	@go vet ./...
	@$(TEST_SERVER); $(GO_TEST) $(ARGS) ./...

build: ## bin/tinydev, one static binary
	@deploy/setup --go
	@[ -e bin/tinydev ] || echo "building bin/tinydev (a minute or so the first time)"
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/tinydev ./cmd/tinydev

image: build ## the images of PostgreSQL with pg_cron and of the server
	@deploy/image postgres
	@deploy/image server

psql: build ## psql on the running private cluster, as yourself; ARGS="-c 'select 1'"
	@exec bin/tinydev psql -- $(ARGS)

check: lint race ## all that has to pass before a change goes in

lint: ## vet, gofmt, staticcheck
	@deploy/setup --go
	@go vet ./...
	@unformatted=$$(gofmt -l cmd pkg sql integration docs); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	@go run $(STATICCHECK) ./...

fmt: ## format the Go sources
	@gofmt -w cmd pkg sql integration docs

race: build ## all tests with the race detector; needs gcc
	@command -v $${CC:-gcc} >/dev/null || { echo "the race detector needs a C compiler: install gcc"; exit 1; }
	@$(TEST_SERVER); CGO_ENABLED=1 $(GO_TEST) -race $(ARGS) ./...

golden: build ## rewrite the golden files; the diff is the review of an API change
	@$(TEST_SERVER); \
	packages=$$(grep -rlE --include='*_test.go' 'flag\.Bool\("update"' . | xargs -r -n 1 dirname | sort -u); \
	[ -z "$$packages" ] || go test -p 2 -count=1 -run Golden $$packages -update

bench: build ## measure uploads, events and refreshes beside the bare way
	@deploy/setup >/dev/null
	@go run ./integration/bench $(ARGS)

fuzz: ## each fuzz test for FUZZTIME (30s)
	@deploy/setup --go
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | while IFS=: read -r file name; do \
		go test -run '^$$' -fuzz "^$${name#func }$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
	done

test-matrix: build ## the tests on each release of MATRIX in a container, and on each folder of TINYDEV_TEST_BINS
	@for release in $(MATRIX); do \
		echo "== image on $$release"; \
		TINYDEV_TEST_SERVER=container TINYDEV_BASE_IMAGE=tinydev-base:$$release $(GO_TEST) -count=1 $(ARGS) ./...; \
	done
	@for bin in $${TINYDEV_TEST_BINS:-}; do \
		echo "== $$bin"; \
		TINYDEV_TEST_SERVER=local TINYDEV_POSTGRES_BIN=$$bin $(GO_TEST) -count=1 $(ARGS) ./...; \
	done

clean: ## remove what was built; data directories stay
	@rm -rf bin .build extensions/pg_cron/cache
