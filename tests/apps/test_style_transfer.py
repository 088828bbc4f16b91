"""The whole way of a user with photos and paintings of their own, through the command line."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_textures

LAYERS = ["--content_layers", "conv2_1", "--style_layers", "conv1_1:2", "conv2_1"]
SMALL = [*LAYERS, "--image_size", 64, "--crop_size", 64, "--filters", 4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures")
    pictures = demo_textures.generate(3)["train"]
    for role, count, size in (("content", 16, (90, 60)), ("style", 3, (60, 80))):
        (path / role).mkdir()
        for index, picture in enumerate(pictures[role][:count]):
            Image.fromarray(demo_textures.draw(picture)).resize(size).save(path / role / f"{role[0]}{index}.png")
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    """A network for any style, its encoder trained on the same pictures."""
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = ["--method", "arbitrary", "--epochs", 2, "--batch_size", 8]
    result = command("style_transfer", "train", "--run_dir", path, "--data", folder, *SMALL, *flags)
    assert "3, in every part" in result.stderr
    return path


def test_both_phases_leave_their_curves_and_samples(command, run_dir, read_json):
    rows = (run_dir / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["encoder"] * 2 + ["transfer"] * 2
    assert sorted(path.name for path in (run_dir / "samples").iterdir()) == ["transfer-0001.png", "transfer-0002.png"]
    result = command("style_transfer", "evaluate", "--model", run_dir, "--optimum_steps", 3, "--pairs", 2)
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["split"] == "test" and metrics["pairs"] == 2 and 0 < metrics["ssim"] <= 1
    assert {"loss", "steps_50_style_loss", "optimum_content_loss", "seconds"} <= metrics.keys()
    assert "answered" in result.stdout and "optimum" in result.stdout


def test_a_grid_of_contents_and_styles(command, run_dir, folder, tmp_path):
    contents = [word for index in (0, 1) for word in ("--image", folder / "content" / f"c{index}.png")]
    ask = ["style_transfer", "predict", "--model", run_dir, *contents, "--output", tmp_path]
    lines = [json.loads(line) for line in command(*ask, "--style", folder / "style").stdout.splitlines()]
    assert len(lines) == 6 + 1 and lines[0]["output"].endswith("c0-s0.png")
    with Image.open(lines[0]["output"]) as made, Image.open(lines[-1]["grid"]) as grid:
        assert made.size == (90, 60) and grid.size == (4 * 258 - 2, 3 * 258 - 2)
    styles = [word for index in (0, 2) for word in ("--style", folder / "style" / f"s{index}.png")]
    mixed = [json.loads(line) for line in command(*ask, *styles, "--share", 0.3, "--share", 0.7).stdout.splitlines()]
    assert [line["output"][-10:] for line in mixed[:-1]] == ["c0-mix.png", "c1-mix.png"]
    message = command(*ask, *styles, "--share", 0.3, status=2).stderr
    assert message.startswith("error: there are 2 styles, but 1 times --share")
    assert "style 0 of the request is empty" in command(*ask, status=2).stdout
    # The grid takes the place of no picture either.
    again = [*ask, "--image", tmp_path / "grid.png", *styles]
    assert "grid.png: the answer to" in command(*again, status=2).stderr


def test_a_search_needs_no_training_but_for_its_encoder(command, folder, tmp_path):
    """With weights that are given there is nothing to learn, and a model all the same."""
    from keras_apps.layers.squeezenet import SqueezeNet

    weights = tmp_path / "squeezenet.h5"
    write_weights(SqueezeNet(), weights)
    flags = ["--encoder", "squeezenet", "--encoder_weights", weights, "--image_size", 64]
    run = tmp_path / "run"
    command("style_transfer", "train", "--run_dir", run, "--data", folder, *flags)
    ask = ["--image", folder / "content" / "c0.png", "--style", folder / "style" / "s0.png", "--output", tmp_path]
    quick = ["--steps", 4, "--intermediates", 1, "--progress", 2]
    result = command("style_transfer", "predict", "--model", run, *ask, *quick)
    (line,) = map(json.loads, result.stdout.splitlines())
    assert [path[-12:] for path in line["intermediates"]] == ["c0-s0-01.png"]
    assert "step 2 of 4: loss" in result.stderr


def write_weights(network, path):
    """As Keras 1 wrote them."""
    import h5py

    network.build((None, None, None, 3))
    with h5py.File(path, "w") as file:
        for name, layer in network.convolutions.items():
            for part in ("kernel", "bias"):
                file[f"{name}/{name}/{part}:0"] = np.asarray(getattr(layer, part))
