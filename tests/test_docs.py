"""Every command of the documentation, in order, page by page, on a little data of the kind it names; trainings cut short.

`benchmarks/documented.py` runs them in full, on real data.
"""

import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import documented
from keras_apps.data import (
    demo_characters,
    demo_facades,
    demo_faces,
    demo_flowers,
    demo_reviews,
    demo_textures,
    demo_translation,
)
from keras_apps.layers.squeezenet import SqueezeNet
from tests import warm_process
from tests.layers.test_squeezenet import write as write_squeezenet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What installs, needs docker or a cluster, or has a test of its own (test_multi_worker, test_shards, test_new_app).
ELSEWHERE = re.compile(
    r"make |cd |python3 -m venv|pip |.*docker |keras-apps denoising|export |.*multi_worker|.*--shard|wait|cat |hosts=|#!"
)
SHORT = "--epochs 1 --steps_per_epoch 1 --batch_size 4"
SMALL = {
    "sentiment": "--units 4 --embedding_dim 4 --cell rnn --nobidirectional",
    "translation": "--units 8 --embedding_dim 4 --heads 2 --feedforward_units 8 --vocabulary_size 330 --depth 1 --max_length 32",
    "captioning": "--encoder scratch --depth 1 --units 8 --embedding_dim 4 --heads 2 --feedforward_units 8 --image_size 32 --max_length 8",
    "pix2pix": "--filters 4 --height 32 --width 32",
    "text_to_image": "--filters 4 --discriminator_filters 4 --image_size 16",
    "face_aging": "--filters 4 --discriminator_filters 4 --observer_filters 4 --image_size 32",
    "style_transfer": "--encoder scratch --filters 4 --image_size 64 --crop_size 64 --steps 2 --scales 1",
    "siamese": "--units 8 --image_size 24 --ways 4 --invented_alphabets 1",
}
"""Of a network that is done with a step in a moment."""
MEASURED = {
    "style_transfer": "--pairs 1 --optimum_steps 0",
    "translation": "--beams 2",
    "captioning": "--beams 2",
    "pix2pix": "--features scratch --feature_weights=",
}
"""By little, and by nothing that is fetched."""


@pytest.fixture
def world(made, tmp_path):
    """A folder of the page's own, with something of all that the pages name."""
    shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What is copied for each page."""
    folder = tmp_path_factory.mktemp("made")
    reviews = demo_reviews.generate(0)["train"][:40]
    table = "text\tlabel\n" + "".join(f"{review.text}\t{review.label}\n" for review in reviews)
    write(folder, table, "sst2/train.tsv.gz", "sst2/dev.tsv.gz")
    commas = re.sub(r"^(.*)\t(.*)$", r'"\1",\2', table, flags=re.M)
    write(folder, commas, "reviews.csv", "mine.csv", "other.csv", "other/train.csv", "other/test.csv")
    write(folder, "".join(json.dumps(vars(r) | {"pairs": 0}) + "\n" for r in reviews), "imdb.jsonl.gz")
    pairs = demo_translation.generate(0)["train"][:60]
    write(folder, "".join(f"{a}\t{b}\n" for a, b in pairs), "pairs.tsv", "spa.tsv", "other.tsv", "mine.tsv")
    for part in ("train", "val"):
        for side, language in enumerate(("en", "de")):
            write(folder, "".join(f"{pair[side]}\n" for pair in pairs), f"multi30k/{part}.{language}")
    write(folder, "Two dogs play.\na red flower\n", "sentences.txt")

    flowers = demo_flowers.generate(0)["train"][:24]
    captioned = {f"{n}.png": demo_flowers.draw(flower) for n, flower in enumerate(flowers)}
    captions = "image,caption\n" + "".join(f"{n}.png,{flower.captions[0]}\n" for n, flower in enumerate(flowers))
    for place in ("pictures", "mine", "other_pictures", "flickr8k/train.tar", "flickr8k/dev.tar", "flowers/train.tar"):
        pictures(folder / place, captioned, {"captions.csv": captions})
    drawn = [np.hstack(demo_facades.draw(facade)) for facade in demo_facades.generate(0)["train"][:30]]
    for place in ("pairs", "more_pairs", "facades/train.tar"):
        pictures(folder / place, {f"{n}.png": pair for n, pair in enumerate(drawn)})
    faces = demo_faces.generate(0)["train"][:60]
    aged = {f"{face.age}_0_0_{n}.png": demo_faces.draw(face) for n, face in enumerate(faces)}
    for place in ("faces", "more_faces", "utkface/train.tar"):
        pictures(folder / place, aged)
    roles = demo_textures.generate(0)["train"]
    contents, styles = ([demo_textures.draw(each) for each in roles[role][:12]] for role in ("content", "style"))
    named = dict(zip(["great_wave.png", "scream.png", "0.png", "1.png"], styles[:4], strict=True))
    for place in ("photos", "paintings_and_photos/content", "style/content", "maps"):
        pictures(folder / place, {f"{n}.png": content for n, content in enumerate(contents[:2])})
    pictures(folder / "thousand_photos", {f"{n}.png": content for n, content in enumerate(contents)})
    for place in ("paintings", "paintings_and_photos/style", "style/style"):
        pictures(folder / place, named)
    characters = [each for each in demo_characters.invent(3, 4, 1) if each.character.number % 20 < 8]
    drawings = {
        f"{d.character.alphabet}/{d.character.number}/{d.character.number:04d}_{n:02d}.png": demo_characters.draw(d)
        for n, d in enumerate(characters)
    }
    for place in ("my_characters", "omniglot/images_background.tar"):
        pictures(folder / place, drawings)
    ours = {name.split("/", 1)[1].replace("/", "_person/"): drawing for name, drawing in drawings.items()}
    bob = {f"Bob/{n}.png": drawing for n, drawing in enumerate(list(ours.values())[:3])}
    pictures(folder / "people", ours | bob)
    with zipfile.ZipFile(folder / "all_runs.zip", "w") as archive:
        some = list(drawings.values())
        for n in range(1, 3):
            archive.writestr(f"run01/training/class{n:02d}.png", encoded(some[4 * n]))
            archive.writestr(f"run01/test/item{n:02d}.png", encoded(some[4 * n + 1]))
        archive.writestr(
            "run01/class_labels.txt",
            "".join(f"run01/test/item{n:02d}.png run01/training/class{n:02d}.png\n" for n in range(1, 3)),
        )
    for name in ("dog.jpg", "cat.png", "map.png", "me.jpg", "photo.jpg", "painting.jpg", "wave.jpg", "scream.jpg"):
        Image.fromarray(contents[0]).save(folder / name)
    for name in ("a.jpg", "a.png", "b.png", "who.jpg"):
        Image.fromarray(np.squeeze(some[0])).convert("L").save(folder / name)
    squeezenet = SqueezeNet()
    squeezenet.build((None, 64, 64, 3))
    for name in ("FILE", "squeezenet.h5", "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        write_squeezenet(folder / name, squeezenet)
    for shipped in (ROOT / "saved_models").glob("*/1"):
        (folder / "saved_models" / shipped.parent.name).mkdir(parents=True)
        (folder / "saved_models" / shipped.parent.name / "1").symlink_to(shipped)
    return folder


def write(folder, content, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())


def encoded(image):
    stream = io.BytesIO()
    Image.fromarray(np.squeeze(image)).save(stream, "PNG")
    return stream.getvalue()


def pictures(path, images, texts=()):
    """Writes a folder, or the same as a .tar."""
    files = {name: encoded(image) for name, image in images.items()}
    files |= {name: text.encode() for name, text in dict(texts).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"train/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def shortened(arguments):
    """The same command with flags by which it takes a moment; of a flag given twice the last one counts."""
    app, verb = arguments[:2]
    if verb == "train":
        return [*arguments, *SHORT.split(), *SMALL[app].split()]
    return [*arguments, *(MEASURED.get(app, "").split() if verb == "evaluate" else ())]


class Server:
    """The one that a page has started, if any, at ports that are free here."""

    process = None

    def __init__(self):
        with socket.socket() as rest, socket.socket() as grpc:
            rest.bind(("127.0.0.1", 0))
            grpc.bind(("127.0.0.1", 0))
            self.ports = {"8501": str(rest.getsockname()[1]), "8500": str(grpc.getsockname()[1])}

    def asked(self, line):
        """A line of the page that asks it where it is."""
        return re.sub(r"(?<=localhost:)850[01]", lambda port: self.ports[port[0]], line)

    def start(self, arguments, cwd):
        self.stop()
        ports = ["--port", self.ports["8501"], "--grpc_port", self.ports["8500"]]
        command = [*arguments, "--engine", "embedded", *ports]
        self.process = warm_process.start(command, cwd, env={"PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.is_alive():
            try:
                urllib.request.urlopen(
                    f"http://localhost:{self.ports['8501']}/v1/models/{arguments[0]}", timeout=5
                ).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"{' '.join(arguments)}: does not answer")

    def stop(self):
        if self.process:
            os.kill(self.process.pid, signal.SIGINT)
            self.process.join(60)
            assert self.process.exitcode in (0, 130)
            self.process = None


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_works(page, world, server):
    if page.stem in ("captioning", "text_to_image"):
        shutil.rmtree(world / "other")
        (world / "other_pictures").rename(world / "other")
    if page.stem == "style_transfer":
        shutil.rmtree(world / "pictures")
        shutil.copytree(world / "paintings_and_photos", world / "pictures")
    if page.stem == "serving":
        run(world, ["sentiment", "train", "--run_dir", "runs/mine", "--data", "reviews.csv"])
    for line in map(server.asked, documented.lines(page)):
        if ELSEWHERE.match(line):
            continue
        if line.startswith("curl "):
            result = subprocess.run(["bash", "-c", line], cwd=world, capture_output=True, text=True, timeout=120)
            assert result.returncode == 0 and "predictions" in result.stdout, f"{line}\n{result.stdout}{result.stderr}"
            continue
        program, *arguments = shlex.split(line)
        assert program == "keras-apps", line
        if arguments[1:2] == ["serve"]:
            server.start(arguments, world)
        else:
            run(world, arguments)


def run(world, arguments):
    made = world / arguments[arguments.index("--run_dir") + 1] if "--run_dir" in arguments else None
    if made and made.exists():
        shutil.rmtree(made)
    arguments = shortened(arguments) if arguments else []
    before = warm_process.step_by_step if arguments[1:2] == ["train"] else warm_process.in_passing
    result = warm_process.run(arguments, world, None, {"PYTHONPATH": str(ROOT)}, timeout=300, before=before)
    said = f"keras-apps {' '.join(arguments)}\n{result.stdout}\n{result.stderr[-3000:]}"
    assert result.returncode == 0 and "Warning" not in result.stderr, said
