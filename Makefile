# Two commands: `make demo` runs the loop on the miniature, `make test` passes the tests.
# Both install what they need into .venv first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= vlt-demo
JOBS   ?= 2
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test docs docs-serve browser shared-disk test-vllm test-vllm-full test-ray test-models test-newest test-fast lint format install clean help
.PHONY: bench-arms bench-loop bench-gen bench-grade bench-hedging bench-filters bench-train bench-gpu bench-import bench-push bench-view bench-ray pictures bench-label

help:           ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/run.stamp      ## the whole loop, for real, on two CPU cores, in minutes
	$(BIN)/vlt demo $(DEMO)

test: install   ## all tests, two at a time (JOBS=N)
	$(BIN)/python -m pytest -n $(JOBS)

docs: install   ## the documentation, strictly, into docs/_build/html
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

docs-serve: docs        ## the documentation at http://127.0.0.1:8000 (PORT=N)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory docs/_build/html $(or $(PORT),8000)

browser: install        ## a Chromium for the tests of pages and the pictures, where there is none (Debian's)
	$(BIN)/python -m benchmarks.browser || { $(AS_ROOT) apt-get update -qq && \
	  $(AS_ROOT) apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }

shared-disk:            ## GlusterFS (Debian's) for the tests of disks that hosts share; without it they are skipped
	command -v glusterfsd > /dev/null || { $(AS_ROOT) apt-get update -qq && \
	  $(AS_ROOT) apt-get install -y -qq --no-install-recommends glusterfs-server glusterfs-client; }

test-vllm: install      ## generation with a real vLLM on the CPU; builds its environment once, in the user's cache
	$(BIN)/python -m tests.real_vllm.environment
	$(BIN)/python -m tests.real_vllm.for_trl
	$(BIN)/python -m pytest tests/real_vllm $(AGAIN)

test-ray: install       ## stages, generation and training on a Ray cluster on this machine, nodes killed
	$(BIN)/python -m pytest tests/on_ray $(AGAIN)

test-vllm-full: install ## the recipe for one GPU with a real vLLM, killed in every step of two rounds; a quarter of an hour
	$(BIN)/python -m tests.real_vllm.environment
	VLT_EVERY_STEP=1 $(BIN)/python -m pytest tests/real_vllm/test_single_gpu.py

test-newest: install    ## the loop with the newest libraries, without constraints.txt; builds an environment a week
	$(BIN)/python -m tests.newest

test-models: install    ## every family of models through every step, tiny (docs/models.md)
	$(BIN)/python -m pytest tests/models -n $(JOBS) --dist loadgroup

test-fast: install      ## the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

lint: install   ## ruff, mypy, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-arms: install     ## both miniatures, all arms, three seeds, side by side; within an hour on two cores
	$(BIN)/python -m benchmarks.arms

bench-loop: install     ## the miniature with three seeds: accuracy per round with 95 % intervals
	$(BIN)/python -m benchmarks.loop

bench-label: install    ## majority answers in the golds' place: how many are right, and SFT on them
	$(BIN)/python -m benchmarks.label

bench-gen: install      ## what generation costs; CURATOR=DIR, a venv with bespokelabs-curator, beside it
	$(BIN)/python -m benchmarks.gen $(if $(CURATOR),--curator $(CURATOR))

bench-grade: install    ## the grader beside math-verify and mathruler; ATTACK=1: the adversary, TRIES=N
	$(BIN)/python -m benchmarks.grade $(if $(ATTACK),--attack $(if $(TRIES),--tries $(TRIES)))

bench-hedging: install  ## GRPO with a policy that hedges: the reward teaches it not to
	$(BIN)/python -m benchmarks.hedging --items 240 --steps 20

bench-filters: install  ## filters, dedup and near dedup; ROWS=1000000 for a million
	$(BIN)/python -m benchmarks.filters $(if $(ROWS),--rows $(ROWS))

bench-train: install    ## vlt train beside TRL by hand: what we add to a step and to the start
	$(BIN)/python -m benchmarks.train

bench-gpu: install      ## one GPU's figures in about eight minutes: trainings, generation, memory, the loop
	$(BIN)/python -m benchmarks.gpu_check

bench-import: install   ## importing images beside copying and hashing the files
	$(BIN)/python -m benchmarks.import

bench-push: install     ## pushing to a Hub on loopback, in bounded memory; ROWS=100000 for 3 GB
	$(BIN)/python -m benchmarks.push $(if $(ROWS),--rows $(ROWS))

bench-view: install     ## vlt view over a million rows: time to the first row, queries, memory; ROWS=N
	$(BIN)/python -m benchmarks.view $(if $(ROWS),--rows $(ROWS))

bench-ray: install      ## a Ray cluster on this machine: replicas, 1 to 64; data stages, 1 to 3 nodes (ROWS=N)
	$(BIN)/python -m benchmarks.ray_generation
	$(BIN)/python -m benchmarks.ray_stages $(if $(ROWS),--rows $(ROWS))

pictures: install       ## the README's pictures, from the demo's workspace
	$(BIN)/python -m benchmarks.screenshots $(DEMO)

install: $(VENV)/dev.stamp   ## everything a developer needs, into .venv

# torch comes first and by exact version: a range may bring a build for GPUs of several gigabytes.
$(VENV)/run.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	$(BIN)/python tests/torchvision_cpu.py
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

clean:          ## remove the environment, caches and the demo's workspace
	rm -rf $(VENV) docs/_build docs/reference docs/notebooks/*.md vlt-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info build dist
