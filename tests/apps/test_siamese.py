"""The whole way of a user with alphabets of their own, through the command line."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_apps.data import demo_characters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight small alphabets as Omniglot has them."""
    path = tmp_path_factory.mktemp("characters")
    first = {}
    for drawing in demo_characters.invent(8, 8, 1):
        character = drawing.character
        number = character.number - first.setdefault(character.alphabet, character.number)
        if number < 8:
            below = path / f"alphabet_{character.alphabet}" / f"character{number}"
            below.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(demo_characters.draw(drawing))
            image.convert("1").save(below / f"{len(list(below.iterdir())):02d}.png")
    return path


@pytest.fixture(scope="module")
def run_dir(command, folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "own"
    flags = "--invented_alphabets 0 --image_size 24 --units 32 --ways 16 --batch_size 32 --epochs 3 --warmup_steps 20"
    fractions = "--validation_fraction 0.25 --test_fraction 0.25 --averaging 0.9 --split_seed 1"
    command("siamese", "train", "--run_dir", path, "--data", folder, *flags.split(), *fractions.split())
    return path


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """Two of Lake's runs, by other drawers than the pictures of the classes."""
    path = tmp_path_factory.mktemp("lake") / "all_runs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for run in (1, 2):
            lines = []
            for item in range(1, 9):
                character = folder / f"alphabet_{run}" / f"character{item - 1}"
                archive.write(character / "00.png", f"run{run:02d}/training/class{item:02d}.png")
                archive.write(character / "01.png", f"run{run:02d}/test/item{item:02d}.png")
                lines.append(f"run{run:02d}/test/item{item:02d}.png run{run:02d}/training/class{item:02d}.png")
            archive.writestr(f"run{run:02d}/class_labels.txt", "\n".join(lines))
    return path


def lines_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_scores_and_pictures(command, run_dir, runs, read_json):
    result = command("siamese", "evaluate", "--model", run_dir, "--runs", runs)
    metrics = read_json(run_dir / "metrics.json")
    assert metrics["split"] == "test" and metrics["classes"] == 16
    # Chance is 0.125.
    assert 0.2 < metrics["8_way_1_shot_accuracy"] <= 1 and 0 < metrics["equal_error_rate"] < 0.5
    assert metrics["runs"] == 2 and len(metrics["accuracy_of_each_run"]) == 2
    assert f"{metrics['runs_accuracy']:.4f} +- " in result.stdout
    for name in ("roc.png", "map.png", "mistakes.png"):
        with Image.open(run_dir / name) as picture:
            assert min(picture.size) > 200
    answers = [json.loads(line) for line in (run_dir / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == metrics["pictures"] == 128
    assert command("siamese", "evaluate", "--model", run_dir, "--runs", run_dir, status=2).stderr.startswith("error: ")


def test_pairs_are_verified_alike_by_the_run_and_its_export(command, run_dir, folder, tmp_path):
    one, other, third = (
        folder / "alphabet_0" / name for name in ("character0/00.png", "character0/01.png", "character5/00.png")
    )
    ask = ["--first", one, "--second", other, "--first", one, "--second", third, "--first", one, "--second", one]
    lines = lines_of(command("siamese", "predict", "--model", run_dir, *ask))
    assert [line["second"] for line in lines] == [str(other), str(third), str(one)]
    assert lines[2]["similarity"] == pytest.approx(1, abs=1e-2) and all(0 < line["probability"] < 1 for line in lines)
    command("siamese", "export", "--model", run_dir, "--saved_models", tmp_path)
    exported = lines_of(command("siamese", "predict", "--model", tmp_path / "siamese", *ask))
    np.testing.assert_allclose(
        [line["similarity"] for line in exported], [line["similarity"] for line in lines], atol=1e-2
    )
    wrong = command("siamese", "predict", "--model", run_dir, *ask, "--first", one, status=2)
    assert "4 --first but 3 --second" in wrong.stderr


def test_classes_are_enrolled_found_and_taken_away(command, run_dir, folder, tmp_path):
    support, gallery = tmp_path / "support", tmp_path / "gallery.npz"
    for number in range(3):
        for drawing in ("00.png", "01.png"):
            (support / f"letter {number}").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "alphabet_2" / f"character{number}" / drawing, support / f"letter {number}" / drawing)
    ask = ["siamese", "predict", "--model", run_dir, "--gallery", gallery]
    enrolled = lines_of(command(*ask, "--support", support))
    assert [line["class"] for line in enrolled] == [f"letter {number}" for number in (0, 0, 1, 1, 2, 2)]
    assert all(0 < line["false_accept_rate"] < 1 and -1 < line["threshold"] < 1 for line in enrolled)
    known = [support / f"letter {number}" / "00.png" for number in range(3)]
    queries = [argument for path in known for argument in ("--image", path)]
    assert [line["nearest"] for line in lines_of(command(*ask, *queries))] == ["letter 0", "letter 1", "letter 2"]
    assert {line["class"] for line in lines_of(command(*ask, *queries, "--threshold", "1.1"))} == {"unknown"}
    assert command(*ask, "--remove", "letter 1").stdout == ""
    assert "letter 1" not in {line["nearest"] for line in lines_of(command(*ask, *queries, "--threshold", "-1"))}
    assert (
        "there is no class 'letter 1' in it; there is: letter 0, letter 2"
        in command(*ask, "--remove", "letter 1", status=2).stderr
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of --first and --second, --support, --remove, --image or --input"),
        (["--support", "x", "--remove", "y"], "give one of"),
        (["--support", "/nowhere"], "/nowhere: no such folder, .tar or .zip of class folders"),
        (["--image", "x.png", "--gallery", "/tmp/none.npz"], "no class is enrolled"),
    ],
)
def test_slips_are_one_line(command, run_dir, arguments, said):
    result = command("siamese", "predict", "--model", run_dir, *arguments, status=2)
    assert said in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_support_set_without_pictures_is_named(command, run_dir, tmp_path):
    (tmp_path / "Ann").mkdir()
    result = command("siamese", "predict", "--model", run_dir, "--support", tmp_path, status=2)
    assert "there are no pictures in folders in it" in result.stderr
