# SPDX-FileCopyrightText: netfleet.tcp contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# The way in for people and for CI. Each target is one line of work; the work itself is in tools/ and lab/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

# ansible-core 2.19 runs on Python 3.11 to 3.13. A version manager's shim may stand on PATH and not run: hence the attempt.
# What is printed is the interpreter itself, not a shim, nor the .venv that a user has activated.
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do "$$p" -c 'import os, sys; \
	(3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit(1); print(os.path.realpath(sys._base_executable))' \
	2>/dev/null && break; done)
endif
VENV := $(CURDIR)/.venv
RUN := $(VENV)/bin/python -m
export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

# Molecule names its state by the folder's last part alone: two clones called main would share it.
MOLECULE := MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/.cache/molecule

.PHONY: help
help: ## Say what can be made
	@sed -nE 's/^([a-z][a-z-]*):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'

##@ Preparation
.PHONY: python deps venv collection-link lock
python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 found on PATH (ansible-core 2.19 runs on these); install one," \
		"or name it: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; }

deps: python ## Install the Debian packages that are missing (requirements/debian.txt)
	@$(PYTHON) -m tools.deps requirements/debian.txt

venv: python ## Make .venv from the locked requirements
	@$(PYTHON) -m tools.venv .venv requirements/dev.txt

collection-link: ## Let this repository be found as the collection netfleet.tcp
	@mkdir -p .cache/collections/ansible_collections/netfleet
	@link=.cache/collections/ansible_collections/netfleet/tcp; [ -L $$link ] || rm -rf $$link
	@ln -sfn ../../../.. .cache/collections/ansible_collections/netfleet/tcp

lock: venv ## Lock requirements/*.in anew
	@$(RUN) tools.lock

##@ Use
.PHONY: demo lab-up lab-down lab-restore bench bench-links scale
demo: deps venv collection-link ## Start the lab fleet and tune it
	@$(RUN) lab up
	@ansible-playbook tune.yml -l cloud
	@ansible-playbook tune.yml -l local
	@echo; echo "Next: . .venv/bin/activate && ansible-playbook tune.yml -l cloud; when you are done: make lab-down"

lab-up: venv collection-link ## Start the lab fleet
	@$(RUN) lab up

lab-down: venv ## Stop and remove the lab fleet, and that of the tests
	@$(RUN) tools.lab_down

lab-restore: venv ## Put the lab fleet back to its clean state
	@$(RUN) lab restore

bench: venv collection-link ## Measure us, ping and our peers on the same hosts
	@$(RUN) tools.bench

bench-links: deps venv collection-link ## Measure WireGuard and IPsec beside plain TCP, between two virtual machines
	@$(RUN) tools.bench_links

scale: venv collection-link ## Measure that the cost per host does not grow with the fleet (10, 100, 300 hosts)
	@$(RUN) tools.scale

##@ Tests
.PHONY: test lint types unit netns sanity collection controllers target-pythons precedence browser loopback monitoring
.PHONY: docs golden format ci-examples molecule test-kernel test-links test-links-core test-faults test-faults-core
.PHONY: test-conditions test-conditions-core test-kube test-kube-core test-kube-light
test: deps venv collection-link ## Run every part below and say how each went (some: make test PARTS="lint unit")
	@$(RUN) tools.parts $(PARTS)

lint: venv collection-link ## Format, ruff, yamllint, ansible-lint, changelog, headers
	@$(RUN) tools.lint

types: venv collection-link ## mypy
	@mypy lab tools tests molecule .cache/collections/ansible_collections/netfleet/tcp/plugins

unit: venv collection-link ## Unit tests
	@pytest tests/unit -n 2

netns: venv collection-link ## Diagnoses and probes between hosts in network namespaces of this machine, with known faults
	@pytest tests/netns

sanity: venv ## ansible-test sanity on what is shipped
	@$(RUN) tools.sanity

collection: venv ## Build the collection, install it elsewhere and use it there
	@$(RUN) tools.collection

controllers: venv ## Unit tests and a run with the current ansible-core on a newer Python
	@$(RUN) tools.controllers

target-pythons: venv ## What runs on hosts, under each Python 3.8 to 3.14 that is found
	@$(RUN) tools.target_pythons

precedence: venv collection-link ## Compare what we say of sysctl.d with systemd-sysctl and sysctl --system themselves
	@$(RUN) tools.precedence

browser: venv collection-link ## The HTML report in a real browser
	@pytest tests/browser

loopback: deps venv collection-link ## Short connections to a real Redis: found, relieved, ended; as root, prints the figures
	@pytest tests/loopback -s

monitoring: venv collection-link ## The role tcp_monitoring against Debian's Prometheus and node_exporter
	@pytest tests/monitoring

ci-examples: venv collection-link ## Run what docs/ci calls
	@pytest tests/ci

molecule: venv collection-link ## Molecule scenario `default`, in containers
	@$(MOLECULE)/default molecule -c .config/molecule/config.yml test -s default

test-kernel: venv collection-link ## Molecule scenario `kernel`, on virtual machines
	@$(MOLECULE)/kernel molecule -c .config/molecule/config.yml test -s kernel

test-conditions: venv collection-link ## Molecule scenario `conditions`: delay, loss and faults between virtual machines, measured and named
	@$(MOLECULE)/conditions molecule -c .config/molecule/config.yml test -s conditions

test-conditions-core: venv collection-link ## Its core: delay and loss by netem; prints what was set and what was measured
	@NETFLEET_CONDITION_TESTS=tests/path $(MOLECULE)/conditions molecule -c .config/molecule/config.yml test -s conditions

test-links: venv collection-link ## Molecule scenario `links`: WireGuard between virtual machines
	@$(MOLECULE)/links molecule -c .config/molecule/config.yml test -s links

test-links-core: venv collection-link ## Its core: without failover, IPsec, drift, narrow paths, and with half of the changes of links in use
	@NETFLEET_LINK_TESTS=tests/links NETFLEET_LINK_EVENTS=core $(MOLECULE)/links molecule -c .config/molecule/config.yml test -s links

test-faults: venv collection-link ## Break changes on virtual machines, by every fault at every step: killed, cut, no space, no power
	@rm -f .cache/faults.txt
	@status=0; $(MOLECULE)/faults molecule -c .config/molecule/config.yml test -s faults || status=$$?; \
		cat .cache/faults.txt || true; exit $$status

test-faults-core: venv collection-link ## A few of these faults at a few steps
	@NETFLEET_FAULT_TESTS=tests/core $(MOLECULE)/faults molecule -c .config/molecule/config.yml test -s faults

# Without kube-proxy and an API server nothing is tested: tools.kube_binaries says SKIPPED then, and why.
KUBE := tools.kube_binaries $(VENV)/bin/molecule -c .config/molecule/config.yml test -s kube
test-kube: deps venv collection-link ## Molecule scenario `kube`: kube-proxy itself changes its mode, on three virtual machines
	@$(MOLECULE)/kube $(RUN) $(KUBE)

test-kube-core: deps venv collection-link ## Its core: kube-proxy as a service of each node
	@NETFLEET_KUBE_TESTS=tests/node_road $(MOLECULE)/kube $(RUN) $(KUBE)

test-kube-light: deps venv collection-link ## Its part that goes through the API, on namespaces in place of virtual machines
	@NETFLEET_KUBE_LIGHT=1 NETFLEET_LAB_OFFSET=8 NETFLEET_LAB_DIR=$(CURDIR)/.lab/kube-light \
		$(RUN) tools.kube_binaries $(VENV)/bin/pytest molecule/kube/tests/api_road

docs: venv collection-link ## Write the generated pages of docs/ anew
	@$(RUN) tools.reference

golden: venv collection-link ## Write what the example inventory renders to anew
	@ansible-playbook playbooks/render.yml -i inventories/example -e tcp_render_directory=$(CURDIR)/tests/golden/example

format: venv ## Format the Python sources
	@ruff format . && ruff check --fix .

##@ Cleaning
.PHONY: clean distclean
clean: ## Remove what the tests and tools made; the lab and .venv stay
	@rm -rf .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.tar.gz
	@find .cache -mindepth 1 -maxdepth 1 ! -name bootstrap -exec rm -rf {} + 2>/dev/null || true
	@find lab tools plugins tests molecule -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: ## Stop the lab, and remove everything that git does not know of
	@if [ -x $(VENV)/bin/python ] && [ -d .lab ]; then $(RUN) tools.lab_down; fi
	@$(MAKE) clean
	@rm -rf .cache .lab .venv .venv-*
