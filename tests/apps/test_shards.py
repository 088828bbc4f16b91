"""Requests that several processes share, answered by whoever is asked."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from apps import runner, verbs
from apps.command_line import all_apps
from keras_apps.serving import answerer


def png(shade):
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def predict(capsys, monkeypatch):
    """What `predict` prints, each line read; every answer is a grey picture, or that word."""

    def answers(inputs, signature):
        count = len(next(iter(inputs.values())))
        return {"label": ["grey"] * count} if set(inputs) == {"text"} else {"image_bytes": [png(99)] * count}

    monkeypatch.setattr(answerer, "open_answerer", lambda *arguments: answers)

    def ask(name, *flags):
        app = all_apps()[name]
        options = runner._parser(app).parse_args(["predict", "--server", "localhost:1", *map(str, flags)])
        options.given = set()
        verbs.predict(app, options)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"p{number}.png").write_bytes(png(number))
    return folder


def written(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "flags", "overview"),
    [
        ("sentiment", ["--text", "a", "--text", "b", "--text", "c", "--text", "d"], None),
        ("pix2pix", ["--input", "PHOTOS"], None),
        ("face_aging", ["--input", "PHOTOS", "--age", 10, "--age", 60, "--age", 30], None),
        ("style_transfer", ["--input", "PHOTOS", "--style", "PHOTOS"], "grid.png"),
        ("text_to_image", ["--text", "a", "--text", "b", "--count", 3], "contact_sheet.png"),
    ],
)
def test_shards_together_are_the_whole(predict, photos, tmp_path, name, flags, overview):
    def ask(folder, *more):
        output = [] if name == "sentiment" else ["--output", tmp_path / folder]
        lines = predict(name, *(photos if flag == "PHOTOS" else flag for flag in flags), *output, *more)
        return [json.dumps(line).replace(str(tmp_path / folder), "") for line in lines if "grid" not in line]

    whole = ask("whole")
    parts = [ask("parts", "--shard", f"{number}/3") for number in (3, 1, 2)]
    assert sorted(line for part in parts for line in part) == sorted(whole) and all(parts[1:])
    if name != "sentiment":
        expected = written(tmp_path / "whole")
        if overview:
            del expected[overview]
        assert written(tmp_path / "parts") == expected


def test_a_shard_reads_no_pictures_but_its_own(predict, photos, tmp_path):
    (photos / "p1.png").write_bytes(b"no picture")
    lines = predict("pix2pix", "--input", photos, "--output", tmp_path / "out", "--shard", "1/2")
    assert [line["image"][-6:] for line in lines] == ["p0.png", "p2.png", "p4.png"]
    with pytest.raises(ValueError, match="some requests were refused"):
        predict("pix2pix", "--input", photos, "--output", tmp_path / "out", "--shard", "2/2")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "1/0", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_one_line(command, shard):
    message = command("sentiment", "predict", "--model", "/nowhere", "--text", "a", f"--shard={shard}", status=2).stderr
    assert message == f"error: --shard must be I/N, from 1/N to N/N; received {shard}\n"


def test_a_gallery_is_made_in_one_run(predict, photos, tmp_path):
    flags = ["--support", photos.parent, "--gallery", tmp_path / "gallery.npz", "--shard", "1/2"]
    with pytest.raises(ValueError, match="belong together"):
        predict("siamese", *flags)
