import h5py
import numpy as np
import pytest

from keras_apps.errors import UserError
from keras_apps.layers.picture_features import extractor
from keras_apps.layers.squeezenet import SqueezeNet
from keras_apps.metrics.distributions import kernel_distance

PICTURES = np.random.default_rng(0).integers(0, 256, size=(35, 32, 32, 3)).astype(np.uint8)


def test_random_features_come_from_the_seed():
    features = extractor(image_size=32, seed=3)(PICTURES)
    assert features.dtype == np.float32 and features.shape == (35, 256)
    assert features.std(0).max() > 0
    np.testing.assert_array_equal(extractor(image_size=32, seed=3)(PICTURES), features)
    assert not np.allclose(extractor(image_size=32, seed=4)(PICTURES), features)


def test_random_features_see_pale_dark_and_collapsed_pictures():
    blocks = np.random.default_rng(1).integers(0, 256, size=(120, 4, 4, 3)).astype(np.uint8)
    real, fake = np.split(np.repeat(np.repeat(blocks, 8, 1), 8, 2), 2)
    features = extractor(image_size=32)
    alike, _ = kernel_distance(features(real), features(fake))
    for spoilt in (fake // 4 + 96, fake // 2, np.repeat(fake[:1], 60, axis=0)):
        distance, error = kernel_distance(features(real), features(spoilt))
        assert distance > 3 * error and distance > 10 * abs(alike)


def test_pictures_of_any_size_are_resized():
    grey = [np.full((2, *size, 3), 90, np.uint8) for size in ((20, 40), (64, 64))]
    one, other = map(extractor(image_size=32), grey)
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_squeezenet_reads_its_weights(tmp_path):
    network = SqueezeNet(seed=5)
    expected = network(PICTURES[:2]).numpy().mean((1, 2))
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        for name, layer in network.convolutions.items():
            file[f"{name}/kernel"], file[f"{name}/bias"] = layer.get_weights()
    features = extractor("squeezenet", str(tmp_path / "weights.h5"), 32)(PICTURES[:2])
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="features by InceptionV3 need weights"):
        extractor("InceptionV3", image_size=75)
    with pytest.raises(UserError, match="features by scratch take no weights; received imagenet"):
        extractor("scratch", "imagenet")
    with pytest.raises(UserError, match="received 'resnet'"):
        extractor("resnet", "imagenet")
