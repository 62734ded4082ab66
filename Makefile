# GNU make 3.81 or newer. Everything lands in .venv, node_modules and build; nothing outside the checkout is touched,
# but for the packages of SYSTEM_PACKAGES, which `make test` installs where it runs as root on Debian or Ubuntu.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# Flags for what a target runs:  make serve ARGS="--port 9000"   make test ARGS="tests/unit -k resume"
ARGS ?=
# What `make bench` runs.
BENCH ?= ingest
# Debian packages whose programs the tests use.
SYSTEM_PACKAGES ?= chromium coturn flite

BIN := .venv/bin
# What the pages load of others.
ASSETS := src/antiphon/web/sdk/vendor/opus-decoder.js
CORE := $(shell find crates -name target -prune -o \( -name '*.rs' -o -name '*.c' -o -name '*.toml' \) -print)

.PHONY: help serve test check bench wheel extension fuzz docs format clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

serve: .venv/.with-server $(ASSETS) ## start the server on http://127.0.0.1:8080 (flags: ARGS="--port 9000")
	@exec $(BIN)/antiphon serve $(ARGS)

test: .venv/.with-development $(ASSETS) ## run all tests (some of them: ARGS="tests/unit -k resume")
	@$(BIN)/python -m scripts.run_tests --packages "$(SYSTEM_PACKAGES)" $(ARGS)

check: .venv/.with-development ## read the code without running it: format, lint, types, layers, tree
	@$(BIN)/python -m scripts.run_checks

bench: .venv/.with-bench ## measure ourselves against others (BENCH=ingest, or another of bench/; flags: ARGS="--help")
	@case $(BENCH) in ingest|listeners) $(BIN)/python -m scripts.node bench;; esac
	@$(BIN)/python -m bench.$(BENCH) $(ARGS)

wheel: .venv/.with-server $(ASSETS) ## build a wheel into dist, and test it in an environment without Rust
	@$(BIN)/python -m scripts.wheel $(ARGS)

extension: .venv/.with-server ## put the Chrome extension together in build/chrome-extension
	@$(BIN)/python -m scripts.extension

fuzz: .venv/.with-development ## feed the parsers and decoders hostile bytes (flags: ARGS="--help")
	@$(BIN)/python -m scripts.fuzz $(ARGS)

docs: .venv/.with-development ## build the reference of the Python API into build/docs
	@$(BIN)/python -m scripts.reference build/docs

format: .venv/.with-development ## bring the Python and Rust code into shape
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .
	@cargo fmt --all

clean: ## remove what was built and cached (.venv and node_modules as well: ALL=1)
	@rm -rf build dist target clients/js/dist clients/js/LICENSE src/antiphon/_native*.so test-output bench-output .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . \( -name .git -o -name .venv -o -name node_modules \) -prune -o -name __pycache__ -type d -exec rm -rf {} +
	@if [ -n "$(ALL)" ]; then rm -rf .venv .cache tests/js/node_modules bench/node_modules scripts/web-assets/node_modules $(dir $(ASSETS)); fi

# One stamp for each set of extras. Its rule installs nothing, and needs no network, unless the content of pyproject.toml
# or of the native core has changed. The environment itself is a prerequisite, so that one whose Python has vanished is
# made anew.
.venv/.with-server: extras :=
.venv/.with-development: extras := test check docs
.venv/.with-bench: extras := test bench

.venv/.with-%: pyproject.toml Cargo.toml Cargo.lock $(CORE) $(BIN)/python
	@python=$$(scripts/find-python) && "$$python" -m scripts.environment $@ $(extras)

# Where Node.js is missing this says so, each time, and goes on without.
$(ASSETS): scripts/web-assets/package-lock.json scripts/web_assets.py
	@python=$$(scripts/find-python) && "$$python" -m scripts.web_assets

$(BIN)/python:
	@python=$$(scripts/find-python) && "$$python" -m scripts.environment
