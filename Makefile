# The commands people type. They need git, make and Python 3.11 or newer; the rest is put here.

.PHONY: demo dev test slow check bench
.DEFAULT_GOAL := demo

# uv where it is installed, otherwise in a folder of its own.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PYTHON ?= python3
RUN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

demo: .venv/.synced  ## West Virginia end to end, on sample rows
	$(RUN)/outreach demo

dev: .venv/.synced  ## the Dagster UI on http://127.0.0.1:3000
	$(RUN)/outreach dev

test: .venv/.synced  ## the everyday tests
	$(RUN)/pytest

slow: .venv/.synced  ## scale and fault tests
	$(RUN)/pytest -m slow

check: .venv/.synced  ## everything that is not a test
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/dagster definitions validate --workspace workspace.yaml
	@cp .secrets.baseline .venv/secrets.baseline  # the scan writes line numbers into it, code 3
	$(RUN)/detect-secrets-hook --baseline .venv/secrets.baseline $$(git ls-files ':!.secrets.baseline') || [ $$? -eq 3 ]

bench: .venv/.synced  ## speed and memory, beside a floor measured in the same run
	$(RUN)/python -m bench.journey
	$(RUN)/python -m bench.failures

.venv/.synced: pyproject.toml uv.lock $(filter .tools/%,$(UV))
	$(UV) sync --locked --quiet --python $(PYTHON)
	@touch $@

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet "uv>=0.9,<1"
