"""Draws images/eight_apps.png, what saved_models answers to generated requests: `python docs/eight_apps.py`."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from apps.command_line import all_apps  # noqa: E402
from keras_apps.data import demo_characters, demo_facades, demo_faces, demo_scenes, demo_textures  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def ask(name: str, signature: str = "serving_default", **inputs) -> dict[str, np.ndarray]:
    """The answers of the app's export."""
    model = all_apps()[name].model_class().load(ROOT / "saved_models" / name / "1" / "assets.extra" / "model.keras")
    return {key: value.numpy() for key, value in model.serve(signature, **inputs).items()}


def png(image: np.ndarray) -> bytes:
    """The bytes of a picture."""
    return tf.io.encode_png(image if image.ndim == 3 else image[..., None]).numpy()


def pictures(encoded: np.ndarray) -> list[np.ndarray]:
    """Pictures of PNG bytes."""
    return [tf.io.decode_image(each, 3).numpy() for each in encoded]


def beside(*images: np.ndarray) -> np.ndarray:
    """Pictures in a row, of one height, with a gap."""
    height = max(image.shape[0] for image in images)
    row = []
    for image in images:
        scaled = tf.image.resize(image, [height, height * image.shape[1] // image.shape[0]], "nearest").numpy()
        row += [np.repeat(scaled, 3, -1) if scaled.shape[-1] == 1 else scaled, np.full((height, 4, 3), 255, np.uint8)]
    return np.concatenate(row[:-1], axis=1).astype(np.uint8)


def main() -> None:
    """Draws the picture."""
    figure, panels = plt.subplots(2, 4, figsize=(17, 7.4), dpi=80)
    panels = iter(panels.flat)

    def panel(title: str, image: np.ndarray | None = None, below: str = "") -> plt.Axes:
        axes = next(panels)
        axes.set_title(title, fontsize=13, fontweight="bold", loc="left", family="monospace")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(image is None)
        axes.spines[:].set_color("0.8")
        if image is not None:
            axes.imshow(image, interpolation="nearest")
        axes.set_xlabel(textwrap.fill(below, 42), fontsize=11)
        return axes

    texts = [
        "A great cast, but a dull film.",
        "I loved every minute of it.",
        "Gripping, and beautifully acted.",
        "Two hours I want back.",
    ]
    answer = ask("sentiment", text=texts)
    axes = panel("sentiment")
    for row, (text, label, score) in enumerate(zip(texts, answer["label"], answer["score"], strict=True)):
        colour = "#2a7f3f" if label == b"pos" else "#b03030"
        axes.text(0.04, 0.86 - 0.24 * row, text, fontsize=12, transform=axes.transAxes)
        said = f"{label.decode()}  {score:.2f}"
        axes.text(
            0.04, 0.77 - 0.24 * row, said, fontsize=12, color=colour, family="monospace", transform=axes.transAxes
        )

    sentence = "She has never been to Spain."
    answer = ask("translation", "explain", text=[sentence])
    source = [token.decode() for token in answer["source_tokens"][0] if token]
    target = [token.decode() for token in answer["tokens"][0] if token]
    axes = panel("translation")
    axes.imshow(answer["weights"][0][: len(target), : len(source)], cmap="Blues", aspect="auto")
    axes.set_xticks(range(len(source)), [token.replace("\u2581", " ") for token in source], rotation=40, fontsize=10)
    axes.set_yticks(range(len(target)), [token.replace("\u2581", " ") for token in target], fontsize=10)
    axes.set_xlabel(f"{sentence}\n{ask('translation', text=[sentence])['text'][0].decode()}", fontsize=11)

    scene = demo_scenes.draw(demo_scenes.generate(0)["test"][1])
    caption = ask("captioning", image_bytes=[png(scene)])["caption"][0].decode()
    panel("captioning", scene, caption)

    photo = demo_facades.draw(demo_facades.generate(0)["test"][3])[1]
    (mask,) = pictures(ask("pix2pix", image_bytes=[png(photo)])["image_bytes"])
    panel("pix2pix", beside(photo, mask), "a photo \u2192 its windows")

    asked = ["a red flower", "a yellow flower", "a purple flower"]
    made = [pictures(ask("text_to_image", text=asked, seed=[seed] * 3)["image_bytes"]) for seed in (3, 5)]
    panel("text_to_image", np.concatenate([beside(*row) for row in made]), "  |  ".join(asked))

    face = demo_faces.draw(demo_faces.generate(0)["test"][4])
    ages = [15, 35, 55, 75]
    aged = pictures(ask("face_aging", image_bytes=[png(face)] * 4, age=ages)["image_bytes"])
    rows = [beside(face, *aged[:2]), beside(np.full_like(face, 255), *aged[2:])]
    panel("face_aging", np.concatenate(rows), "a face  |  at 15, 35, 55, 75")

    test = demo_textures.generate(0)["test"]
    landscape, textures = demo_textures.draw(test["content"][2]), [demo_textures.draw(test["style"][n]) for n in (0, 3)]
    given = {"content_bytes": [png(landscape)] * 2, "style_bytes": [png(each) for each in textures]}
    painted = pictures(ask("style_transfer", **given, style_weight=[1.0, 1.0])["image_bytes"])
    rows = [beside(landscape, *textures), beside(np.full_like(landscape, 255), *painted)]
    panel("style_transfer", np.concatenate(rows), "a landscape, in two manners")

    drawn = [demo_characters.draw(each) for each in demo_characters.invent(1, 6, 5)]
    pairs = [(drawn[40], drawn[41]), (drawn[40], drawn[65])]
    answer = ask("siamese", first_bytes=[png(one) for one, _ in pairs], second_bytes=[png(other) for _, other in pairs])
    said = [f"{share:.2f}" for share in answer["probability"]]
    rows = [beside(*pair) for pair in pairs]
    panel("siamese", np.concatenate(rows), f"above one character: {said[0]}, below two: {said[1]}")

    figure.tight_layout(h_pad=2)
    figure.savefig(ROOT / "docs" / "images" / "eight_apps.png")


if __name__ == "__main__":
    main()
