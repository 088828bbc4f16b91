"""The whole way of a user with pictures and captions of their own, through the command line."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty pictures with a captions.csv, of which one is no picture."""
    path = tmp_path_factory.mktemp("pictures")
    with open(path / "captions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "caption"])
        for index, scene in enumerate(demo_scenes.generate(1)["train"][:40]):
            Image.fromarray(demo_scenes.draw(scene)).save(path / f"{index:02d}.png")
            writer.writerows([f"{index:02d}.png", caption] for caption in scene.captions)
        (path / "broken.png").write_bytes(b"no picture")
        writer.writerow(["broken.png", "a red circle"])
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = "--units 32 --feedforward_units 32 --image_size 48 --epochs 2 --batch_size 8 --learning_rate 0.003 --warmup_steps 10"
    result = command("captioning", "train", "--run_dir", path, "--data", folder, *flags.split())
    assert "broken.png" in result.stderr
    return path


def test_scores_and_a_contact_sheet(command, run_dir, read_json):
    result = command("captioning", "evaluate", "--model", run_dir)
    metrics = read_json(run_dir / "metrics.json")
    # Too little to learn from, but captions of the kind; whether they are true is told, since these are generated scenes.
    assert metrics["split"] == "test" and 0 < metrics["bleu_1"] <= 100 and "true_captions" in metrics
    assert "CIDEr" in result.stdout and "true captions" in result.stdout
    answers = [json.loads(line) for line in (run_dir / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == metrics["examples"] == 4 and all(answer["references"] for answer in answers)
    with Image.open(run_dir / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 200


def test_captions_of_a_folder_and_where_words_look(command, run_dir, folder, tmp_path):
    for name in ("00.png", "01.png", "broken.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    Image.fromarray(np.full((30, 50), 200, np.uint8)).save(tmp_path / "grey.jpg")
    result = command("captioning", "predict", "--model", run_dir, "--input", tmp_path, status=2)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["image"].rsplit("/", 1)[1] for line in lines] == ["00.png", "01.png", "broken.png", "grey.jpg"]
    # One that can't be read spoils no other.
    assert "broken.png" in lines.pop(2)["error"] and result.stderr.endswith("refused; their lines say why\n")
    assert all(line["caption"] and line["score"] < 0 for line in lines)
    ask = ["captioning", "predict", "--model", run_dir, "--image", tmp_path / "00.png"]
    drawn = json.loads(command(*ask, "--explain", "--output", tmp_path / "looks").stdout)
    assert " ".join(drawn["words"]) == lines[0]["caption"]
    with Image.open(drawn["attention"]) as picture:
        assert min(picture.size) > 200
    assert command(*ask, "--output", tmp_path, status=2).stderr.startswith(
        "error: --output is for pictures of attention"
    )
