PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: help install demo test format clean

help:
	@echo "make demo    train, evaluate, export and ask the sentiment app, from nothing, in a few minutes"
	@echo "make test    style, imports and tests, from nothing"
	@echo "make clean   remove the virtual environment and the demo's run"

install: $(VENV)/installed

$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "installing TensorFlow and the rest (about 1 GB) into $(VENV)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: install
	@echo; echo "1. train on generated reviews (the same command again goes on where it was stopped)"
	$(BIN)/keras-apps sentiment train --run_dir runs/demo
	@echo; echo "2. evaluate on generated reviews that it has not seen"
	$(BIN)/keras-apps sentiment evaluate --model runs/demo
	@echo; echo "3. export a SavedModel for TensorFlow Serving"
	$(BIN)/keras-apps sentiment export --model runs/demo --saved_models runs/demo_saved_models
	@echo; echo "4. ask the exported SavedModel"
	$(BIN)/keras-apps sentiment predict --model runs/demo_saved_models/sentiment \
		--text "A great cast, but a dull film." \
		--text "Although the plot is thin, I loved every minute of it." \
		--text "This is not a bad film at all."
	@echo; echo "What next?"
	@echo "  $(BIN)/keras-apps sentiment predict --model runs/demo --explain --text 'a great cast, but a dull film'"
	@echo "  $(BIN)/keras-apps sentiment serve --saved_models runs/demo_saved_models"
	@echo "  $(BIN)/keras-apps sentiment train --run_dir runs/mine --data my_reviews.csv"
	@echo "  look at runs/demo/curves.png and runs/demo/confusion_matrix.png"

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) runs/demo runs/demo_saved_models
