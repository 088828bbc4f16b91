"""The whole way of a user with faces of their own, through the command line."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_faces
from tests import warm_process

FLAGS = "--image_size 32 --filters 4 --discriminator_filters 8 --observer_filters 4 --identity_units 16 --batch_size 16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Drawn faces with an ages.csv; one picture can't be read, and one age is none."""
    path = tmp_path_factory.mktemp("faces")
    faces = sorted(demo_faces.generate(1)["train"], key=lambda face: face.identity.number)[:160]
    with open(path / "ages.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "age", "identity"])
        for index, face in enumerate(faces):
            Image.fromarray(demo_faces.draw(face)).save(path / f"{index:03d}.png")
            rows.writerow([f"{index:03d}.png", face.age, face.identity.number])
        (path / "broken.png").write_bytes(b"no picture")
        rows.writerow(["broken.png", 30, 1])
        rows.writerow(["000.png", "old", 1])
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = [*FLAGS.split(), "--epochs", "1", "--bounds", "0", "30", "60"]
    result = command("face_aging", "train", "--run_dir", path, "--data", folder, *flags)
    assert "broken.png" in result.stderr and "old" in result.stderr
    return path


def test_pictures_of_the_progress_and_scores(command, run_dir, read_json):
    assert sorted(path.name for path in (run_dir / "samples").iterdir()) == ["gan-0001.png"]
    result = command("face_aging", "evaluate", "--model", run_dir, "--split", "all")
    metrics = read_json(run_dir / "metrics.json")
    shares = [metrics[f"verified_{group}"] for group in ("0-29", "30-59", "60+")]
    assert metrics["verified"] == pytest.approx(np.mean(shares)) and 0 < metrics["age_error"] < 90
    assert metrics["kid_0-29"] > 0
    assert "true_age_hit" in result.stdout and "age_hit_30-59" in result.stdout


def test_a_face_at_several_ages(command, run_dir, folder, tmp_path):
    ask = ["face_aging", "predict", "--model", run_dir, "--image", folder / "007.png"]
    result = command(*ask, "--output", tmp_path / "aged", "--age", "8", "--age", "70")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["age"] for line in lines] == [8, 70]
    young, old = (np.asarray(Image.open(line["output"])) for line in lines)
    assert young.shape == (64, 64, 3) and not np.array_equal(young, old)
    with Image.open(lines[-1]["row"]) as row:
        assert row.width > 3 * 64
    assert command(*ask, status=2).stderr.startswith("error: give --output FOLDER")


def test_the_other_way_by_a_code(command, folder, tmp_path):
    flags = [*FLAGS.split(), "--method", "latent", "--latent_steps", "2", "--bounds", "0", "45"]
    short = ["--epochs", "1", "--steps_per_epoch", "1"]
    train = ["train", "--run_dir", tmp_path / "run", "--data", folder, *flags, *short]
    command("face_aging", *train, before=warm_process.step_by_step)
    assert (tmp_path / "run" / "samples" / "encoder-0001.png").exists()
    ask = ["--image", folder / "003.png", "--age", "70", "--output", tmp_path]
    command("face_aging", "predict", "--model", tmp_path / "run", *ask)
    assert Image.open(tmp_path / "003-70.png").size == (64, 64)


def test_faces_of_one_age_group_are_refused(command, folder, tmp_path):
    ask = ["--run_dir", tmp_path / "run", "--data", folder, "--bounds", "0", "95"]
    result = command("face_aging", "train", *ask, status=2)
    assert "all of one age group, 0-94" in result.stderr
