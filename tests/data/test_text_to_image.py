import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data import text_to_image
from keras_apps.data.demo_flowers import agreement
from keras_apps.errors import UserError

SHARED = Path(os.environ.get("KERAS_APPS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))


def sizes(splits):
    parts = (splits.train, splits.validation, splits.test, splits.left_out)
    return [None if part is None else int(part.cardinality()) for part in parts]


def picture(number):
    return np.full((4, 6, 3), number, np.uint8)


def test_demo():
    splits = text_to_image.load()
    assert sizes(splits) == [2000, 200, 400, None]
    assert splits.train.element_spec == {
        "image": tf.TensorSpec([None, None, 3], tf.uint8),
        "captions": tf.TensorSpec([None], tf.string),
    }
    for example in splits.test.take(10).as_numpy_iterator():
        assert example["image"].shape == (64, 64, 3) and 3 <= len(example["captions"]) <= 5
        assert agreement(example["captions"][0].decode(), example["image"])["colour"]


def test_a_folder_is_read_as_for_captioning(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.png").write_bytes(tf.io.encode_png(picture(number)).numpy())
    rows = "".join(f"{number}.png,a {number}\n" for number in range(20))
    (tmp_path / "captions.csv").write_text(f"photo,caption\n{rows}gone.png,b\n")
    splits = text_to_image.load(tmp_path, image_key="photo", validation_fraction=0.2)
    assert sizes(splits) == [14, 4, 2, None]
    for example in splits.split("all").as_numpy_iterator():
        assert example["captions"].tolist() == [f"a {example['image'][0, 0, 0]}".encode()]
    with pytest.raises(UserError, match="captions.csv:22: there is no picture 'gone.png'"):
        text_to_image.load(tmp_path, image_key="photo", max_bad_rows=0)
    with pytest.raises(UserError, match="test_fraction=2"):
        text_to_image.load(test_fraction=2)


def test_names_of_classes_become_captions(store_tfds):
    import tensorflow_datasets as tfds

    names = ["pink primrose", "ox_eye_daisy"]
    features = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=names),
        "file_name": tfds.features.Text(),
    }

    def examples(numbers, label=None):
        return [
            {"image": picture(n), "label": n % 2 if label is None else label, "file_name": f"{n}.jpg"} for n in numbers
        ]

    store_tfds("tiny_flowers", features, {"train": examples(range(20)), "test": examples((30, 31))})
    splits = text_to_image.load("tfds:tiny_flowers", validation_fraction=0.2)
    assert sizes(splits) == [16, 4, 2, None]
    for example in splits.split("all").as_numpy_iterator():
        caption = ("a photo of a pink primrose", "a photo of an ox eye daisy")[example["image"][0, 0, 0] % 2]
        assert example["captions"].tolist() == [caption.encode()]
    with pytest.raises(UserError, match="--caption_key"):
        text_to_image.load("tfds:tiny_flowers", caption_key="nope")

    store_tfds("tiny_hidden", features, {"train": examples(range(4)), "test": examples((8, 9), label=-1)})
    assert sizes(text_to_image.load("tfds:tiny_hidden", validation_fraction=0, test_fraction=0)) == [
        4,
        None,
        None,
        None,
    ]

    captioned = {**features, "caption": tfds.features.Text()}
    some = [{**example, "caption": "in words"} for example in examples(range(4))]
    store_tfds("tiny_captions", captioned, {"train": some})
    for key, captions in (
        (None, {b"in words"}),
        ("label", {b"a photo of a pink primrose", b"a photo of an ox eye daisy"}),
    ):
        splits = text_to_image.load("tfds:tiny_captions", caption_key=key, validation_fraction=0, test_fraction=0)
        assert {caption for example in splits.train.as_numpy_iterator() for caption in example["captions"]} == captions


@pytest.mark.shared_data
@pytest.mark.skipif(not (SHARED / "flowers").is_dir(), reason=f"no {SHARED}; set KERAS_APPS_SHARED_DATA")
def test_photographs_of_flowers():
    splits = text_to_image.load(SHARED / "flowers" / "train.tar")
    assert sum(filter(None, sizes(splits))) == 7353
    example = next(splits.validation.as_numpy_iterator())
    assert example["image"].shape == (64, 64, 3) and len(example["captions"]) == 3
