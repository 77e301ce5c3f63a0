# Every verb sets up what it needs in a local virtual environment, once, and again when
# pyproject.toml or constraints.txt change.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
SERVICE_VENV ?= .venv-service
THIRD_PARTY_VENV ?= .venv-third-party
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SERVICE_READY := $(SERVICE_VENV)/.ready
THIRD_PARTY_READY := $(THIRD_PARTY_VENV)/.ready
OPENVINO_VENV ?= .venv-openvino
OPENVINO_READY := $(OPENVINO_VENV)/.ready
CLIENT_VENVS ?= .venv-clients
CLIENTS ?= kserve mlserver perf_analyzer
REPOSITORY ?= model_repository
PACKAGES := bundle exporters models normserve service

define install
	@echo "setting up $(1) (once; some minutes on a fresh machine)"
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(2)]'
	touch $(1)/.ready
endef

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(call install,$(VENV),cpu$(,)export$(,)demo$(,)dev)

# The service's own environment: no torch in it, nor anything else that it does not need.
$(SERVICE_READY): pyproject.toml constraints.txt
	$(call install,$(SERVICE_VENV),cpu$(,)test)

# The service's, on the other build of ONNX Runtime, which excludes the first.
$(OPENVINO_READY): pyproject.toml constraints.txt
	$(call install,$(OPENVINO_VENV),openvino$(,)test)

# Libraries of architectures, in a layer over the first environment, so that torch is there once and
# nothing of theirs is in the first.
$(THIRD_PARTY_READY): $(READY) tests/third_party/constraints.txt
	@echo "setting up $(THIRD_PARTY_VENV) (once)"
	test -x $(THIRD_PARTY_VENV)/bin/python || $(PYTHON) -m venv $(THIRD_PARTY_VENV)
	below=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	above=$$($(THIRD_PARTY_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$below')" > "$$above/layer.pth"
	$(THIRD_PARTY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --constraint tests/third_party/constraints.txt \
	  diffusers einops monai transformers
	touch $@

# Clients whose packages exclude ours and each other's, each in an environment of its own.
FOREIGN := tests/clients/foreign
$(CLIENT_VENVS)/%/.ready: $(FOREIGN)/%.txt
	@echo "setting up $(@D) (once)"
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# That one is linked with a library that Python packages do not bring; Debian's and Ubuntu's do.
$(CLIENT_VENVS)/perf_analyzer/debian: | $(CLIENT_VENVS)/perf_analyzer/.ready
	mkdir -p $@.download
	cd $@.download && apt-get download libb64-0d && dpkg-deb --extract libb64-0d_*.deb .
	mv $@.download $@

, := ,

.PHONY: setup
setup: $(READY) ## the virtual environment

.PHONY: demo
demo: $(READY) ## export, prove, serve and question all networks; leaves the service running
	$(BIN)/normserve demo --repository $(REPOSITORY)

.PHONY: demo-once
demo-once: $(READY) ## the same, stops the service; exit status 0 only if everything agreed
	$(BIN)/normserve demo --once --repository $(REPOSITORY)

.PHONY: test
test: $(READY) $(SERVICE_READY) ## all tests, and the service's again where there is no torch
	$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered
	$(SERVICE_VENV)/bin/python -m pytest -q -n auto -p no:cacheprovider tests/bundle tests/service

.PHONY: test-clients
test-clients: $(READY) $(CLIENTS:%=$(CLIENT_VENVS)/%/.ready)
test-clients: $(if $(filter perf_analyzer,$(CLIENTS)),$(CLIENT_VENVS)/perf_analyzer/debian)
test-clients: ## clients in environments of their own: KServe's, MLServer's, perf_analyzer
	for client in $(CLIENTS); do \
	  SERVER_PYTHON=$(abspath $(BIN)/python) $(CLIENT_VENVS)/$$client/bin/python -m pytest -q \
	    -p no:cacheprovider -c $(FOREIGN)/pytest.ini --rootdir $(FOREIGN) --confcutdir $(FOREIGN) $(FOREIGN); \
	done

.PHONY: test-openvino
test-openvino: $(OPENVINO_READY) ## the networks of the zoo on OpenVINO, in an environment of its own
	test -d $(REPOSITORY) || $(MAKE) export
	$(OPENVINO_VENV)/bin/python -m pytest -q -n auto -p no:cacheprovider tests/openvino \
	  tests/bundle/test_opener.py tests/bundle/test_opener_on_a_gpu.py tests/bundle/test_device_runs.py \
	  tests/bundle/test_recorded_runs.py tests/bundle/test_openvino_forms.py tests/service/test_loading.py

# Some of the architectures, over every normalization and library, for a change's own check.
SOME_ARCHITECTURES := autoencoder_kl bert convnext dac detr densenet dit efficientnet gpt2 hifigan \
  levit llama mobilenet_v2 patch_discriminator regnet resnet segformer segresnet swin t5_encoder \
  unet_2d unet_batch_norm unet_group_norm unet_instance_norm vit vits wav2vec2_group_norm

.PHONY: test-some-third-party
test-some-third-party: $(THIRD_PARTY_READY) ## the same for a third of them, some minutes
	ids='$(foreach name,$(SOME_ARCHITECTURES),[$(name)] or [$(name)-1] or)'; \
	$(THIRD_PARTY_VENV)/bin/python -m pytest -n 2 tests/third_party -k "$${ids% or}"

.PHONY: test-third-party
test-third-party: $(THIRD_PARTY_READY) ## export and prove architectures of transformers, monai and diffusers
	$(THIRD_PARTY_VENV)/bin/python -m pytest -n 2 tests/third_party

.PHONY: lint
lint: $(READY) ## ruff and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: $(READY) ## mypy, strict
	$(BIN)/mypy

.PHONY: format
format: $(READY) ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: train
train: $(READY) ## train the networks anew (NAMES="resnet unet", all by default)
	$(BIN)/normserve train $(or $(NAMES),--all)

.PHONY: export
export: $(READY) ## export all networks into the repository
	$(BIN)/normserve export --all --overwrite --repository $(REPOSITORY)

.PHONY: validate
validate: $(READY) ## run every check on the repository, as served too
	test -d $(REPOSITORY) || $(MAKE) export
	$(BIN)/normserve validate $(REPOSITORY)

.PHONY: serve
serve: $(READY) ## serve the repository on port 8000
	test -d $(REPOSITORY) || $(MAKE) export
	$(BIN)/normserve serve --repository $(REPOSITORY)

.PHONY: bench
bench: bench-graphs bench-serving ## measure the exported graphs, then the service; some twenty-five minutes

.PHONY: bench-graphs
bench-graphs: $(READY) ## measure the exported graphs against plain torch.onnx.export
	$(BIN)/python benchmarks/exported_graphs.py

.PHONY: bench-serving
bench-serving: $(READY) ## measure the service: PARTS="overload cold", or all (wants h2load, Debian's nghttp2-client)
	$(BIN)/python benchmarks/serving $(PARTS:%=--only %)

.PHONY: bench-third-party
bench-third-party: $(THIRD_PARTY_READY) ## measure how long those architectures take to make and to run, against plain torch.onnx.export
	PYTHONPATH=. $(THIRD_PARTY_VENV)/bin/python benchmarks/third_party.py

.PHONY: docs
docs: $(READY) ## write the generated pages: the manifest's JSON Schema
	$(BIN)/python docs/generate.py

.PHONY: docker-test
docker-test: $(READY) ## build the image, run it with Compose and question it (needs a Docker engine)
	test -d $(REPOSITORY) || $(MAKE) export
	$(BIN)/python -m pytest -m docker tests/docker

.PHONY: clean
clean: ## remove the virtual environments and what tools left behind
	rm -rf $(VENV) $(SERVICE_VENV) $(THIRD_PARTY_VENV) $(OPENVINO_VENV) $(CLIENT_VENVS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
