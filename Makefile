# Every command of the repository. `make help` lists them. All of them make `.venv` first, on demand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

export DAGSTER_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo dev test check venv fmt asset-checks bench-ingest bench-embedded lock clean-state clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements.lock setup.cfg pyproject.toml
	@test -d $(VENV) || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV); a minute or two …"
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

venv: $(STAMP) ## the virtual environment, with the locked versions

demo: $(STAMP) ## the main job, headless; INPUT=file.csv takes a real file, REPORT=file.json writes the figures
	@$(BIN)/retail-analytics demo $(if $(INPUT),--input-file "$(INPUT)") $(if $(REPORT),--report "$(REPORT)")

dev: $(STAMP) ## Dagster's UI on 127.0.0.1 over the embedded cloud, with records flowing; Ctrl-C ends it
	@$(BIN)/retail-analytics dev $(if $(PORT),--port $(PORT))

test: $(STAMP) ## the tests, on two processes; ARGS="-k name" picks some
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

check: $(STAMP) ## ruff, strict types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(STAMP) ## bring the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

asset-checks: $(STAMP) ## every asset check, against the deployment that the environment names
	@$(BIN)/retail-analytics asset-checks

bench-ingest: $(STAMP) ## figures of the producer and of put-to-compacted, to benchmarks/results/ingest.json
	@$(BIN)/python -m benchmarks.ingest

bench-embedded: $(STAMP) ## figures of the embedded cloud, to benchmarks/results/embedded.json
	@$(BIN)/python -m benchmarks.embedded

lock: ## renew requirements.lock (wants uv)
	@uv pip compile setup.cfg --extra embedded --extra dev --generate-hashes --python-version 3.11 --universal \
		--no-header --no-annotate --output-file requirements.lock --upgrade --quiet

clean-state: ## remove what `make dev` and `make demo` keep, Dagster's state and the cloud's together
	@rm -rf .retail

clean: clean-state ## remove the virtual environment too
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
