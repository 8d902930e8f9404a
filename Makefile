# Two commands: `make run` opens the window, `make test` proves it. Both bring all they need (tools/setup.sh).
.PHONY: run images test demo lint setup setup-test bench package lock screenshots
VENV := .venv/bin

run: setup
	$(VENV)/python -m genai_desktop $(ARGS)

# the image engine is compiled on this computer: some minutes, once
images:
	@tools/setup.sh images

setup:
	@tools/setup.sh run

setup-test:
	@tools/setup.sh test

test: setup-test
	$(VENV)/python -m pytest -n 2 --dist loadgroup $(ARGS)

demo: setup-test
	$(VENV)/python -m genai_desktop demo

lint: setup-test
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

bench: setup-test
	$(VENV)/python -m benchmarks

screenshots: setup-test
	$(VENV)/python tools/screenshots.py docs/screenshots

package: setup-test
	$(VENV)/python packaging/build.py

# after a change of the dependencies in pyproject.toml
lock: setup-test
	$(VENV)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --group dev --group package pyproject.toml -o requirements-dev.lock
	$(VENV)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		-c requirements-dev.lock pyproject.toml -o requirements.lock
	$(VENV)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		-c requirements-dev.lock --extra embedded-image pyproject.toml -o requirements-images.lock
