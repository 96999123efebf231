# All commands of the project. `make check` is what CI runs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The interpreter that makes .venv; override with `make PYTHON=...`.
PYTHON = $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
# CI gives --locked: Cargo.lock must be up to date.
CARGO_FLAGS ?=

# Everything runs in the project's own environment, whichever is active outside.
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH

ENVIRONMENT := .venv/.installed
EXTENSION := python/rivers/_rivers.abi3.so
RUST := $(shell find rust -name fuzz -prune -o -type f -not -name '.*' -print 2>/dev/null) Cargo.toml Cargo.lock

.PHONY: help .venv build wheel new-user demo test test-rust test-python test-postgres simulate torture soak torture-postgres torture-ray check docs docs-serve lint types guard profile bench bench-peers fmt lock clean

help: ## Show this list
	@grep -hE '^[a-z.][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/^([^:]+):.*## (.*)/\1|\2/' \
		| while IFS='|' read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

.venv: $(ENVIRONMENT) ## Make the development environment, if it is missing or out of date

$(ENVIRONMENT): pyproject.toml requirements-dev.lock
	@test -n '$(PYTHON)' || { echo 'rivers needs Python 3.11 or newer: make PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	python -m pip install --quiet --disable-pip-version-check 'pip>=25.1' # maturin asks it for groups
	python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	touch $@

build: $(EXTENSION) ## Build the extension into .venv, if its sources have changed

# Python sources are used where they are, so only Rust needs a build.
$(EXTENSION): $(ENVIRONMENT) $(RUST)
	maturin develop --release --quiet $(CARGO_FLAGS)
	touch $@

demo: build ## Run the examples on real data
	@echo '== A year of flights: odd data fails, is corrected and rerun =='
	@python examples/flights.py
	@rivers list --storage data/flights/rivers.db
	@echo '== The first backfill as a map: rivers grid ID =='
	@rivers grid "$$(rivers list --storage data/flights/rivers.db --json | python -c \
		'import json, sys; print(next(row["backfill_id"] for row in json.load(sys.stdin) if row["failed"]))')" \
		--storage data/flights/rivers.db
	@echo '== Hours, days and running totals, each run as soon as its dependencies have ended =='
	@python examples/weather.py
	@echo '== Hours in UTC on the days of three time zones =='
	@python examples/time_zones.py

test: test-rust test-python test-postgres ## Run all tests

test-rust: $(ENVIRONMENT)
	if cargo nextest --version >/dev/null 2>&1; \
		then cargo nextest run -p rivers-core --features failpoints $(CARGO_FLAGS); \
		else cargo test -p rivers-core --features failpoints --lib --tests $(CARGO_FLAGS); fi
	python tests/postgres_server.py cargo test -p rivers-core --test store_postgres $(CARGO_FLAGS)
	cargo test --doc -p rivers-core $(CARGO_FLAGS)

# Two processes execute tests: most of these wait for a process of their own, or for a disk.
TWO_AT_A_TIME := -n 2 --dist loadgroup --no-loadscope-reorder

# CI's machines are busy: there, tests that failed are printed and run once more by themselves. A fault repeats.
test-python: build
	python -m pytest $(TWO_AT_A_TIME) || { [ $$? -eq 1 ] && [ -n "$$CI" ] && python -m pytest --last-failed --last-failed-no-failures none; }

# The tests that use a storage most. Of others: make test-postgres SERVER_TESTS=tests/execution
SERVER_TESTS ?= tests/assets tests/planning tests/policies tests/repository tests/status tests/test_client.py \
	tests/storage/test_events.py tests/storage/test_storage.py tests/cli/test_control.py tests/cli/test_database_copies.py \
	tests/execution/test_pools.py tests/execution/test_run_queue.py tests/execution/test_skips.py

test-postgres: build ## Run tests with their storages in a PostgreSQL server; SERVER_TESTS=... chooses them
	RIVERS_TEST_STORAGE=postgres python -m pytest $(TWO_AT_A_TIME) $(SERVER_TESTS) || \
		{ [ $$? -eq 1 ] && [ -n "$$CI" ] && RIVERS_TEST_STORAGE=postgres python -m pytest --last-failed --last-failed-no-failures none; }

simulate: ## Simulate the engine with a million seeds; SEED=... is the first
	SIMULATIONS=1000000 SIMULATION_SEED=$(or $(SEED),0) cargo test --release -p rivers-core --features failpoints \
		$(CARGO_FLAGS) --test simulation -- --nocapture every_seed

torture: build ## Kill backfills a thousand times; SEED=... repeats what was printed
	python tests/durability/torture.py --kills 1000 $(if $(SEED),--seed $(SEED))

soak: build ## Run everything at once for an hour, and plot what it uses; MINUTES=... is another length
	python benches/soak.py --minutes $(or $(MINUTES),60)

torture-postgres: build ## Strike backfills over a server with a thousand faults; SEED=... repeats what was printed
	python tests/durability/torture_postgres.py --faults 1000 $(if $(SEED),--seed $(SEED))

torture-ray: build ## Kill and freeze 100 workers and nodes of a Ray cluster; SEED=... repeats what was printed
	RAY_FAULTS=100 $(if $(SEED),RAY_SEED=$(SEED)) python -m pytest tests/ray/test_random_faults.py -q -s

lint: $(ENVIRONMENT) ## Check format and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	ruff format --check
	ruff check

types: build ## Check types, and the stubs against the binary
	mypy
	python tests/contract/stubtest.py

check: ## All that CI checks: lints, types, the documentation, tests, all examples, the demo
	$(MAKE) lint
	$(MAKE) types
	$(MAKE) docs
	$(MAKE) test
	$(MAKE) demo
	$(MAKE) new-user

wheel: $(ENVIRONMENT) ## Build the wheel for this system into dist/
	rm -f dist/rivers-*.whl
	maturin build --release --quiet $(CARGO_FLAGS) --out dist

new-user: wheel ## Go from an install to a rerun, in a fresh environment
	bash tests/new_user.sh dist/rivers-*.whl

# The theme's notice about its successor is no warning of ours.
docs docs-serve: export NO_MKDOCS_2_WARNING := 1

docs: $(ENVIRONMENT) ## Build the documentation into site/
	mkdocs build --strict

docs-serve: $(ENVIRONMENT) ## Show the documentation while it is written
	mkdocs serve --strict

bench: build ## Measure
	python -m pytest benches --benchmark-only --ignore benches/peers

guard: build ## Compare the instructions per run with what is committed; UPDATE=1 writes the table
	python benches/guard.py $(if $(UPDATE),--update)

profile: build ## Show where the instructions of a run go, for each shape
	python benches/profile.py

bench-peers: build ## Measure the same work on the peers
	python benches/peers/compare.py

fmt: $(ENVIRONMENT) ## Format, and fix what can be fixed
	cargo fmt --all
	ruff check --fix-only --quiet
	ruff format

lock: $(ENVIRONMENT) ## Bring requirements-dev.lock up to date with pyproject.toml
	python -m pip install --quiet uv
	uv pip compile pyproject.toml --group dev --universal --no-header --upgrade \
		--quiet -o requirements-dev.lock

clean: ## Remove all that was built
	rm -rf .venv target dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	rm -f python/rivers/_rivers*.so
	find python tests benches examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
