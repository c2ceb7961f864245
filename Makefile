# Nexus Scheduler: the commands of the house. `make help` prints them.
# Everything is built below build/; the release binary is linked at bin/nexus.

BUILD_TYPE ?= RelWithDebInfo
BUILD      ?= build/release
JOBS       ?= $(shell nproc)
# The folder that `make run` works on, and where the embedded store lives.
DIR        ?= .
DATA       ?= nexus-data
# Where `make run` keeps journal and history: embedded, or redis (Redis and ClickHouse, started below DATA).
STORE      ?= embedded
NEXUS      := bin/nexus

.DEFAULT_GOAL := help
.PHONY: help setup build page page-load run test test-chdb bench peers lint fmt fmt-check sanitize digests fuzz mutants clean install

help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing (apt), saying what and why
	@tools/setup.sh

build: setup ## build the release binary at bin/nexus
	@tools/build.sh $(BUILD) $(BUILD_TYPE) nexus
	@mkdir -p bin && ln -sf ../$(BUILD)/src/nexus $(NEXUS)

page: ## build the page (web/dist) from web/src
	@TOOLS="build test" tools/setup.sh
	@tools/page.sh build

run: build ## start server, four workers and the page, and run a real job over DIR=... (STORE=redis: on Redis and ClickHouse)
	@case "$(STORE)" in \
	embedded) exec $(NEXUS) dev "$(DIR)" --data "$(DATA)" ;; \
	redis) TOOLS=stores tools/setup.sh && exec python3 tools/stores.py "$(DATA)" -- $(NEXUS) dev "$(DIR)" --data "$(DATA)" ;; \
	*) echo "make run: STORE=$(STORE) is none; it is embedded or redis" >&2; exit 2 ;; \
	esac

test: ## install, build and pass all tests
	@TOOLS="build test" tools/setup.sh
	@$(MAKE) --no-print-directory build
	@tools/build.sh $(BUILD) $(BUILD_TYPE) all
	@ctest --test-dir $(BUILD) -j$(JOBS) --output-on-failure --timeout 900

test-chdb: ## the history's tests on a current ClickHouse engine (npm package chdb, 550 MB)
	@TOOLS="build test" tools/setup.sh
	@tools/build.sh $(BUILD) $(BUILD_TYPE) conformance_test
	@tools/chdb.sh $(BUILD)

bench: ## measure: decisions, end to end, recovery, stores
	@TOOLS="build test" tools/setup.sh
	@$(MAKE) --no-print-directory build
	@tools/build.sh $(BUILD) $(BUILD_TYPE) store_bench
	@python3 tools/bench.py $(NEXUS)
	@$(BUILD)/test/bench/store_bench

peers: ## the same work through Redis Streams, beanstalkd, BullMQ and Nexus, as a table with ratios
	@TOOLS="build peers" tools/setup.sh
	@$(MAKE) --no-print-directory build
	@tools/peers.py $(NEXUS)

page-load: ## what an open page costs with 1,000 workers at 1,000 tasks/s, and how smooth it is, for MINUTES=30
	@TOOLS="build test" tools/setup.sh
	@$(MAKE) --no-print-directory build
	@tools/build.sh $(BUILD) $(BUILD_TYPE) nexus_load
	@NEXUS=$(NEXUS) NEXUS_LOAD=$(abspath $(BUILD))/test/load/nexus_load python3 test/e2e/page_load.py $(or $(MINUTES),30)

lint: ## rooms, purity, clang-tidy on what changed, clang as second compiler
	@TOOLS="build test lint" tools/setup.sh
	@tools/lint.sh

fmt: ## format the tree
	@TOOLS=lint tools/setup.sh
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 -i

fmt-check:
	@git ls-files '*.cc' '*.h' | xargs clang-format-19 --dry-run -Werror

sanitize: ## the tests under ASan+UBSan, and the threaded ones under TSan
	@TOOLS="build test" tools/setup.sh
	@tools/sanitize.sh

digests: ## the same seeds give one digest with g++ and clang, -O0 and -O2
	@TOOLS="build test lint" tools/setup.sh
	@mkdir -p build
	@tools/digests.sh

mutants: ## plant the bugs of tools/mutants.txt one by one; every one must be noticed
	@TOOLS="build test" tools/setup.sh
	@tools/mutants.py

fuzz: ## each fuzz target for SECONDS_EACH=60
	@TOOLS="build test lint" tools/setup.sh
	@tools/fuzz.sh

install: build ## install the binary, the SDK and its CMake package below PREFIX (default /usr/local)
	@cmake --install $(BUILD) --prefix $${PREFIX:-/usr/local}

clean: ## remove what was built
	rm -rf build bin
