# SPDX-License-Identifier: Apache-2.0
# make demo and make test each set up what they need and run; make help lists the rest.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
FINN := finn-plus==1.6.1
# What drivers on a board import; their pins ask for another NumPy and for gRPC, which no test needs.
PYNQ := pynq==4.0.0 pynqmetadata==0.2.0 pynqutils==0.1.3 finn-plus-driver==1.6.1
JOBS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
export FINN_BUILD_DIR ?= $(CURDIR)/.cache/finn
export PYTHONUNBUFFERED := 1

.PHONY: help setup demo test test-full sanitize mutants lint synth-table finn-table timing timing-published calibrate constructs docs clean
help:
	@echo "make demo       shipped network on every backend, compared bit by bit (writes demo/report.html)"
	@echo "make test       linters, types, import contracts, tests that fit in 25 minutes on 2 cores"
	@echo "make test-full  the long tests as well (whole networks in Verilator, all kernel cases)"
	@echo "make mutants    plants every fault of tests/mutants and says which test notices (about an hour)"
	@echo "make sanitize   CPU tests on an engine built with AddressSanitizer and UBSan; part of test-full"
	@echo "make lint       ruff, mypy and import-linter alone"
	@echo "make synth-table  measures the table of docs/03_reference/synthesis.md again"
	@echo "make finn-table measures FINN's matrix-vector units beside andpop's again, for the same page"
	@echo "make timing     measures the clocks of docs/03_reference/timing.md again"
	@echo "make timing-published BUILDS='\"TITLE=BUILD\" ...'  measures those of whole builds there"
	@echo "make calibrate  measures every kernel again and renews the tables of their costs (an hour)"
	@echo "make constructs  writes the table of what can be built, docs/03_reference/foreign_networks.md"
	@echo "make docs       builds the documents as a site into .cache/site"
	@echo "make setup      the .venv that the others use; done by each of them on its own"
	@echo "make clean      removes .venv and all caches"

setup: $(VENV)/.ready $(VENV)/.installed
	@mkdir -p $(FINN_BUILD_DIR) .cache/src && ln -sfn ../.. .cache/src/andpop

$(VENV)/.ready: requirements.lock
	@for tool in g++ make perl; do command -v $$tool >/dev/null || { \
	  echo "setup: $$tool is missing; install it (Debian: apt-get install g++ make perl) and run make again"; exit 3; }; done
	@$(if $(PYTHON),:,echo "setup: python3.11 is missing; install Python 3.11 and run make again"; exit 3)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"setup: found Python {v[0]}.{v[1]}, expected 3.11; run make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "setup: Python's venv module is missing; install it (Debian: apt-get install python3.11-venv)"; exit 3; }
	@rm -rf $(VENV)
	@echo "setup: creating $(VENV) and installing the pinned packages (a minute or two, 2.5 GB)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps $(FINN)
	@$(PIP) install --no-deps --no-build-isolation $(PYNQ)
# The wheel of pynq has a package called tests, which would hide ours from a new process.
	@rm -rf $(VENV)/lib/python3.11/site-packages/tests
	@touch $@

$(VENV)/.installed: $(VENV)/.ready setup.py pyproject.toml __init__.py $(wildcard hw/cpu/src/* hw/cpu/src/*/* hw/cpu/src/*/*/*)
	@echo "setup: building the CPU engine and installing andpop into $(VENV)"
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

demo: setup
	@$(BIN)/andpop demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p andpop
	$(BIN)/lint-imports --no-cache

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup -m "not full"

test-full: lint sanitize
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

mutants: setup
	$(BIN)/python tests/mutants/run.py --jobs $(JOBS)

# Whatever the sanitizers find ends the program: a finding is a failed test. Python's own flags ask
# for -fwrapv, under which no signed overflow would be found.
SANITIZED := $(CURDIR)/.cache/sanitized
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -fno-wrapv
sanitize: setup
	CXXFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(BIN)/python setup.py -q build_ext \
	  --build-temp $(SANITIZED)/objects --build-lib $(SANITIZED)
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	  ANDPOP_SANITIZED=$(SANITIZED) PYTHONPATH=$(CURDIR)/tests/sanitized \
	  $(BIN)/python -m pytest -m "not full" tests/test_cpu.py tests/test_cpu_files.py \
	    tests/test_cpu_networks.py tests/test_cpu_heads.py tests/test_cpu_u_binet.py \
	    tests/test_cpu_kernels.py $(wildcard tests/test_packed_*.py)

synth-table: setup
	$(BIN)/python -m andpop.hw.synth.table docs/03_reference/synthesis.md

finn-table: setup
	$(BIN)/python tests/finn_table.py docs/03_reference/synthesis.md

timing: setup
	$(BIN)/python -m andpop.hw.synth.timing_table docs/03_reference/timing.md

# BUILDS: folders of builds, each with the title that its table gets in front: TITLE=BUILD.
timing-published: setup
	$(BIN)/python -m andpop.hw.synth.timing_published docs/03_reference/timing.md $(BUILDS)

# Networks whose nodes count beside the cases of the kernels: NAME_SIDE_CYCLES.
CALIBRATED := bi-shufflenet-neu_32_8192 pa-resnet-small-m4n5-neu_32_8192 u-binet-k4-mt_32_8192 \
              bi-shufflenet-neu_128_131072 bi-shufflenet-neu_128_65536 \
              pa-resnet-small-m4n5-neu_64_32768 u-binet-k4-mt_112_100352
CNVS := cnv_33000 cnv_10000
calibrate: setup
	mkdir -p .cache/calibrate
	PYTHONPATH=tests $(BIN)/python -c 'from pathlib import Path; import foreign_networks as f; \
	  f.export_cnv(Path(".cache/calibrate/cnv.onnx"))'
	for build in $(CALIBRATED); do \
	  set -- $$(echo $$build | tr _ ' '); \
	  $(BIN)/andpop build models/zoo/$$1.safetensors --out .cache/calibrate/$$build \
	    --input $$2x$$2x1 --target-cycles $$3 --until emit || exit 1; \
	done
	for build in $(CNVS); do \
	  $(BIN)/andpop build .cache/calibrate/cnv.onnx --out .cache/calibrate/$$build \
	    --target-cycles $${build#cnv_} --until emit || exit 1; \
	done
	$(BIN)/python -m andpop.hw.synth.calibrate \
	  --build $(addprefix .cache/calibrate/,$(CALIBRATED) $(CNVS))

constructs: setup
	$(BIN)/python -m andpop.hw.graph.constructs docs/03_reference/foreign_networks.md

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -q
	@echo ".cache/site/index.html"

clean:
	rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache build *.egg-info
