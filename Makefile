# Two commands are enough: `make reduce` and `make test`. `make help` lists the others.

PYTHON  ?= python3
VENV    ?= .venv
METHOD  ?= umap
BACKEND ?= auto
CACHE_DIR ?=
PCA_DIM ?=
ARGS    ?=
EXTRAS  ?=
TORCH_INDEX ?=
RAPIDS_VENV ?= .venv-rapids
SIZE    ?= quick
DATA    ?=
MNIST   ?=
RUNS    ?=

# In a shell, "$$CACHE_DIR" keeps spaces and quotes as they are.
export CACHE_DIR DATA MNIST

ifeq ($(strip $(VENV)),)
# An environment that is active already, such as conda's: take what is there, add only what is missing.
PY     := $(PYTHON)
PINS   :=
READY  := ready
DEV    := ready-dev
else
PY     := $(VENV)/bin/python
PINS   := -c $(if $(findstring cu13,$(EXTRAS)),constraints-cu13.txt,constraints.txt)
READY  := $(VENV)/.ready
DEV    := $(VENV)/.ready-dev
endif
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
# Where Python may not write bytecode itself (PYTHONDONTWRITEBYTECODE), each run would compile all sources anew.
COMPILED := $(PY) -m compileall -q gpuvis
BIOME   = BIOME_CONFIG_PATH=tests/biome.json $(if $(VENV),$(VENV)/bin/)biome
OF_PAGE = $(wildcard gpuvis/page/*.js gpuvis/page/*.css)
TORCH  := $(shell grep '^torch==' constraints.txt)
comma  := ,
EXTRA  := $(if $(strip $(EXTRAS)),[$(EXTRAS)])
RAPIDS := --no-print-directory VENV="$(RAPIDS_VENV)" EXTRAS=cu13
# Only what the user says goes to Docker, even if it is nothing: each image has its own index for torch.
DOCKER := docker build $(if $(filter file,$(origin TORCH_INDEX)),,--build-arg TORCH_INDEX="$(TORCH_INDEX)")

.DEFAULT_GOAL := help
.PHONY: help install install-dev torch ready ready-dev demo reduce reduce-umap reduce-tsne test lint format types bench \
  bench-steps bench-neighbors bench-others bench-page bench-labels test-gpu test-gpu-core bench-gpu test-rapids rapids-signatures in-rapids docker docker-test docker-gpu clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make reduce CACHE_DIR="my cache" METHOD=tsne PCA_DIM=50 BACKEND=cpu ARGS="--overwrite"'
	@echo '  make install EXTRAS=cu13               with RAPIDS, for a GPU (CUDA 13)'
	@echo '  make install TORCH_INDEX=https://download.pytorch.org/whl/cpu    with a small torch, for the CPU only'
	@echo '  make install PYTHON=python VENV=       into the environment that is active (conda)'

install: torch  ## install gpuvis (EXTRAS=, TORCH_INDEX=, PYTHON=, VENV=)
	$(PIP) $(PINS) -e ".$(EXTRA)"
	@$(COMPILED)
	@$(if $(VENV),touch $(READY))

install-dev: torch
	$(PIP) $(PINS) -e ".[dev$(if $(strip $(EXTRAS)),$(comma)$(EXTRAS))]"
	@$(COMPILED)
	@$(if $(VENV),touch $(READY) $(DEV))

torch: $(if $(VENV),$(VENV)/bin/pip)
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url "$(TORCH_INDEX)" $(TORCH))

demo: $(READY)  ## write the demo cache, 1,797 handwritten digits, to demo_cache
	@$(PY) -m gpuvis demo demo_cache

reduce: $(READY)  ## draw the map of CACHE_DIR, or of the demo cache (METHOD=, PCA_DIM=, BACKEND=, ARGS=)
	@$(if $(CACHE_DIR),,$(PY) -m gpuvis demo demo_cache >/dev/null)
	@$(PY) -m gpuvis reduce $(if $(CACHE_DIR),"$$CACHE_DIR",demo_cache) $(addprefix --,$(METHOD)) \
	  --backend $(BACKEND) $(if $(PCA_DIM),--pca_dim $(PCA_DIM)) $(ARGS)

reduce-umap:  ## the same with METHOD=umap
	@$(MAKE) --no-print-directory reduce METHOD=umap

reduce-tsne:  ## the same with METHOD=tsne
	@$(MAKE) --no-print-directory reduce METHOD=tsne

test: $(DEV)  ## run the test suite (ARGS=)
	$(PY) -m pytest --cov --cov-report=term $(ARGS)

lint: $(DEV)  ## check style
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(BIOME) format $(OF_PAGE)
	@joined=$$(mktemp --suffix=.js) && trap "rm -f $$joined" EXIT && \
	  $(PY) -c 'from gpuvis.page.figure import script; print(script(), end="")' > $$joined && \
	  $(BIOME) lint --error-on-warnings $$joined $(filter %.css,$(OF_PAGE))

format: $(DEV)  ## mend style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(BIOME) format --write $(OF_PAGE)

types: $(DEV)  ## check types
	$(PY) -m mypy

bench: $(READY)  ## time gpuvis against the plain pipeline, and judge its maps (SIZE=quick|standard|full, DATA=, MNIST=, RUNS=, ARGS=)
	$(PY) tests/benchmarks/bench.py --size $(SIZE) $(if $(DATA),--data "$$DATA") $(if $(MNIST),--mnist "$$MNIST") \
	  $(if $(RUNS),--runs $(RUNS)) $(ARGS)

bench-steps: $(DEV)  ## time single steps, and fail where one has become slow (ARGS=)
	$(PY) -m pytest tests/benchmarks $(ARGS)

bench-neighbors: $(READY)  ## time programs that find neighbours on CACHE_DIR, or on made-up data (ARGS=)
	$(PY) tests/benchmarks/neighbors.py $(if $(CACHE_DIR),"$$CACHE_DIR") $(ARGS)

bench-others: $(READY)  ## time other programs that draw such maps on CACHE_DIR, and judge their maps (ARGS=)
	$(PY) tests/benchmarks/others.py "$$CACHE_DIR" $(ARGS)

bench-page: $(DEV)  ## measure the page beside one of plotly.express (MNIST=, a cache with its map; ARGS=)
	$(PY) tests/benchmarks/bench_page.py $(if $(MNIST),--mnist "$$MNIST") $(ARGS)

bench-labels: $(DEV)  ## compare how well wrong labels are found with cleanlab, which has to be installed (MNIST=, a cache; ARGS=)
	$(PY) tests/benchmarks/labels.py $(if $(MNIST),--mnist "$$MNIST") $(ARGS)

test-gpu: $(DEV)  ## on a machine with a GPU: run what has to be shown there (make install EXTRAS=cu13 first; ARGS=)
	$(PY) -m pytest -m gpu tests/gpu $(ARGS)

test-gpu-core: $(DEV)  ## the part of it that needs torch and CuPy alone (ARGS=)
	$(PY) -m pytest -m gpu_core tests/gpu $(ARGS)

bench-gpu: $(READY)  ## on a machine with a GPU: time it against the CPU on CACHE_DIR, or on data made up to a million rows (ARGS=)
	$(PY) tests/benchmarks/bench_gpu.py $(if $(CACHE_DIR),"$$CACHE_DIR") $(ARGS)

test-rapids:  ## on any machine: check against the real RAPIDS packages, in a venv of their own of 5.5 GB (RAPIDS_VENV=, ARGS=)
	@$(MAKE) $(RAPIDS) in-rapids WHAT="-m pytest tests/rapids_real"

rapids-signatures:  ## in the same venv: write down anew the signatures that the tests hold RAPIDS to
	@$(MAKE) $(RAPIDS) in-rapids WHAT=tests/rapids_real/record.py

in-rapids: $(DEV)
	$(PY) $(WHAT) $(ARGS)

docker:  ## build the image for the CPU, gpuvis:cpu (TORCH_INDEX=)
	$(DOCKER) --target cpu --tag gpuvis:cpu .

docker-test:  ## build the image of the test suite, gpuvis:test, and run it (TORCH_INDEX=)
	$(DOCKER) --target test --tag gpuvis:test .
	docker run --rm gpuvis:test

docker-gpu:  ## build the image with RAPIDS, gpuvis:gpu (TORCH_INDEX=)
	$(DOCKER) --target gpu --tag gpuvis:gpu .

clean:  ## remove what these targets made
	rm -rf .venv .venv-rapids demo_cache build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage
	find gpuvis tests -name __pycache__ -prune -exec rm -rf {} +

ifneq ($(strip $(VENV)),)
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "gpuvis needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; name another one with PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.ready: pyproject.toml constraints.txt constraints-cu13.txt
	@$(MAKE) --no-print-directory install

$(VENV)/.ready-dev: pyproject.toml constraints.txt constraints-cu13.txt
	@$(MAKE) --no-print-directory install-dev
else
ready:
	@$(PY) -m pip show --quiet gpuvis 2>/dev/null || $(MAKE) --no-print-directory install

ready-dev:
	@$(PY) -c 'import pytest, pytest_benchmark, pytest_cov, hypothesis, ruff, mypy' 2>/dev/null || $(MAKE) --no-print-directory install-dev
endif
