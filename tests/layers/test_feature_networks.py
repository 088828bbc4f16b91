import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.errors import UserError
from keras_apps.layers.feature_networks import DEFAULT_LAYERS, FeatureNetwork
from keras_apps.layers.squeezenet import SqueezeNet

IMAGE = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3)).astype(np.float32)


@pytest.mark.parametrize("network", ["scratch", "squeezenet"])
def test_shapes_are_those_that_are_said(network):
    layers = [layer for role in DEFAULT_LAYERS[network] for layer in role]
    eye = FeatureNetwork(network, layers)
    grids = eye(IMAGE)
    assert [grid.shape[-1] for grid in grids] == eye.channels()
    for grid, stride in zip(grids, eye.strides(), strict=True):
        # Convolutions without padding leave out two places at most.
        assert 0 <= 64 // stride - grid.shape[1] <= 2 and 0 <= 96 // stride - grid.shape[2] <= 2


def test_stages_of_squeezenet_are_those_on_the_way_to_its_grid():
    whole, eye = SqueezeNet(seed=3), FeatureNetwork("squeezenet", ["fire9", "conv1"], seed=3)
    last, first = eye(IMAGE)
    np.testing.assert_allclose(last, whole(IMAGE), rtol=1e-5)
    assert first.shape == (1, 31, 47, 64)


def test_vgg_is_that_of_keras_with_its_preparation():
    eye = FeatureNetwork("VGG16", ["block3_conv1", "block1_conv2"])
    original = keras.applications.VGG16(weights=None, include_top=False)
    for layer in original.layers:
        if layer.name in {each.name for each in eye.body.layers}:
            layer.set_weights(eye.body.get_layer(layer.name).get_weights())
    wanted = keras.Model(original.input, [original.get_layer(name).output for name in eye.layers])
    expected = wanted(keras.applications.vgg16.preprocess_input(IMAGE.copy()))
    for found, each in zip(eye(IMAGE), expected, strict=True):
        np.testing.assert_allclose(found, each, rtol=1e-3, atol=1e-3)
    # What no layer asked for depends on is not there.
    assert max(layer.name for layer in eye.body.layers if "conv" in layer.name) == "block3_conv1"
    assert eye.strides() == [4, 1]


def test_weights_come_from_a_file_by_name(tmp_path):
    source = keras.applications.VGG16(weights=None, include_top=False)
    source.save_weights(tmp_path / "vgg.weights.h5")
    eye = FeatureNetwork("VGG16", ["block1_conv1"])
    eye.read_weights(str(tmp_path / "vgg.weights.h5"))
    np.testing.assert_array_equal(eye.get_weights()[0], source.get_layer("block1_conv1").get_weights()[0])
    with pytest.raises(UserError, match="missing.h5 weights of VGG16 can't be had"):
        eye.read_weights(str(tmp_path / "missing.h5"))


def test_keeps_its_dtype():
    eye = FeatureNetwork("scratch", ["conv1_1"], dtype="mixed_bfloat16")
    assert eye(IMAGE)[0].dtype == tf.bfloat16
    again = FeatureNetwork.from_config(eye.get_config())
    assert again.dtype_policy.name == "mixed_bfloat16" and again.layers == ["conv1_1"]


@pytest.mark.parametrize(
    ("network", "layer", "message"),
    [("VGG11", "x", "encoder must be one of"), ("squeezenet", "fire1", "has no layer 'fire1'; it has conv1, fire2")],
)
def test_what_is_not_there_is_named(network, layer, message):
    with pytest.raises(UserError, match=message):
        FeatureNetwork(network, [layer])


def test_the_edges_of_a_picture_are_not_seen_by_an_encoder_from_scratch():
    network = FeatureNetwork("scratch", ["conv1_2", "conv3_2"])
    for features in network(tf.fill([1, 32, 48, 3], 90.0)):
        np.testing.assert_allclose(features, tf.broadcast_to(features[:, :1, :1], features.shape), rtol=1e-5, atol=1e-6)
