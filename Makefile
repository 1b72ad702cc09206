# Developers' own tasks. Users need only ./kilonova.
BIN := .venv/bin
.PHONY: help lint format types contracts test coverage acceptance bench bench-actions bench-network bench-guest bench-snapshot chaos clients horizon armor screenshots

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

lint: types contracts ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: ## rewrite in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports --no-logo

test: ## all checks and tests
	./kilonova test

coverage: ## the same, and fail below 98 % of the branches of workflows and activities, as CI does
	./kilonova test --coverage

acceptance: ## a cloud of its own, the walkthrough, and down again
	.ci/run acceptance

bench: ## what a boot costs, beside the floor of the same run; docs/benchmarks.md has the last table
	$(BIN)/python -m tests.bench $(ARGS)

bench-actions: ## what actions on a server cost, beside a bare workflow of their shape
	$(BIN)/python -m tests.bench.actions

bench-network: ## the data plane beside a bare bridge and a bare VXLAN
	$(BIN)/python -m tests.bench.network

bench-guest: ## POST to ssh with a real guest, beside a bare virsh create
	$(BIN)/python -m tests.bench.guest

bench-snapshot: ## an image of a server's disk of 1 GiB, beside qemu-img convert and its upload
	$(BIN)/python -m tests.bench.snapshot

chaos: ## kill everything at random and count what was lost
	$(BIN)/python -m tests.chaos $(ARGS)

clients: ## OpenTofu and Ansible, unmodified, against a cloud with real guests; docs/clients.md
	$(BIN)/python -m tests.clients $(ARGS)

horizon: ## Horizon's pages in Chromium, against a cloud with real guests; docs/clients.md
	$(BIN)/python -m tests.horizon

armor: ## guests under AppArmor, in a virtual machine whose kernel has it; docs/security.md
	$(BIN)/python -m tests.armor

screenshots: ## pictures of the Web UI and of a console, for the README
	$(BIN)/python -m tests.screenshots $(ARGS)
