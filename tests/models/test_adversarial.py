import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.models.adversarial import AdversarialModel, Judged
from keras_apps.models.face_aging import FaceAging
from keras_apps.models.pix2pix import Pix2Pix
from keras_apps.models.text_to_image import TextToImage


class Line(AdversarialModel):
    """Numbers made as a * noise + b; the discriminator is a small net, or a line."""

    drawn = ("chances", "noise")
    term_names = ("pull",)

    def __init__(self, hidden=0, pull=0.0):
        super().__init__(dtype="float32")
        self.pull = pull
        self.generator = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        layers = (
            [keras.layers.Dense(hidden, "tanh", kernel_initializer=keras.initializers.GlorotUniform(1))]
            if hidden
            else []
        )
        self.discriminator = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(1)])
        self.built = True

    def augment(self, example, seed):
        return super().augment(example, seed) | {"noise": tf.random.stateless_normal([self.n_critic, 1], seed + 7)}

    def generate(self, batch, training):
        return self.generator(batch["noise"], training=training)

    def judged(self, batch, fake):
        return [Judged(batch["x"], True), Judged(fake, False)]

    def generator_terms(self, batch, fake, verdict):
        return {"pull": self.pull * fake[:, 0]}


def line(generator=(1.0, 0.0), discriminator=(0.5, 0.0), **settings):
    model = Line()
    model.generator.set_weights([np.array([[generator[0]]]), np.array([generator[1]])])
    model.discriminator.set_weights([np.array([[discriminator[0]]]), np.array([discriminator[1]])])
    model.compile(**settings)
    return model


BATCH = {
    "x": tf.constant([[2.0], [4.0]]),
    "noise": tf.constant([[1.0], [-1.0]]),
    "chances": tf.fill([2, 3], 0.5),
}


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def test_gradients_of_both_networks_by_hand():
    values, generator, discriminator = line().losses_and_gradients(BATCH)
    real, fake = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    # The discriminator's loss is softplus(-D(x)) + softplus(D(G(z))), the generator's softplus(-D(G(z))).
    by_logit = {"real": sigmoid(real) - 1, "fake": sigmoid(fake)}
    np.testing.assert_allclose(
        discriminator[0], [[np.mean(by_logit["real"] * [2, 4] + by_logit["fake"] * [1, -1])]], rtol=1e-5
    )
    np.testing.assert_allclose(discriminator[1], [np.mean(by_logit["real"] + by_logit["fake"])], rtol=1e-5)
    by_fake = 0.5 * (sigmoid(fake) - 1)
    np.testing.assert_allclose(generator[0], [[np.mean(by_fake * [1, -1])]], rtol=1e-5)
    np.testing.assert_allclose(generator[1], [np.mean(by_fake)], rtol=1e-5)
    np.testing.assert_allclose(values["real_score"], sigmoid(real), rtol=1e-5)
    np.testing.assert_allclose(values["discriminator_accuracy"], [0.5, 1.0])
    np.testing.assert_allclose(values["diversity"], [1.0])


def test_terms_are_added_to_the_generators_loss_alone():
    model = line()
    _, before, discriminator_before = model.losses_and_gradients(BATCH)
    model.pull = 3.0
    _, after, discriminator_after = model.losses_and_gradients(BATCH)
    np.testing.assert_allclose(after[1] - before[1], [3.0], rtol=1e-5)
    np.testing.assert_array_equal(discriminator_before[0], discriminator_after[0])


def test_smoothed_and_flipped_labels_are_the_discriminators_alone():
    model = line(real_label=0.9, fake_label=0.1, flipped_labels=0.2)
    batch = BATCH | {"chances": tf.constant([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5]])}
    _, generator, discriminator = model.losses_and_gradients(batch)
    targets = {"real": np.array([0.1, 0.9]), "fake": np.array([0.1, 0.9])}
    expected = sigmoid([1.0, 2.0]) - targets["real"] + sigmoid([0.5, -0.5]) - targets["fake"]
    np.testing.assert_allclose(discriminator[1], [expected.mean()], rtol=1e-5)
    np.testing.assert_allclose(generator[1], line().losses_and_gradients(BATCH)[1][1], rtol=1e-6)


@pytest.mark.parametrize("regulariser, expected", [("gradient_penalty", (0.5 - 1) ** 2), ("r1", 0.5**2 / 2)])
def test_a_regulariser_is_that_of_a_line(regulariser, expected):
    values, _, gradients = line(regulariser=regulariser, regulariser_weight=10.0).losses_and_gradients(BATCH)
    np.testing.assert_allclose(values["regulariser"], [10 * expected] * 2, rtol=1e-5)
    plain = line().losses_and_gradients(BATCH)[2]
    by_slope = {"gradient_penalty": 2 * (0.5 - 1), "r1": 0.5}[regulariser]
    np.testing.assert_allclose(gradients[0] - plain[0], [[10 * by_slope]], rtol=1e-4)


def numbers(count, mean=3.0):
    values = np.random.default_rng(0).normal(mean, 0.5, (count, 1)).astype(np.float32)
    return without_tuning(tf.data.Dataset.from_tensor_slices({"x": values}))


def batches(model, examples, size=32, epochs=1):
    return [batch for epoch in range(epochs) for batch in model.batches(examples, size, training=True, seed=epoch)]


def test_alternating_trains_the_generator_against_the_changed_discriminator():
    both, one_by_one = line(learning_rate=0.1), line(learning_rate=0.1, updates="alternating")
    (batch,) = batches(both, numbers(32))
    for model in (both, one_by_one):
        model.train_step(batch)
    np.testing.assert_array_equal(both.discriminator.get_weights()[0], one_by_one.discriminator.get_weights()[0])
    part = both._part(batch, 0)
    # What the generator of the other saw: the discriminator as it is now, the generator as it was.
    both.generator.set_weights([np.ones((1, 1)), np.zeros(1)])
    _, expected = both.generator_losses_and_gradients(part)
    fresh = line(learning_rate=0.1)
    fresh.optimizer.apply(expected, fresh.generator_variables)
    np.testing.assert_allclose(fresh.generator.get_weights()[0], one_by_one.generator.get_weights()[0], rtol=1e-6)


def test_the_critic_takes_n_steps_with_new_noise_each_within_its_limit():
    model = line(
        adversarial_loss="wasserstein",
        updates="alternating",
        n_critic=5,
        regulariser="weight_clipping",
        regulariser_weight=0.03,
    )
    (batch,) = batches(model, numbers(32))
    assert batch["noise"].shape == (32, 5, 1) and len(np.unique(batch["noise"])) == 160
    model.train_step(batch)
    assert int(model.discriminator_optimizer.iterations) == 5 and int(model.optimizer.iterations) == 1
    assert max(np.abs(weight).max() for weight in model.discriminator.get_weights()) <= 0.03


def test_where_a_gradient_is_penalised_is_uniform_between_real_and_fake():
    chances = np.stack([batch["chances"].numpy() for batch in batches(line(), numbers(512), 512)]).reshape(-1, 3)
    assert 0 <= chances.min() < 0.02 and 0.98 < chances.max() < 1
    np.testing.assert_allclose(chances.mean(axis=0), 0.5, atol=0.05)
    np.testing.assert_allclose(chances.std(axis=0), 12**-0.5, atol=0.03)


@pytest.mark.parametrize(
    "model",
    [
        functools.partial(Pix2Pix, height=32, width=32, filters=2, patch=16),
        functools.partial(TextToImage, image_size=16, filters=2, discriminator_filters=2, vocabulary=["▁a"]),
        functools.partial(FaceAging, image_size=32, filters=2, discriminator_filters=2, observer_filters=2),
    ],
)
def test_leaky_units_let_a_fifth_through(model):
    slopes = {layer.negative_slope for layer in model()._flatten_layers() if isinstance(layer, keras.layers.LeakyReLU)}
    assert [float(slope) for slope in slopes] == [pytest.approx(0.2)]


@pytest.mark.parametrize(("updates", "xla"), [("simultaneous", True), ("alternating", False)])
def test_learns_where_the_numbers_lie(updates, xla):
    keras.utils.set_random_seed(2)
    model = Line(hidden=16)
    model.compile(
        learning_rate=0.02,
        discriminator_learning_rate=0.02,
        regulariser="r1",
        regulariser_weight=0.3,
        updates=updates,
        xla=xla,
        averaging=0.95,
    )
    model.fit(
        numbers(256).apply(lambda examples: model.batches(examples, 64, True, 1)).repeat(),
        epochs=1,
        steps_per_epoch=300,
        verbose=0,
    )
    with model.averaged_weights():
        made = model.generator(np.random.default_rng(1).normal(size=(500, 1)))
    assert abs(float(np.mean(made)) - 3.0) < 0.3
    assert set(model.metrics_names) >= {"generator_loss", "pull"}


def test_says_what_goes_wrong():
    model = line()
    fine = {"discriminator_accuracy": 0.8, "diversity": 0.9}
    assert model.trouble(fine) is None
    assert "tells 99.9% of all apart" in model.trouble(fine | {"discriminator_accuracy": 0.999})
    assert "collapsed" in model.trouble(fine | {"diversity": 0.01})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"regulariser": "r2"}, "regulariser must be one of none, weight_clipping, gradient_penalty, r1; received r2"),
        ({"updates": "both"}, "updates must be one of simultaneous, alternating; received both"),
        (
            {"regulariser": "weight_clipping"},
            "regulariser_weight=10.0 is the limit of weight_clipping, which would clip",
        ),
        ({"n_critic": 2}, "n_critic=2 needs updates=alternating"),
        ({"adversarial_loss": "hinge", "real_label": 0.9}, "hinge knows real and fake alone"),
        ({"flipped_labels": 0.6}, "flipped_labels must be at least 0 and below 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        line(**settings)
