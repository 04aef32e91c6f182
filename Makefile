# The two commands of the README, and what developers use between them. Everything is set up on first use.
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint fast floor client reference bench histories fuzz matrix campaign chaos clean

demo: $(VENV)/.demo
	@exec $(BIN)/realtime demo

# What is compiled is kept, whatever the environment says: a hundred processes start, and six collect all the tests.
test: export PYTHONDONTWRITEBYTECODE :=
# Six processes on two cores: much of the time a test waits, as tests/lanes.py knows; `make test N=12` where there are
# more. Types are checked beside them. On a fresh checkout one process compiles all the tests, instead of each.
# Continuous integration writes down nothing for the next check of types, which is a fifth of the first.
N ?= 6
test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy $(if $(CI),--cache-dir=/dev/null) >$(VENV)/.types 2>&1 & types=$$!; \
		[ -e $(VENV)/.compiled ] || $(BIN)/pytest --collect-only -q >$(VENV)/.compiled 2>&1; \
		$(BIN)/pytest -n $(N); tests=$$?; \
		wait $$types || { tests=1; cat $(VENV)/.types; }; exit $$tests

# The tests that need no lint and no second process: for the minute between two edits.
fast: $(VENV)/.dev
	$(BIN)/pytest -x -q tests/core tests/transports tests/protocols

# The oldest aiohttp that is allowed, and other Pythons that are installed: a minute each.
floor:
	@sh .ci/floor

lint: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# Builds client-js/dist from client-js/src, and prints the sizes.
client:
	@sh .ci/node
	@cd client-js && npm run --silent build

# Writes docs/python.md from the docstrings.
reference: $(VENV)/.dev
	$(BIN)/python -m tests.reference --write

# realtime beside its peers, and how cost grows; takes about ten minutes, and wants an idle machine. With ARGS="--write"
# it writes docs/speed.md and its charts. `$(BIN)/python -m benchmarks --quick websocket-echo` measures one thing, and
# `$(BIN)/python -m benchmarks.events --write` events beside Socket.IO's servers.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.comparison $(ARGS)

# 10,000 histories of the simulated world by each of two clients; takes some minutes. `make histories ARGS="--start 10000"`
# for others, "--only 4711" for one again.
histories: $(VENV)/.dev
	$(BIN)/python -m tests.core $(ARGS)

# 100,000 generated inputs; takes a few minutes. `make fuzz ARGS="--seed 2"` for others, "--seed 2 --only 4711" for one.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz $(ARGS)

# Every browser engine under every fault, and the example flashsocket; takes about ten minutes, and writes
# docs/browsers.md. `make matrix ARGS=--flash` for the example alone.
matrix: $(VENV)/.dev
	@sh .ci/flash
	$(BIN)/python -m tests.browsers.matrix --write $(ARGS)

# Random faults between pages in real browsers, or the client in Node, and a server; takes some minutes.
# `make campaign ARGS="--faults 20000"` for more, "--seed 2" for others, "--seed 2 --only 47 --engine firefox" for one run again.
campaign: $(VENV)/.dev
	$(BIN)/python -m tests.browsers.campaign $(ARGS)

# Four workers behind nginx and haproxy, clients of every kind, and harm: `make chaos ARGS="--seconds 600 --seed 2"`; and
# the same with durable sessions.
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(ARGS)
	$(BIN)/python -m tests.chaos.durable $(ARGS)

$(VENV)/.demo: pyproject.toml
	@VENV=$(VENV) sh .ci/setup "[redis]"
	@touch $@

$(VENV)/.dev: pyproject.toml .ci/setup .ci/boxes .ci/node .ci/clients .ci/browsers client-js/package-lock.json \
		tests/browsers/lab/package.json $(wildcard tests/compat/*/package-lock.json examples/*/package-lock.json)
	@VENV=$(VENV) sh .ci/setup "[dev]"
	@touch $@ $(VENV)/.demo

# What is compared: packages of PyPI, and of npm where Node is there.
$(VENV)/.bench: $(VENV)/.dev benchmarks/node/package-lock.json
	$(BIN)/pip install --quiet -e ".[bench]"
	@if command -v npm >/dev/null; then cd benchmarks/node && npm ci --silent --no-audit --no-fund; fi
	@touch $@

clean:
	rm -rf $(VENV) client-js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
