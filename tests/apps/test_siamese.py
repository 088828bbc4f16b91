"""The whole way of a user with alphabets of their own, through the command line."""

import argparse
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apps import runner, siamese, verbs
from keras_apps.data import demo_characters
from keras_apps.errors import UserError
from keras_apps.export.saved_model import export
from keras_apps.models.siamese import SiameseNetwork
from keras_apps.serving.embedded import EmbeddedServer
from keras_apps.serving.gallery import Gallery


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


@pytest.fixture
def predict(run_dir, capsys):
    """What the verb prints, without a process of its own."""

    def lines(model=run_dir, server="", protocol="rest", **flags):
        options = argparse.Namespace(
            predict_flags=siamese.PredictFlags(**{name: _text(value) for name, value in flags.items()}),
            answer=verbs.AnswerFlags(model="" if server else str(model), server=server, protocol=protocol),
            answering=runner.NoFlags(),
        )
        capsys.readouterr()
        verbs.predict(siamese.APP, options)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return lines


def _text(value):
    return (
        [str(each) for each in value] if isinstance(value, list) else str(value) if isinstance(value, Path) else value
    )


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


def test_pairs_are_verified_alike_by_the_run_and_its_export(command, predict, run_dir, folder, tmp_path):
    one, *others = (
        folder / "alphabet_0" / name for name in ("character0/00.png", "character0/01.png", "character5/00.png")
    )
    asked = [argument for other in (*others, one) for argument in ("--first", one, "--second", other)]
    result = command("siamese", "predict", "--model", run_dir, *asked)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["second"] for line in lines] == [str(other) for other in (*others, one)]
    assert lines[2]["similarity"] == pytest.approx(1, abs=1e-2) and all(0 < line["probability"] < 1 for line in lines)
    version = export(SiameseNetwork.load(run_dir / "model.keras"), tmp_path, "siamese")
    exported = predict(version, first=[one] * 3, second=[*others, one])
    similarities = [[line["similarity"] for line in some] for some in (exported, lines)]
    np.testing.assert_allclose(*similarities, atol=1e-2)
    # Enrolled by one protocol, found by the other.
    support, gallery = folder / "alphabet_0", tmp_path / "gallery.npz"
    with EmbeddedServer(tmp_path, rest_port=0, grpc_port=0) as server:
        rest, grpc = (f"localhost:{port}" for port in (server.rest_port, server.grpc_port))
        assert len(predict(server=rest, support=support, gallery=gallery)) == 64
        found = predict(server=grpc, protocol="grpc", image=[one, others[1]], gallery=gallery, threshold=-1.0)
    assert found[0]["score"] > 0.5 and {line["class"] for line in found} <= {f"character{n}" for n in range(8)}


def test_characters_of_two_alphabets_are_two_classes(folder):
    _, requests = siamese.requests(siamese.PredictFlags(support=str(folder)))
    classes = {shown["class"] for shown, _ in requests}
    assert {"alphabet_0/character0", "alphabet_1/character0"} <= classes
    _, requests = siamese.requests(siamese.PredictFlags(support=str(folder / "alphabet_0")))
    assert "character0" in {shown["class"] for shown, _ in requests}


def test_classes_are_enrolled_found_and_taken_away(predict, folder, tmp_path):
    support, gallery = tmp_path / "support", tmp_path / "gallery.npz"
    for number in range(3):
        for drawing in ("00.png", "01.png"):
            (support / f"letter {number}").mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "alphabet_2" / f"character{number}" / drawing, support / f"letter {number}" / drawing)
    for _ in range(2):
        # A second time the same classes take the place of the first.
        enrolled = predict(support=support, gallery=gallery)
        assert [line["class"] for line in enrolled] == [f"letter {number}" for number in (0, 0, 1, 1, 2, 2)]
    assert all(0 < line["false_accept_rate"] < 1 and -1 < line["threshold"] < 1 for line in enrolled)
    known = [support / f"letter {number}" / "00.png" for number in range(3)]
    found = predict(image=known, gallery=gallery)
    assert [line["nearest"] for line in found] == ["letter 0", "letter 1", "letter 2"]
    for line in found:
        assert line["class"] == (line["nearest"] if line["score"] >= enrolled[0]["threshold"] else "unknown")
    assert {line["class"] for line in predict(image=known, gallery=gallery, threshold=1.1)} == {"unknown"}
    narrow = Gallery(tmp_path / "narrow.npz")
    narrow.add("letter 0", [1.0, 0.0], (0.5, 0.1, 0.1))
    narrow.save()
    with pytest.raises(UserError, match="some requests were refused"):
        predict(image=known, gallery=narrow.path)
    other = Gallery(tmp_path / "other.npz")
    other.add("letter 0", Gallery(gallery).embeddings[0], (0.5, 0.1, 0.1))
    other.save()
    with pytest.raises(UserError, match="holds what another model made of its pictures"):
        predict(image=known, gallery=other.path)
    assert predict(remove="letter 1", gallery=gallery) == []
    assert {line["class"] for line in predict(image=known, gallery=gallery, threshold=-1.0)} == {"letter 0", "letter 2"}
    with pytest.raises(UserError, match="there is no class 'letter 1' in it; there is: letter 0, letter 2"):
        predict(remove="letter 1", gallery=gallery)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "give one of --first and --second, --support, --remove, --image or --input"),
        ({"support": "x", "remove": "y"}, "give one of"),
        ({"first": ["a.png", "b.png"], "second": ["c.png"]}, "there are 2 --first but 1 --second; give pairs"),
        ({"support": "/nowhere"}, "/nowhere: no such folder, .tar or .zip of class folders"),
        ({"support": "tests/models"}, "tests/models: there are no pictures in folders in it"),
        (
            {"image": ["x.png"], "gallery": "none.npz"},
            "none.npz: no class is enrolled; make the gallery with --support",
        ),
        ({"remove": "Ann", "gallery": "none.npz"}, "none.npz: there is no class 'Ann' in it; there is: none"),
    ],
)
def test_slips_are_one_line(predict, flags, said):
    with pytest.raises(UserError, match=said):
        predict(**flags)
