# The project's verbs. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Newer than everything the environment is made from: then nothing is to be done.
STAMP := $(VENV)/.installed
# A second environment, in which the compiled wheel is installed, and not this tree.
COMPILED := $(VENV)-compiled

# What is given to the tool behind a verb: make test ARGS="-k drain -x"
ARGS ?=
IMAGE ?= forestay:dev
# `make image DOCKER_ARGS="--network host"` where containers have no network of their own.
DOCKER_ARGS ?=
# A Python to prefer over what is found on PATH: make setup PYTHON=/opt/python/bin/python3
PYTHON ?=
# All but `client`, which is in this tree and is installed from it.
EXTRAS := kubernetes uvloop
# uv writes the locks and is needed for nothing else, so it is not in them.
UV_VERSION := 0.13.9
CYCLONEDX_VERSION := 7.5.0

PYTEST := $(BIN)/pytest

.PHONY: help setup run dev demo example deploy-picture test test-slow test-compiled compiled servers meet clients-matrix
.PHONY: issuers collectors mutate cover check fix docs site bench conformance clients e2e e2e-trace
.PHONY: trace-picture ops-picture image tree descriptions fuzz-api architecture-picture chart-docs manifests lock audit sbom clean
.PHONY: check-format check-lint check-types check-imports check-rules check-js check-sizes check-spelling check-cover

help: ## list these verbs
	@echo "usage: make VERB [ARGS=...]"
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/' | expand -t 24

setup: $(STAMP) ## make .venv with everything in it, the command included

run: setup ## serve on this machine: memory bus, random keys, demo page
	$(BIN)/forestay serve --dev $(ARGS)

# watchfiles asks the old process to end, waits for that, and then starts the new one: the ports are free again.
dev: setup ## the same, started anew each time a file of app/ is saved
	$(BIN)/watchfiles --sigint-timeout 10 "$(BIN)/python -m forestay serve --dev $(ARGS)" app

demo: setup ## a deploy to watch: two gateways on one Redis, and a page that counts what arrives
	$(BIN)/python -m demo $(ARGS)

example: setup ## start one of examples/, or list them: ARGS="chat"
	$(BIN)/python examples $(ARGS)

deploy-picture: setup ## take the picture of that page for the README, with Chromium
	$(BIN)/python -m demo.picture

ops-picture: setup ## take the pictures of the operators' page for its documentation, with Chromium and Redis
	$(BIN)/python -m docs.ops_picture

test: setup ## run every test; what could not run here is named at the end
	$(PYTEST) $(ARGS)

test-slow: setup ## run the tests that take longer than a run should
	$(PYTEST) -m slow $(ARGS)

test-compiled: compiled ## compile the gateway into an environment of its own, and run its tests there
	EXPECTED_BUILD=compiled FORESTAY_LOOP=$(or $(FORESTAY_LOOP),uvloop) $(COMPILED)/bin/pytest $(or $(ARGS),tests/core tests/protocol tests/bus tests/edge tests/journeys)

compiled: $(COMPILED)/.wheel ## make that environment and no more: .venv-compiled

fuzz-api: setup ## send the gateway what docs/openapi.yaml allows and forbids, with schemathesis
	$(PYTEST) -m slow tests/openapi $(ARGS)

servers: setup ## test the bus on Redis 6.2, 8 and Valkey from PyPI, and on a redis-server on PATH: ARGS="--table"
	$(BIN)/python -m tests.servers $(ARGS)

meet: setup ## try eight proxies, from nginx to Envoy, in front of two pods, and compare with docs/proxies.md: ARGS="--write"
	$(BIN)/python -m tests.meet $(ARGS)

clients-matrix: setup ## try client libraries of six languages, and compare with docs/clients.md: ARGS="okhttp --write"
	$(BIN)/python -m tests.matrix $(ARGS)

issuers: setup ## have Keycloak, other issuers and libraries sign tokens, and compare with docs/tokens.md: ARGS="--write"
	$(BIN)/python -m tests.issuers $(ARGS)

collectors: setup ## run Prometheus, vmagent, Datadog's check, Jaeger and a collector beside a gateway: ARGS="--write"
	$(BIN)/python -m tests.collectors $(ARGS)

mutate: setup ## take each defence out of a copy, and demand that its tests notice: ARGS="S23 pongs"
	$(BIN)/python -m tests.mutation $(ARGS)

cover: setup ## run the tests, and say how much of each folder they ran: ARGS="tests/core"
	$(call measured,$(ARGS))
	$(BIN)/python -m tests.cover

check: check-format check-lint check-types check-imports check-rules check-js check-sizes check-spelling check-cover ## format, lint, types, imports, prose, sizes, coverage

fix: setup ## format, and repair what the linter can repair
	$(BIN)/ruff check --fix $(ARGS)
	$(BIN)/ruff format

docs: setup ## prove the documentation: links, tables, captions, versions
	$(PYTEST) tests/rules $(ARGS)

site: setup ## build the site of the documentation, and print where it is: it works from files
	$(BIN)/python -m docs.site

bench: setup ## measure this machine: make bench ARGS="--help"
	$(BIN)/python -m bench $(ARGS)

conformance: setup ## try the gateway with the Autobahn suite, other clients and a storm of bad input
	$(BIN)/python -m tests.conformance $(ARGS)

clients: setup ## play the scenarios to a client SDK: ARGS="--sdk js"
	$(BIN)/python -m clients.conformance $(ARGS)

e2e: setup ## install on the cluster of KUBECONFIG, deploy, scale, kill, and count: ARGS="rollout redis"
	$(BIN)/python -m tests.e2e $(ARGS)

e2e-trace: setup ## send a message through two pods and find its trace in a real Jaeger, built once where none is here
	$(BIN)/python -m tests.tracing_backend $(ARGS)

trace-picture: setup ## do that, and draw the trace for the README
	$(BIN)/python -m tests.tracing_backend --picture docs/pictures/trace.svg $(ARGS)

image: ## build the container image
	docker build $(DOCKER_ARGS) --tag $(IMAGE) .

tree: setup ## write the tree of modules into ARCHITECTURE.md
	$(BIN)/python -m docs.tree

descriptions: setup ## write the descriptions of the HTTP API and of the protocol, for programs
	$(BIN)/python -m docs.openapi
	$(BIN)/python -m docs.asyncapi

architecture-picture: setup ## draw the layers and their surroundings for the README
	$(BIN)/python -m docs.picture

chart-docs: setup ## write the table of values into the chart's README
	$(BIN)/python -m helm.values_table

manifests: setup ## write k8s/ from the chart and k8s/values.yaml
	$(BIN)/python -m helm.manifests

lock: $(BIN)/python ## resolve the dependencies anew, with hashes and without addresses: ARGS="--upgrade"
	$(BIN)/pip install --quiet "uv==$(UV_VERSION)"
	$(call compile,runtime,pyproject.toml $(EXTRAS:%=--extra %))
	$(call compile,dev,pyproject.toml $(EXTRAS:%=--extra %) --group dev --constraint requirements/runtime.txt)
	$(call compile,build,--group build --constraint requirements/dev.txt)
	$(call compile,fuzz,--group fuzz)
	$(call compile,site,--group site --constraint requirements/dev.txt)
	$(BIN)/uv pip compile --group examples --constraint requirements/dev.txt --quiet --no-deps --no-annotate --no-header \
		--no-emit-index-url --output-file examples/requirements.txt

audit: $(BIN)/python ## ask whether a locked version has a known hole
	$(BIN)/pip install --quiet "uv==$(UV_VERSION)"
	$(BIN)/uv tool run pip-audit --strict --disable-pip --require-hashes --requirement requirements/dev.txt $(ARGS)

sbom: $(BIN)/python ## write what the image installs as CycloneDX: dist/sbom/forestay.cdx.json
	$(BIN)/pip install --quiet "uv==$(UV_VERSION)"
	@mkdir -p dist/sbom
	PYTHONWARNINGS=ignore $(BIN)/uv tool run --from "cyclonedx-bom==$(CYCLONEDX_VERSION)" cyclonedx-py requirements \
		--pyproject pyproject.toml --output-reproducible --output-file dist/sbom/forestay.cdx.json requirements/runtime.txt

clean: ## remove what the tools left behind; .venv stays
	rm -rf .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
	find . -name __pycache__ -type d -not -path './.venv*/*' -prune -exec rm -rf {} +

check-format: setup
	$(BIN)/ruff format --check

check-lint: setup
	$(BIN)/ruff check

check-types: setup
	$(BIN)/mypy

check-imports: setup
	$(BIN)/lint-imports --no-logo

check-rules: setup
	$(PYTEST) -q tests/rules

# Format and lint of all JavaScript and TypeScript. The suite brings Node and what npm installs.
check-js: setup
	$(PYTEST) -q tests/clients/test_js_lint.py

# What the bundler reports of the JavaScript client's entries.
check-sizes: setup
	$(PYTEST) -q tests/clients/test_js.py -k weighs

check-spelling: setup
	$(BIN)/codespell

# The pure layers are tested by their own tests: fast ones, without a socket. The floors are in tests/cover.
check-cover: setup
	$(call measured,-q tests/core tests/protocol)
	$(BIN)/python -m tests.cover --floor

# Processes that a test starts are measured too, each in a file of its own.
define measured
$(BIN)/coverage erase
$(BIN)/coverage run -m pytest $(1)
$(BIN)/coverage combine --quiet
endef

# One lock fits every supported Python and platform. The image has both extras. The one with which pods ask their
# cluster costs disk only, for it is imported only where that is switched on. The constraints keep what is tested equal to what is
# shipped.
define compile
$(BIN)/uv pip compile $(2) $(ARGS) --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --output-file requirements/$(1).txt
endef

$(STAMP): pyproject.toml requirements/dev.txt app/forestay/__init__.py clients/python/pyproject.toml \
		clients/python/src/forestay_client/__init__.py | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable . \
		--editable clients/python
	@touch $@

# The tests import `tests`, `bench` and others from the root of this tree, and `forestay` from the wheel.
$(COMPILED)/.tools: requirements/dev.txt | $(COMPILED)/bin/python
	$(COMPILED)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements/dev.txt
	$(COMPILED)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable clients/python
	pwd > "$$($(COMPILED)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/root_of_the_tests.pth"
	@touch $@

$(COMPILED)/.wheel: $(COMPILED)/.tools pyproject.toml hatch_build.py $(shell find app -type f -not -name '*.pyc')
	rm -rf $(COMPILED)/wheel
	$(COMPILED)/bin/python -m pip wheel --disable-pip-version-check --quiet --no-deps --no-build-isolation --wheel-dir $(COMPILED)/wheel .
	$(COMPILED)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-index --force-reinstall $(COMPILED)/wheel/*.whl
	@$(COMPILED)/bin/python -P -m forestay --version | grep -F '(compiled)' || \
		{ $(COMPILED)/bin/python -c 'import hatch_build; print("Nothing was compiled:", hatch_build.cannot_compile())' >&2; exit 1; }
	@touch $@

# Each candidate is started, not just looked for: a version manager leaves names on PATH that refuse to run.
$(BIN)/python $(COMPILED)/bin/python:
	@unfit=; for python in $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
				echo "making $(@:/bin/python=) with $$("$$python" --version)"; \
				exec "$$python" -m venv --clear $(@:/bin/python=); \
			fi; \
			unfit="$$unfit $$python"; \
		fi; \
	done; \
	echo "make setup needs Python 3.11 or newer, with its venv module, on PATH." >&2; \
	if [ -n "$$unfit" ]; then echo "Found without venv:$$unfit (on Debian: apt-get install python3-venv)" >&2; fi; \
	exit 1
