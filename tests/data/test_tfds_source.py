"""Data sets of tensorflow-datasets by name."""

import pytest
import tensorflow_datasets as tfds

from keras_apps.data.tfds_source import prepared
from keras_apps.errors import UserError


class UnreachableReviews(tfds.core.GeneratorBasedBuilder):
    """A set whose server does not answer."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"text": tfds.features.Text()}))

    def _split_generators(self, dl_manager):
        raise ConnectionError("Failed to resolve 'example.org'\nand a page more")

    def _generate_examples(self):
        yield from ()


def test_without_a_network_it_says_in_one_line_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UserError) as refusal:
        prepared("unreachable_reviews")
    message = str(refusal.value)
    assert str(tmp_path) in message and "Failed to resolve" in message and "TFDS_DATA_DIR" in message
    assert "\n" not in message and "a page more" not in message
