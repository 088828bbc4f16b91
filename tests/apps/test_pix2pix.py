"""The whole way of a user with pairs of pictures of their own, through the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_facades


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos and their maps in two folders, one photo without a map."""
    path = tmp_path_factory.mktemp("pairs")
    for name in "AB":
        (path / name).mkdir()
    for index, facade in enumerate(demo_facades.generate(1)["train"][:40]):
        label_map, photo = demo_facades.draw(facade)
        Image.fromarray(label_map).save(path / "A" / f"{index:02d}.png")
        Image.fromarray(photo).save(path / "B" / f"{index:02d}.jpg")
    Image.fromarray(photo).save(path / "B" / "alone.jpg")
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = "--direction BtoA --label_colours 7 --filters 8 --patch 16 --epochs 6 --batch_size 8 --learning_rate 0.002"
    result = command("pix2pix", "train", "--run_dir", path, "--data", folder, *flags.split())
    assert "alone.jpg" in result.stderr
    return path


def test_pictures_of_the_progress_and_scores(command, run_dir, read_json):
    with Image.open(run_dir / "progress.png") as sheet:
        assert sheet.size == (6 * 66 - 2 - 2 * 66, 6 * 66 - 2)
    assert len(list((run_dir / "samples").iterdir())) == 6
    result = command("pix2pix", "evaluate", "--model", run_dir)
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["split"] == "test" and 0.3 < metrics["pixel_accuracy"] <= 1
    assert {"l1", "ssim", "psnr", "mean_iou"} <= metrics.keys() and "IoU of #" in result.stdout
    # Four test pictures are too few to compare distributions by; all forty are not.
    assert "fid" not in metrics
    command("pix2pix", "evaluate", "--model", run_dir, "--split", "all", "--output", run_dir / "all")
    assert read_json(run_dir / "all" / "metrics.json")["kid"] > 0
    assert (run_dir / "samples" / "test.png").exists()


def test_pictures_are_made_in_the_colours_of_the_labels(command, run_dir, folder, tmp_path):
    photo = folder / "B" / "00.jpg"
    result = command("pix2pix", "predict", "--model", run_dir, "--image", photo, "--output", tmp_path / "made")
    (line,) = map(json.loads, result.stdout.splitlines())
    with Image.open(line["output"]) as made:
        assert made.size == (64, 64) and len(np.unique(np.asarray(made).reshape(-1, 3), axis=0)) <= 7
    ask = ["pix2pix", "predict", "--model", run_dir, "--image", photo]
    assert command(*ask, status=2).stderr.startswith("error: give --output FOLDER")


def test_pairs_of_unequal_size_are_named(command, tmp_path):
    for name, width in (("A", 20), ("B", 30)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((20, width, 3), np.uint8)).save(tmp_path / name / "x.png")
    result = command("pix2pix", "train", "--run_dir", tmp_path / "run", "--data", tmp_path, status=2)
    assert "x.png" in result.stderr and "20" in result.stderr and "30" in result.stderr
