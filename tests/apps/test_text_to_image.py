"""The whole way of a user with pictures and captions of their own, through the command line."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_flowers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn flowers with a captions.csv, one of whose pictures is missing."""
    path = tmp_path_factory.mktemp("flowers")
    with open(path / "captions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for index, picture in enumerate(demo_flowers.generate(1)["train"][:160]):
            Image.fromarray(demo_flowers.draw(picture)).save(path / f"{index:03d}.png")
            rows.writerows([f"{index:03d}.png", caption] for caption in picture.captions)
        rows.writerow(["gone.png", "a red flower"])
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = "--image_size 16 --filters 4 --discriminator_filters 8 --sentence_units 32 --epochs 2 --batch_size 16"
    result = command("text_to_image", "train", "--run_dir", path, "--data", folder, *flags.split())
    assert "gone.png" in result.stderr
    return path


def test_pictures_of_the_progress_and_scores(command, run_dir, read_json):
    # Only the GAN makes pictures: the last row are true ones.
    assert sorted(path.name for path in (run_dir / "samples").iterdir()) == [f"gan-000{n}.png" for n in (1, 2)]
    assert (run_dir / "progress.png").exists()
    result = command("text_to_image", "evaluate", "--model", run_dir, "--split", "all")
    metrics = read_json(run_dir / "metrics.json")
    answers = [json.loads(line) for line in (run_dir / "answers.jsonl").read_text().splitlines()]
    assert metrics["r_precision"] == pytest.approx(np.mean([answer["matched"] for answer in answers]))
    assert metrics["true_r_precision"] > 1 / 100
    assert metrics["kid"] > 0 and metrics["true_dominant_colour_accuracy"] > 0.6
    # The flowers are measured at 64 x 64 only.
    assert "count_accuracy" not in metrics and "r_precision" in result.stdout


def test_sentences_to_pictures_and_what_is_between(command, run_dir, tmp_path):
    ask = ["text_to_image", "predict", "--model", run_dir, "--text", "a red zygomorphic flower", "--output"]
    result = command(*ask, tmp_path / "out", "--count", "3", "--seed", "5")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["seed"] for line in lines] == [5, 6, 7]
    pictures = [np.asarray(Image.open(line["output"])) for line in lines]
    assert pictures[0].shape == (16, 16, 3) and not np.array_equal(pictures[0], pictures[1])
    assert (tmp_path / "out" / "contact_sheet.png").exists()
    result = command(*ask, tmp_path / "way", "--seed", "5", "--to", "a blue flower", "--steps", "3")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["weight"] for line in lines] == [0, 0.5, 1]
    np.testing.assert_array_equal(np.asarray(Image.open(lines[0]["output"])), pictures[0])
    assert command(*ask[:-1], status=2).stderr.startswith("error: give --output FOLDER")
    assert "give --to SENTENCE" in command(*ask, tmp_path / "no", "--steps", "3", status=2).stderr
