# NavieTakie: `make run` shows it on this machine, `make test` proves it, `make help` lists the rest.
# Written for GNU make 3.81 and a POSIX shell, which is what a Mac has. Variables given to make (ENV=staging, BOOKING=test …)
# reach the programs as environment variables.

SHELL = /bin/sh
# Nothing of a caller's Python environment may leak into ours.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
MAKEFLAGS += --no-print-directory

UV = local/uv
PYTEST = .venv/bin/python -m pytest
TOOLS = .local/tools/bin
CLIENT = PYTHONPATH=layers/shared $(TOOLS)/python -m

.DEFAULT_GOAL := help
.PHONY: help
help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

# --- On this machine ----------------------------------------------------------------------------------------------

.PHONY: run stop reset logs sample-backend start-api gate
run: .local/tools/ready ## Run everything here (PORT=8000 AUTH_MODE=none|jwt BACKEND_URL=http://… PARAMETERS=file.yaml)
	@exec $(TOOLS)/python -m local.run --port "$${PORT:-8000}" \
		--auth-mode "$${AUTH_MODE:-}" --backend-url "$${BACKEND_URL:-}" --parameters "$${PARAMETERS:-}"

stop: .local/tools/ready ## Stop what `make run` started, with its data saved
	@$(TOOLS)/python -m local.stop

reset: stop ## Forget the data
	@rm -rf .local/state .local/scratch && echo "The local data is gone"

logs: .local/tools/ready ## Follow what the functions log
	@exec $(TOOLS)/python -m local.logs

sample-backend: .venv/ready ## A backend for `make run BACKEND_URL=http://127.0.0.1:9000` (PORT=9000)
	@PYTHONPATH=layers/shared exec .venv/bin/python -m tests.backend

start-api: .local/tools/ready ## The REST API by `sam local` in Docker, beside `make run` (API_PORT=3000)
	@exec $(TOOLS)/python -m local.start_api --port "$${API_PORT:-3000}"

gate: .local/tools/ready ## Let a bare `sam local` in Docker reach what `make run` runs, until Ctrl-C
	@exec $(TOOLS)/python -m local.sam_local

# --- Talking to it (ENV=local, or a deployed one) ------------------------------------------------------------------

.PHONY: chat token order smoke prove config rotate-secret export erase mcp
chat: .local/tools/ready ## A conversation in the terminal (BOOKING=test ROLE=passenger ENV=local)
	@exec env $(CLIENT) clients.chat

token: .local/tools/ready ## Print a token (BOOKING=… ROLE=… TTL=3600 ENV=local)
	@$(CLIENT) clients.tokens mint

order: .local/tools/ready ## Steer a booking (BOOKING=… EVENT=side_muted SIDE=driver ENV=local)
	@$(CLIENT) clients.orders

smoke: .local/tools/ready ## A short end-to-end check of a deployment (ENV=local)
	@$(CLIENT) clients.smoke

prove: .local/tools/ready ## Many rides at once, judged: nothing lost, doubled or out of order (RIDES=20 MINUTES=1 SEED=… YES=1 ENV=local)
	@$(CLIENT) clients.prove

config: .local/tools/ready ## Print a deployment's addresses as JSON (ENV=local)
	@$(CLIENT) clients.deployment

rotate-secret: .local/tools/ready ## Sign tokens with a new secret; the last one stays valid (ENV=local)
	@$(CLIENT) clients.tokens rotate

export: .local/tools/ready ## Write a conversation, calls and redactions included, to exports/ (BOOKING=… TO=exports ENV=local)
	@$(CLIENT) clients.export

erase: .local/tools/ready ## Count what is stored of a booking; erase it if you confirm (BOOKING=… YES=1 FORCE=1 ENV=local)
	@$(CLIENT) clients.erase

mcp: .venv/ready ## An MCP server on stdio: an assistant plays driver or passenger (BOOKING=test ENV=local)
	@exec env PYTHONPATH=layers/shared .venv/bin/python -m clients.mcp_server

# --- To AWS -----------------------------------------------------------------------------------------------------------

.PHONY: build deploy validate
build: .local/tools/ready ## Build layer and functions for Lambda, into .aws-sam/build
	$(TOOLS)/sam build

validate: .local/tools/ready .venv/ready ## Check the template
	$(TOOLS)/sam validate --lint --region us-east-1
	.venv/bin/cfn-lint template.yaml

deploy: .local/tools/ready ## sam build && sam deploy (ENV=staging|production; ARGS=… for more options; ARTIFACTS_BUCKET=…)
	@case "$${ENV:-staging}" in staging | production) ;; *) echo "ENV is staging or production"; exit 1 ;; esac
	$(TOOLS)/sam build --config-env "$${ENV:-staging}"
	@# Every try is a release of its own. A version keeps its settings, so other parameters need another; and of a release
	@# that was rolled back the version is still there, which Lambda publishes no second time.
	environment=$${ENV:-staging}; release=$$(git rev-parse --short HEAD)-$$(date -u +%Y%m%dT%H%M%SZ); \
	$(TOOLS)/sam deploy --config-env $$environment $(if $(ARTIFACTS_BUCKET),--no-resolve-s3 --s3-bucket $(ARTIFACTS_BUCKET)) \
		--parameter-overrides file://deploy/$$environment.yaml Release=$$release $(ARGS)

# --- Checks -------------------------------------------------------------------------------------------------------------

.PHONY: test lint format types unit contract integration template client e2e
test: lint types .local/tools/ready ## All checks, as CI runs them
	@local/missing
	$(PYTEST) --numprocesses auto --ignore tests/e2e --ignore tests/browser
	@# The client's tests run beside the last ones, which often wait. What they say comes afterwards. A Ctrl-C ends them, too.
	@$(MAKE) client >.local/client.log 2>&1 & client=$$!; trap 'kill $$client' INT; $(PYTEST) --numprocesses auto tests/e2e tests/browser; \
	status=$$?; wait $$client || status=$$?; cat .local/client.log; exit $$status

lint: .venv/ready ## Style
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: .venv/ready ## Mend style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

types: .venv/ready ## Types (strict where it ships)
	.venv/bin/pyright

unit: .venv/ready ## The pure rules, in seconds
	$(PYTEST) tests/unit tests/meta

contract: .venv/ready ## The tables' adapters and their fakes, by one suite
	$(PYTEST) tests/contract

integration: .venv/ready ## Each function's doors with real events
	$(PYTEST) tests/integration tests/security

template: .venv/ready .local/tools/ready ## The template, and what is built from it
	$(PYTEST) tests/template

client: .venv/ready ## The JavaScript client and its npm package, in Node
	@if command -v node >/dev/null 2>&1; then node --test tests/client/*.test.mjs; \
	else echo "No Node.js here, so the tests of the reference client (tests/client) are left out"; fi
	@if command -v npm >/dev/null 2>&1; then tests/package/tools && node --test tests/package/*.test.mjs; \
	else echo "No npm here, so the tests of the client's package (tests/package) are left out"; fi

e2e: .venv/ready .local/tools/ready ## Through real HTTP and WebSocket, on the embedded AWS
	$(PYTEST) tests/e2e

# --- Tools --------------------------------------------------------------------------------------------------------------

.PHONY: setup lock docs views
setup: .venv/ready .local/tools/ready ## Install both environments, as locked

.venv/ready: requirements/dev.txt local/venv
	@local/venv .venv requirements/dev.txt >&2

.local/tools/ready: requirements/tools.txt local/venv
	@local/venv .local/tools requirements/tools.txt >&2

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --upgrade
lock: ## Bring the locked dependencies up to date
	$(COMPILE) --group uv --output-file requirements/uv.txt
	$(COMPILE) --group layer --output-file layers/shared/requirements.txt
	$(COMPILE) --group dev --constraints layers/shared/requirements.txt --output-file requirements/dev.txt
	$(COMPILE) --group tools --output-file requirements/tools.txt
	$(COMPILE) --group bench --constraints layers/shared/requirements.txt --output-file requirements/bench.txt
	$(COMPILE) --group awscrt --output-file requirements/awscrt.txt
	$(COMPILE) --group aws-cli --output-file requirements/aws-cli.txt

docs: .venv/ready ## Generate docs/openapi.yaml and docs/asyncapi.yaml
	PYTHONPATH=functions:layers/shared .venv/bin/python -m docs.generator

views: .venv/ready ## Pictures of every view of the console, into .local/views (ONLY="ringing calling")
	@PYTHONPATH=functions:layers/shared exec .venv/bin/python -m tests.browser.views .local/views $(ONLY)

# --- Benchmarks ---------------------------------------------------------------------------------------------------------

.PHONY: bench
BENCHMARKS = fan_out cold_start first_answer warm_path scale scale_out cost end_to_end masking
bench: .venv/ready .local/tools/ready ## Answer the questions of benchmarks/, into docs/benchmarks/ (ONLY=fan_out: one of them)
	@for each in $(or $(ONLY),$(BENCHMARKS)) summary; do \
		PYTHONPATH=functions:layers/shared .venv/bin/python -m benchmarks.$$each || exit; done

# --- Chaos --------------------------------------------------------------------------------------------------------------

.PHONY: chaos
chaos: .venv/ready ## A new history of 1,000 operations and faults, judged (SEED=…: one that was; OPERATIONS=1000 RIDES=4 MUTANTS=1)
	@PYTHONPATH=functions:layers/shared exec .venv/bin/python -m tests.chaos$(if $(MUTANTS),.measure)

# --- Mutants ------------------------------------------------------------------------------------------------------------

.PHONY: mutants mutants-client
mutants: .venv/ready ## Small changes to the code, each of which a test has to see; hours (CHANGED=1: this branch's; SAMPLE=60 SEED=date; ONLY=domain/)
	@PYTHONPATH=functions:layers/shared exec .venv/bin/python -m tests.mutants

mutants-client: .venv/ready ## The same for the JavaScript client, by Stryker; half an hour (CHANGED=1; ONLY=calls; JOBS=2; FORCE=1: all again)
	@exec .venv/bin/python -m tests.mutants.client
