# Two commands do everything on a fresh machine: `make run` and `make test`.
# They need Python 3.11 or newer, make and git; the rest is put into .venv.

VENV ?= .venv
PORT ?= 8000
# The regions that `make run` serves, by comma; all where none is named. FLEET=0: no devices post meanwhile.
REGIONS ?=
FLEET ?= 1
# The first interpreter on the PATH that is new enough. PYTHON=… takes another, and makes the environment anew for it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
# Another Django than the pinned one, e.g. DJANGO=6.1.3; CI tests it on Python 3.12 and newer.
DJANGO ?=
# As many workers as there are cores, each on servers of its own; more than four are more servers than most can bear.
PYTEST_ARGS ?= -n auto --maxprocesses 4 --dist worksteal
# What to run, or to leave out (--ignore=…), besides.
SELECTION ?=
BENCH_ARGS ?=
UPSTREAM_ARGS ?=
MUTANTS_ARGS ?=
EXAMPLES ?= 5000
READS ?= 5000000
MUTATIONS ?= 1000000
FAULTS_ARGS ?=
# The image: its base where it is not the Dockerfile's, and its name.
BASE ?=
TAG ?= xyz

BIN := $(VENV)/bin
# The documents' site has an environment of its own.
DOCS_VENV ?= .venv-docs
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK_ARGS ?=
PIP_AUDIT := 2.10.1
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-annotate $(LOCK_ARGS)
# What is installed, by the Django that was asked for. Only one Django can be: making a stamp removes the others.
INSTALLED_RUN := $(VENV)/.installed-run$(DJANGO:%=-django-%)
INSTALLED_DEV := $(VENV)/.installed-dev$(DJANGO:%=-django-%)
# The version of Python that made the environment; empty where there is none.
MADE_WITH := $(shell sed -n 's/^version = //p' $(VENV)/pyvenv.cfg 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help run test test-fast coverage bench bench-scale regions-bench lint types contract check format reference docs lock audit soak soak-orm faults upstream mutants image regions-down clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED_RUN) ## serve the platform in three regions, on http://127.0.0.1:8000 to 8002 (PORT=… is the first one's)
	@exec $(BIN)/python manage.py serve --port $(PORT) $(REGIONS:%=--regions %) $(if $(filter 0,$(FLEET)),--no-fleet)

test: $(INSTALLED_DEV) ## run the tests on servers that the suite starts (PYTEST_ARGS="-k name" chooses, in one process)
	@$(BIN)/python -m pytest $(PYTEST_ARGS) $(SELECTION)

test-fast: $(INSTALLED_DEV) ## run the tests that need no servers, in less than a minute
	@$(BIN)/python -m pytest --no-servers $(PYTEST_ARGS) $(SELECTION)

coverage: $(INSTALLED_DEV) ## show how much of each package the tests run; var/coverage/html shows each line
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(PYTEST_ARGS) $(SELECTION)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage json --quiet -o - | $(BIN)/python -m tests.coverage_by_package

soak: $(INSTALLED_DEV) ## look for a stale read in 5 million, while writers and servers are killed (READS=… changes it)
	@$(BIN)/python -m tests.consistency --faults all --regions us-east-1,us-west-2,us-east-2 --readers 4 --writers 2 \
		--reads-per-write 400 --kill-every 12 --reads $(READS)

faults: $(INSTALLED_DEV) ## break one thing after another under load, a row each; then bytes, then look for stale reads under each fault
	@$(BIN)/python -m tests.faults $(FAULTS_ARGS)
	@CACHEOPS_MUTATIONS=$(MUTATIONS) $(BIN)/python -m pytest -q tests/races/test_mutated.py tests/cacheops/encoding/test_mutated.py
	@for faults in kill failover snapshot-restart evict snapshot locks kill,failover; do \
		for mode in queue strict; do \
			echo "== $$faults, $$mode"; \
			$(BIN)/python -m tests.consistency --faults $$faults --on-unreachable $$mode \
				--regions us-east-1,us-west-2 --readers 3 --writers 2 --reads 1000000 --seconds 120 || exit 1; \
		done; \
	done
	@for faults in relay replica redis primary link lag; do \
		echo "== $$faults, in follower regions"; \
		$(BIN)/python -m tests.consistency --followers us-west-2,us-east-2 --faults $$faults \
			--readers 2 --writers 2 --reads 1000000 --seconds 120 || exit 1; \
	done

soak-orm: $(INSTALLED_DEV) ## compare drawn queries, writes and transactions with the database (EXAMPLES=… in all)
	@CACHEOPS_SOAK=$(EXAMPLES) $(BIN)/python -m pytest $(PYTEST_ARGS) tests/cacheops/orm/test_machine.py -x

upstream: $(INSTALLED_DEV) ## run Django's own suite with everything cached, beside the same without (UPSTREAM_ARGS="--database sqlite3 queries")
	@$(BIN)/python -m tests.upstream $(UPSTREAM_ARGS)

mutants: $(INSTALLED_DEV) ## break the code in drawn places, one at a time, and list what no test notices (MUTANTS_ARGS="--seed 2 --publish")
	@$(BIN)/python -m tests.mutants $(MUTANTS_ARGS)

bench: $(INSTALLED_DEV) ## compare with other caches (BENCH_ARGS="--rounds 5 --operations get list" chooses)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)
	@$(BIN)/python -m benchmarks.warming
	@$(BIN)/python -m benchmarks.pages
	@$(BIN)/python -m benchmarks.near

bench-scale: $(INSTALLED_DEV) ## measure how cost grows with rows, entries, processes … (BENCH_ARGS="--axes rows --publish" chooses)
	@$(BIN)/python -m benchmarks.scale $(BENCH_ARGS)

regions-bench: $(INSTALLED_DEV) ## measure what three regions cost each other, as far apart as the real ones (BENCH_ARGS=--publish)
	@$(BIN)/python -m benchmarks.regions $(BENCH_ARGS)

lint: $(INSTALLED_DEV) ## check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(INSTALLED_DEV) ## check types
	@$(BIN)/mypy .

contract: $(INSTALLED_DEV) ## check that imports point downwards
	@$(BIN)/lint-imports --no-logo

check: lint types contract ## lint, types and the import contract

format: $(INSTALLED_DEV) ## put the code in style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

reference: $(INSTALLED_DEV) ## write the tables that docs/reference has from the code
	@$(BIN)/python -m docs.reference.generate

docs: $(DOCS_VENV)/.installed ## build the documents' site, to be read without a network: var/docs/index.html
	@$(DOCS_VENV)/bin/zensical build --strict --clean

# What the lock files hold stays as it is where it still fits; LOCK_ARGS=--upgrade takes the newest.
lock: $(INSTALLED_DEV) ## write requirements*.lock anew, from requirements*.txt (LOCK_ARGS=--upgrade)
	@$(LOCK) requirements.txt -o requirements.lock
	@$(LOCK) requirements-local.txt -c requirements.lock -o requirements-local.lock
	@$(LOCK) requirements-dev.txt -c requirements.lock -c requirements-local.lock -o requirements-dev.lock
	@$(LOCK) requirements-docs.txt -o requirements-docs.lock

# requirements-dev.lock holds all that the others do. What can't be asked about is a failure, not a pass (--strict).
audit: $(INSTALLED_DEV) ## look for known vulnerabilities in what the lock files pin (asks PyPI's database)
	@for lock in requirements-dev.lock requirements-docs.lock; do \
		$(BIN)/uv tool run --quiet pip-audit==$(PIP_AUDIT) --strict --disable-pip --require-hashes -r $$lock || exit 1; \
	done

image: ## build the image without Docker or root, by buildah (BASE=… is another base, TAG=… another name)
	@buildah build --isolation chroot $(BASE:%=--from %) --file deploy/Dockerfile \
		--ignorefile deploy/Dockerfile.dockerignore --tag $(TAG) .

regions-down: $(INSTALLED_RUN) ## stop local regions that are still running
	@$(BIN)/python manage.py regions down

clean: ## remove .venv and every local server's data
	@if [ -x $(BIN)/python ]; then $(BIN)/python manage.py regions down; fi
	@rm -rf $(VENV) $(DOCS_VENV) var .upstream staticfiles .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none is on the PATH."; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version) …"
	@$(PYTHON) -m venv $(if $(MADE_WITH),--clear) $(VENV)

# PYTHON=… that is another version than made the environment makes it anew.
ifneq ($(origin PYTHON),file)
ifneq ($(MADE_WITH),)
ifneq ($(MADE_WITH),$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'))
.PHONY: $(BIN)/python
endif
endif
endif

$(DOCS_VENV)/.installed: requirements-docs.lock
	@echo "Installing what builds the site …"
	@$(PYTHON) -m venv $(DOCS_VENV)
	@$(DOCS_VENV)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-docs.lock
	@touch $@

$(INSTALLED_RUN): $(BIN)/python requirements.lock requirements-local.lock
	@echo "Installing what the platform needs …"
	@rm -f $(VENV)/.installed-*
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-local.lock
	@$(if $(DJANGO),$(PIP) install Django==$(DJANGO))
	@touch $@

$(INSTALLED_DEV): $(INSTALLED_RUN) requirements-dev.lock
	@echo "Installing what the tests need …"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(if $(DJANGO),$(PIP) install Django==$(DJANGO))
	@touch $@
