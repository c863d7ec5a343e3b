# NavieTakie: `make run` shows it on this machine, `make test` proves it, `make help` lists the rest.
# Written for GNU make 3.81 and a POSIX shell, which is what a Mac has.

# Nothing of a caller's Python environment may leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
SHELL = /bin/sh
UV = local/uv
PYTHON = .venv/bin/python
TOOLS = .local/tools/bin/python

.DEFAULT_GOAL := help
.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

# --- tools -------------------------------------------------------------------

.PHONY: setup lock
setup: .venv/ready ## Install the project's environment (.venv), as locked

.venv/ready: requirements/dev.txt local/venv
	@local/venv .venv requirements/dev.txt

.local/tools/ready: requirements/tools.txt local/venv
	@local/venv .local/tools requirements/tools.txt

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --upgrade
lock: ## Bring the locked dependencies up to date with pyproject.toml
	$(COMPILE) --group uv --output-file requirements/uv.txt
	$(COMPILE) --group layer --output-file layers/shared/requirements.txt
	$(COMPILE) --group dev --constraints layers/shared/requirements.txt --output-file requirements/dev.txt
	$(COMPILE) --group tools --output-file requirements/tools.txt

# --- the stack on this machine --------------------------------------------------

PORT = 8000
AUTH_MODE = none
BACKEND_URL =

.PHONY: run stop reset logs
run: .local/tools/ready ## Run everything on this machine (PORT=8000 AUTH_MODE=none|jwt BACKEND_URL=http://…)
	@exec $(TOOLS) -m local.run --port $(PORT) --auth-mode $(AUTH_MODE) --backend-url '$(BACKEND_URL)'

# --- checks ------------------------------------------------------------------

.PHONY: lint format types unit
lint: .venv/ready ## Check style
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/ready ## Mend style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types: .venv/ready ## Check types (strict where it ships)
	.venv/bin/pyright

unit: .venv/ready ## The pure rules, in seconds
	$(PYTHON) -m pytest tests/unit
