# Every command of the repository. `make help` lists them. All of them make `.venv` first, on demand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# What infra needs lives in environments of its own: CDK is heavy, and the emulator pins another botocore.
INFRA_VENV := .venv-infra
INFRA_BIN := $(INFRA_VENV)/bin
INFRA_STAMP := $(INFRA_VENV)/.installed
EMULATOR_VENV := .venv-emulator
EMULATOR_STAMP := $(EMULATOR_VENV)/.installed
# What the container image holds, without a container.
IMAGE_VENV := $(INFRA_VENV)/image
IMAGE_STAMP := $(IMAGE_VENV)/.installed
ENV ?= dev
CDK := npx --yes aws-cdk@2.1148.1
# hostname, certificateArn, alarmEmail: see docs/deploy.md
CONTEXT = --context env=$(ENV) $(foreach key,hostname certificateArn alarmEmail,$(if $($(key)),--context $(key)=$($(key))))
CDK_ENV := CDK_VALIDATION=false JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION=20 CDK_DISABLE_CLI_TELEMETRY=true

export DAGSTER_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-slow test-explore check venv fmt asset-checks bench-ingest bench-embedded bench-search opensearch test-opensearch bench-lake bench-batch lock clean-state clean synth bootstrap deploy diff destroy check-infra test-infra test-infra-deploy test-image clean-infra

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
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

test-slow: $(STAMP) ## the tests that take longer: kills, interruptions, overtaken processes, two years of hours; ARGS as above
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-explore: $(STAMP) ## the property tests on random examples, twenty times as many (TIMES=); ARGS as above
	@EXPLORE_TIMES="$(or $(TIMES),20)" $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --hypothesis-profile explore -m "hypothesis and not slow" $(ARGS)

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

bench-search: $(STAMP) ## figures of the search stage beside a real OpenSearch, to benchmarks/results/search.json; URL= another server
	@$(BIN)/python -m benchmarks.search $(if $(URL),--url $(URL))

opensearch: $(STAMP) ## a real OpenSearch node on 127.0.0.1:9201 (PORT=), its data in .retail/opensearch; Ctrl-C ends it
	@$(BIN)/python -m retail_analytics_tests.search.single_node serve $(if $(PORT),--port $(PORT))

test-opensearch: $(STAMP) ## the tests of search against a real OpenSearch node; ARGS="-k name" picks some
	@$(BIN)/python -m retail_analytics_tests.search.single_node test $(ARGS)

bench-embedded: $(STAMP) ## figures of the embedded cloud, to benchmarks/results/embedded.json
	@$(BIN)/python -m benchmarks.embedded

bench-batch: $(STAMP) ## figures of compaction, beside others, to benchmarks/results/batch.json
	@$(BIN)/python -m benchmarks.batch

bench-lake: $(STAMP) ## figures of arrivals and catalog over two years of hours, to benchmarks/results/lake.json
	@$(BIN)/python -m benchmarks.lake

$(INFRA_STAMP): requirements-infra.lock
	@test -d $(INFRA_VENV) || $(PYTHON) -m venv $(INFRA_VENV)
	@command -v node >/dev/null || { echo "CDK needs node: install version 20 or newer."; exit 1; }
	@echo "Installing CDK and its checks into $(INFRA_VENV); a minute or two …"
	@$(INFRA_BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-infra.lock
	@touch $@

$(EMULATOR_STAMP): requirements-emulator.lock
	@test -d $(EMULATOR_VENV) || $(PYTHON) -m venv $(EMULATOR_VENV)
	@$(EMULATOR_VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-emulator.lock
	@touch $@

$(IMAGE_STAMP): requirements-aws.lock
	@test -d $(IMAGE_VENV) || $(PYTHON) -m venv $(IMAGE_VENV)
	@$(IMAGE_VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-aws.lock
	@touch $@

synth: $(INFRA_STAMP) ## the platform's templates into infra/cdk.out/, offline; ENV=dev or prod
	@rm -rf infra/cdk.out
	@$(CDK_ENV) CDK_CONTEXT_JSON='{"env": "$(ENV)", "hostname": "$(hostname)", "certificateArn": "$(certificateArn)", "alarmEmail": "$(alarmEmail)"}' \
		$(INFRA_BIN)/python -m infra.app

diff: $(INFRA_STAMP) ## what a deployment would change; wants an AWS account
	@$(CDK_ENV) $(CDK) diff --app "$(INFRA_BIN)/python -m infra.app" --output infra/cdk.out $(CONTEXT) --all

bootstrap: $(INFRA_STAMP) ## make an AWS account ready, once: account=… region=…
	@test -n "$(account)" -a -n "$(region)" || { echo "Say which: make bootstrap account=123456789012 region=eu-west-1"; exit 1; }
	@$(CDK_ENV) $(CDK) bootstrap aws://$(account)/$(region)
	@$(INFRA_BIN)/python -m infra.bootstrap

deploy: $(INFRA_STAMP) ## the platform into the AWS account that the environment names; ENV=dev or prod; see docs/deploy.md
	@$(CDK_ENV) $(CDK) deploy --app "$(INFRA_BIN)/python -m infra.app" --output infra/cdk.out $(CONTEXT) --all

destroy: $(INFRA_STAMP) ## delete ENV=dev from AWS, with all that lies in it; asks first
	@$(INFRA_BIN)/python -m infra.teardown $(ENV)

check-infra: $(INFRA_STAMP) ## strict types over infra
	@$(INFRA_BIN)/python -m mypy --package infra

test-infra: $(INFRA_STAMP) ## the templates: privileges, encryption, cfn-lint, cdk-nag
	@$(CDK_ENV) $(INFRA_BIN)/python -m pytest infra/tests --ignore infra/tests/test_deploy.py --ignore infra/tests/test_image_runs.py $(ARGS)

test-infra-deploy: $(INFRA_STAMP) $(EMULATOR_STAMP) ## the stacks deployed to an emulator, deployed again, destroyed
	@$(CDK_ENV) MINISTACK_PYTHON="$(CURDIR)/$(EMULATOR_VENV)/bin/python" $(INFRA_BIN)/python -m pytest infra/tests/test_deploy.py $(ARGS)

test-image: $(INFRA_STAMP) $(IMAGE_STAMP) ## what the image installs and starts, over Postgres, without Docker
	@$(CDK_ENV) IMAGE_VENV="$(CURDIR)/$(IMAGE_VENV)" $(INFRA_BIN)/python -m pytest infra/tests/test_image_runs.py $(ARGS)

lock: ## renew every lock file (wants uv)
	@uv pip compile setup.cfg --extra embedded --extra dev --generate-hashes --python-version 3.11 --universal \
		--no-header --no-annotate --output-file requirements.lock --upgrade --quiet
	@for extra in aws infra; do uv pip compile setup.cfg --extra $$extra --generate-hashes --python-version 3.11 --universal \
		--no-header --no-annotate --output-file requirements-$$extra.lock --upgrade --quiet || exit 1; done
	@uv pip compile infra/emulator.in --generate-hashes --python-version 3.11 --universal \
		--no-header --no-annotate --output-file requirements-emulator.lock --upgrade --quiet

clean-state: ## remove what `make dev` and `make demo` keep, Dagster's state and the cloud's together
	@rm -rf .retail

clean-infra: ## remove what infra made here
	@rm -rf $(INFRA_VENV) $(EMULATOR_VENV) infra/cdk.out

clean: clean-state clean-infra ## remove the virtual environment too
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
