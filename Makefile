# What to type: make run, make test, make bench. The rest is parts of those.

GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BUILDFLAGS = -ldflags '-s -w -X midge/api.Version=$(VERSION)'
# One way of building for all that is built, programs and what the tests build: each package
# is compiled once, and once more for the race detector.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath)
SUDO       = $(if $(filter 0,$(shell id -u)),,sudo)
ROOT       = $(SUDO) env "PATH=$$PATH" "GOFLAGS=$$GOFLAGS"

.PHONY: run test test-kubernetes test-on-cluster cluster check bench bench-kubernetes chaos soak build completions manual dist deps deps-run deps-kubernetes fuzz install clean

# Starts a server on a temporary data directory and executes examples/hello on it.
run: deps-run build
	@$(SUDO) examples/hello/run

# Everything: formatting, vet, staticcheck, unit, CLI and end-to-end tests with real containers
# and on a real cluster of one node, whose programs are built the first time, and each fuzz
# target for a second. The packages that take longest begin first, and the others run beside them.
test: deps deps-kubernetes build check cluster
	$(ROOT) $(GO) test -race -tags cluster -timeout 20m ./test/endtoend ./runtime/runc ./runtime/kubernetes ./...
	$(MAKE) fuzz FUZZTIME=1s

# Of those the tests on a cluster alone: test/cluster.
test-kubernetes: deps deps-kubernetes cluster
	$(ROOT) test/cluster/with.sh $(MAKE) test-on-cluster

# The same on a cluster that is up, which MIDGE_TEST_CLUSTER names.
test-on-cluster:
	$(GO) test -race -tags cluster -timeout 20m ./agent/pod ./runtime/kubernetes
	$(GO) test -race -tags cluster -timeout 20m -run Kubernetes ./test/endtoend

cluster:
	@$(ROOT) test/cluster/build.sh >/dev/null
	@$(ROOT) test/cluster/enforce.sh >/dev/null

check:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'd: $$unformatted"; exit 1; }
	CGO_ENABLED=0 $(GO) vet -tags cluster ./...
	CGO_ENABLED=0 $(GO) run ./test/typecheck ./cmd/midge darwin windows
	CGO_ENABLED=0 $(GO) tool staticcheck -tags cluster ./...

# The budgets, as ratios in one run; see docs/benchmarks.md.
bench: deps build
	$(ROOT) $(GO) run ./test/bench

# What a cluster's pods cost beside bare ones; see docs/benchmarks.md.
bench-kubernetes: deps deps-kubernetes build cluster
	$(ROOT) $(GO) run ./test/bench -kubernetes

# A server that is killed, and a disk that fails; see docs/reliability.md.
chaos: deps
	$(ROOT) $(GO) test ./test/chaos -count=1 -v -timeout 30m

# Many builds with aborts, hijacks and kills of the server, after which nothing is left
# but what there was before; see docs/reliability.md.
BUILDS ?= 2000
SEED   ?= 1
soak: deps
	$(ROOT) $(GO) test ./test/soak -count=1 -v -timeout 6h -args -builds=$(BUILDS) -seed=$(SEED) -running=100

build:
	CGO_ENABLED=0 $(GO) build $(BUILDFLAGS) -o bin/ ./cmd/...

# What the tests need besides Go; what a server needs is deps-run.
DEPS_RUN = runc git containernetworking-plugins nftables iproute2
DEPS     = $(DEPS_RUN) ca-certificates crun procps rsync jq bash-completion zsh fish \
           nginx-light iptables busybox-static curl uidmap docker-registry skopeo vim-tiny less tmux \
           qemu-system-x86 cpio e2fsprogs systemd chromium

deps-run:
	@test/install $(DEPS_RUN)

deps-kubernetes:
	@test/install containerd openssl buildah

# The emulated machine's kernel is fetched by the test that boots it, which needs apt's lists.
deps:
	@test/install $(DEPS)
	@apt-cache show linux-image-cloud-amd64 >/dev/null 2>&1 || $(SUDO) apt-get update -qq
	$(GO) mod download

# Each fuzz target for a short time.
FUZZTIME ?= 5s
fuzz:
	@test/fuzz $(FUZZTIME)

# The scripts that complete command lines, from the commands as they are.
completions: build
	bin/midge completion bash >completions/midge.bash
	bin/midge completion zsh >completions/_midge
	bin/midge completion fish >completions/midge.fish
	bin/midge completion powershell >completions/midge.ps1

# The manual, from the commands' help.
manual:
	$(GO) test ./cmd/midge -run TestManualIsFresh -update

# What is handed out, in dist/: archives for Linux, macOS and Windows, Debian packages, and
# their checksums.
dist:
	packaging/dist $(VERSION) dist

PREFIX ?= /usr/local
SHARE   = $(DESTDIR)$(PREFIX)/share
install: build
	install -D -t $(DESTDIR)$(PREFIX)/bin bin/midge bin/midge-server bin/midge-agent
	install -D -m 644 completions/midge.bash $(SHARE)/bash-completion/completions/midge
	install -D -m 644 -t $(SHARE)/zsh/site-functions completions/_midge
	install -D -m 644 -t $(SHARE)/fish/vendor_completions.d completions/midge.fish
	install -D -m 644 -t $(SHARE)/man/man1 docs/man/*.1

clean:
	rm -rf bin dist
