# Needs Python 3.11 or later and nothing else; everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test servers s3-compatibility docs lint format bench campaign audit check-wheel constraints clean

help: ## Show what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

venv: $(STAMP) ## Make .venv with the tried versions

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not there. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1); lf6gateway needs Python 3.11 or later. Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu install the package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## Run the daemon on a folder with real reports and a specimen
	$(BIN)/python examples/demo.py

JOBS ?= 3
test: $(STAMP) servers ## Run the whole test suite, JOBS=3 files at the same time
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

servers: $(STAMP) ## Install the S3 servers of others that the tests run against (one that cannot be had is left out)
	$(BIN)/python -m tests.servers.install

s3-compatibility: $(STAMP) servers ## Measure what each S3 server supports, and write docs/s3-compatibility.md
	$(BIN)/python -m tests.servers.compatibility

docs: $(STAMP) ## Write docs/configuration.md from the code, and build the documentation into build/docs
	$(BIN)/python docs/settings_page.py
	$(BIN)/python docs/build_site.py

lint: $(STAMP) ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## Put the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Run all measurements (QUICK=1: only see whether they work; ONLY=ab: some cases)
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

MINUTES ?= 10
HISTORIES ?= 100000
campaign: $(STAMP) ## Run the long campaigns: simulated histories, and real processes under all faults
	$(BIN)/python -m tests.simulation --histories $(HISTORIES)
	$(BIN)/python -m tests.campaigns.laboratory --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	$(BIN)/python -m tests.campaigns.endurance --minutes $(MINUTES)

audit: ## Compare the pinned dependencies with the published advisories; needs the network
	rm -rf build/audit-venv
	$(PYTHON) -m venv build/audit-venv
	build/audit-venv/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	build/audit-venv/bin/pip-audit --no-deps --disable-pip -r constraints.txt

check-wheel: $(STAMP) ## Install the wheel in a clean environment and look for the plugin
	$(BIN)/python -m pytest tests/test_packaging.py

constraints: ## Write constraints.txt anew from the newest versions that pip finds
	rm -rf build/constraints-venv
	$(PYTHON) -m venv build/constraints-venv
	build/constraints-venv/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	build/constraints-venv/bin/python -m pip freeze | grep -E '^[A-Za-z0-9._-]+==' > constraints.txt
	rm -rf build/constraints-venv

clean: ## Remove .venv, caches and builds
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis _trial_temp*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name dropin.cache -delete
