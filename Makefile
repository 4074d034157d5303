# Every command of the project. `make` alone lists them.
PYTHON := .venv/bin/python
UV := $(PYTHON) -m uv
COMPILE := pip compile --quiet --no-header --python-version 3.11
CONFIG := $(PYTHON) -m config
export PYTHON311

.DEFAULT_GOAL := help
.PHONY: help environment environment-dev browser run stop status logs refresh rollback manifests test test-slow check lock screenshots bench clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

environment:
	@sh config/bootstrap.sh run

environment-dev:
	@sh config/bootstrap.sh dev

browser:
	@sh config/browser.sh

run: environment ## start everything and play the story of a year of flights (MONTHS=3: only the first three)
	@$(CONFIG) run $(if $(MONTHS),--months $(MONTHS))

stop: ## end the system; no process is left
	@if [ -x $(PYTHON) ]; then $(CONFIG) stop; else echo "Nothing was running."; fi

status: environment ## say what is served, since when and why
	@$(CONFIG) status

logs: environment ## follow the logs (PROGRAM=scheduler: only that one)
	@$(CONFIG) logs $(PROGRAM)

refresh: environment ## land a file: PIPELINE=flight_delays PARTITION=2013-05 FILE=path/to/file.parquet
	@$(CONFIG) refresh "$(PIPELINE)" "$(PARTITION)" "$(FILE)"

rollback: environment ## serve the version before again: PIPELINE=flight_delays REASON="why" (VERSION=3: that one)
	@# By the environment, where a quote in a reason is only a quote.
	@$(CONFIG) rollback "$$PIPELINE" --reason "$$REASON" --version "$$VERSION"

manifests: environment ## write KServe's InferenceServices for GitOps: FOLDER=manifests (PIPELINE=, VERSION=: only that)
	@$(CONFIG) manifests --folder "$(or $(FOLDER),manifests)" --pipeline "$(PIPELINE)" --version "$(VERSION)"

test: environment-dev ## every test but the slow ones
	@# Two at a time: most of them wait for processes of their own. tests/conftest.py keeps apart what shares a fixture.
	@$(PYTHON) -m pytest -m "not slow" -n 2 --no-loadscope-reorder --durations 15

test-slow: environment-dev browser ## services (PostgreSQL, Redis, Celery), browser, load and kills
	@# Two at a time as well: what they kill is their own.
	@$(PYTHON) -m pytest -m slow -n 2 --no-loadscope-reorder --durations 15

check: environment-dev ## style, types, arrows, light DAGs, rules, locks: what CI looks at before the tests
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports
	@$(PYTHON) -m pytest -q tests/dags/test_arrows.py tests/dags/test_light.py
	@# By the commands' own way to the settings: .env may name pipelines and suites elsewhere.
	@$(CONFIG) rules
	@$(PYTHON) -m config.lock_check

lock: environment-dev ## write requirements*.txt anew from requirements*.in (UPGRADE=1: newest versions allowed)
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements.in -o requirements.txt
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements-dev.in -o requirements-dev.txt
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements-bench.in -o requirements-bench.txt
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements-serving.in -o requirements-serving.txt
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements-bench-servers.in -o requirements-bench-servers.txt
	@$(UV) $(COMPILE) $(if $(UPGRADE),--upgrade) requirements-script-mode.in -o requirements-script-mode.txt

screenshots: environment-dev browser ## take the README's pictures of the running system (TERMINAL=file: and of what it printed)
	@$(PYTHON) -m tests.browser.take_screenshots $(if $(TERMINAL),--terminal $(TERMINAL))

bench: environment-dev ## measure every figure into bench/results/ and the README (ONLY=<name>: that one)
	@$(PYTHON) -m bench $(if $(ONLY),--only $(ONLY))

clean: stop ## stop, then remove what tools and tests left (not .tollgate, which holds your data and models)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +
