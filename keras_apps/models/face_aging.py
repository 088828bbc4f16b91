"""Face aging: a face to the face of the same person at another age, learned from faces with ages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.gan import InstanceNormalization
from keras_apps.layers.images import decode_image, resize_image, scale_pixels, to_pixels, unscale_pixels
from keras_apps.layers.optimizers import FusedAdam
from keras_apps.layers.requests import check_each
from keras_apps.losses.contrastive import supervised_contrastive
from keras_apps.metrics.distributions import distribution_report
from keras_apps.models.adversarial import AdversarialModel, Judged
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

OLDEST = 120
"""Years; an age above is refused."""
FALSE_ACCEPT_RATE = 0.01
"""Share of pairs of two people that verification may take for one."""
_OF_ONE = 2
"""Pictures of one person that are put side by side in a batch, for recognition."""
_OWN_SHARE = 0.2
"""Of the faces that are asked for at the age that they have."""
_TEMPERATURE = 0.1
_PIXEL_WEIGHT = 0.5
"""Of the difference in pixels, in what a latent code is searched by."""
_LATENT_RATE = 0.05
_SPECKLE = 0.06
"""Standard deviation of the noise that is laid over a made face before the guide looks at it; white is 1."""
_ENOUGH = 30
"""Faces of an age group from which on FID and KID say something."""
_MOST_COMPARED = 2000
"""True faces of which all pairs are looked at; of more, some are drawn."""
_SHOWN = 6

logger = logging.getLogger(__name__)


@keras.saving.register_keras_serializable(package="keras_apps")
class FaceAging(AdversarialModel):
    """Ages faces in one pass (Wang 2018, IPCGAN) or by way of a latent code (Antipov 2017, acGAN).

    `direct` (https://openaccess.thecvf.com/content_cvpr_2018/html/Wang_Face_Aging_With_CVPR_2018_paper.html): the
    generator repaints a face for an age, so that a network finds it of that age and another one the same person.
    `latent` (https://arxiv.org/abs/1702.01983): the generator makes faces of a code and an age; the code of a given
    face is guessed by an encoder, then improved until the face made of it is the same person's.

    Phases: `recognition` trains two observers, which tell who a face is and of what age. The guide sees one half of the
    people, and the generator is trained by it; the examiner sees the other half, and `measure` by it alone. `gan`
    trains generator and discriminator; `encoder`, only for `latent`, what guesses codes.

    An age is a soft condition: a weight for each age group, of which two neighbours share an age between their centres.

    No network has batch statistics or dropout, so that what is served is as good as what was seen in training.

    Args:
        method: `direct` or `latent`.
        bounds: the age groups, by their lower bounds in years; the last has no end, and counts as long as the one
            before it.
        image_size: of a side of the pictures, a multiple of 16; others are squashed, and the answer stretched again.
        filters: of the generator's level of all pixels; others have up to 4 times as many, with `latent` up to 8.
        discriminator_filters: of the first level of the discriminator; others have up to 8 times as many.
        observer_filters: of the first level of each observer, likewise.
        identity_units: of what observers say of who it is.
        noise_units: of a latent code.
        latent_steps: by which the code of a face is improved.
        flip: mirror half of the pictures in training.
        seed: of the initial weights.
    """

    drawn: ClassVar[tuple[str, ...]] = ("chances", "target", "wrong", "is_own", "noise", "speckle")

    def __init__(
        self,
        method: Literal["direct", "latent"] = "direct",
        bounds: Sequence[int] = (0, 10, 20, 30, 40, 50, 60, 70),
        image_size: int = 64,
        filters: int = 16,
        discriminator_filters: int = 32,
        observer_filters: int = 16,
        identity_units: int = 64,
        noise_units: int = 64,
        latent_steps: int = 60,
        flip: bool = True,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.method = method
        self.bounds = list(bounds)
        self.image_size = image_size
        self.filters = filters
        self.discriminator_filters = discriminator_filters
        self.observer_filters = observer_filters
        self.identity_units = identity_units
        self.noise_units = noise_units
        self.latent_steps = latent_steps
        self.flip = flip
        self.seed = seed
        sizes = ("filters", "discriminator_filters", "observer_filters", "identity_units", "noise_units")
        check_choices(self, FaceAging.__init__)
        check_range(self, sizes, at_least=1)
        check_range(self, ("latent_steps",), at_least=0)
        if image_size < 32 or image_size % 16:
            raise UserError(f"image_size must be a multiple of 16, from 32 on; received {image_size}")
        if len(bounds) < 2 or list(bounds) != sorted(set(bounds)) or bounds[0] < 0 or bounds[-1] >= OLDEST:
            raise UserError(
                f"bounds must be two or more ages below {OLDEST}, each above the one before; received {list(bounds)}"
            )
        self.phase = self.phases[-1]
        self._build_network()

    def _build_network(self) -> None:
        dtype, seed, size, groups = self.dtype_policy, self.seed, self.image_size, len(self.bounds)
        # The first of the layers: Keras gives the moving averages to the first weights of a model when `fit` ends.
        if self.method == "direct":
            self.generator = repainter(size, groups, self.filters, seed, dtype)
        else:
            self.generator = painter(size, groups, self.noise_units, self.filters, seed, dtype)
        self.discriminator = discriminator(size, groups, self.discriminator_filters, seed + 100, dtype)
        settings = (size, groups, self.identity_units, self.observer_filters)
        self.guide = observer("guide", *settings, seed + 200, dtype)
        self.examiner = observer("examiner", *settings, seed + 300, dtype)
        if self.method == "latent":
            self.encoder = encoder(size, self.noise_units, 2 * self.filters, seed + 400, dtype)
        self.built = True

    @property
    def phases(self) -> tuple[str, ...]:
        """`recognition`, `gan` and, where there is a latent code, `encoder`."""
        return ("recognition", "gan") if self.method == "direct" else ("recognition", "gan", "encoder")

    @property
    def term_names(self) -> tuple[str, ...]:
        """The generator's losses besides the adversarial one."""
        return ("identity", "age", "l1") if self.method == "direct" else ("age",)

    # Ages.

    @property
    def centres(self) -> np.ndarray:
        """`<float32>[groups]`, the ages in the middle of each group."""
        ends = [*self.bounds[1:], 2 * self.bounds[-1] - self.bounds[-2]]
        return np.asarray([(start + end) / 2 for start, end in zip(self.bounds, ends, strict=True)], np.float32)

    @property
    def group_names(self) -> list[str]:
        """Such as 0-9 and 70+."""
        pairs = zip(self.bounds, self.bounds[1:], strict=False)
        return [f"{start}-{end - 1}" for start, end in pairs] + [f"{self.bounds[-1]}+"]

    def age_weights(self, ages: tf.Tensor) -> tf.Tensor:
        """Years `[...]` -> the weight of each group, `<float32>[..., groups]`, of sum 1.

        An age at the centre of a group is of that group alone, and so is one beyond the first or last centre.
        """
        centres = tf.constant(self.centres)
        ages = tf.clip_by_value(tf.cast(ages, tf.float32), centres[0], centres[-1])[..., None]
        steps = centres[1:] - centres[:-1]
        # How far an age is on the way from each centre to the next.
        way = tf.clip_by_value((ages - centres[:-1]) / steps, 0.0, 1.0)
        one, none = tf.ones_like(ages), tf.zeros_like(ages)
        return tf.concat([one, way], axis=-1) - tf.concat([way, none], axis=-1)

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Looks whether each age group, and each half of the people, has faces to learn from.

        Raises:
            UserError: where all faces are of one age group, or of one person.
        """
        counts, halves = np.zeros(len(self.bounds), int), np.zeros(2, int)

        def known(example: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
            return example["age"], self.prepare(example)["half"]

        for age, half in examples.map(known, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator():
            counts[np.searchsorted(self.bounds, max(age, self.bounds[0]), side="right") - 1] += 1
            halves[half] += 1
        missing = [name for name, count in zip(self.group_names, counts, strict=True) if not count]
        if len(missing) >= len(self.bounds) - 1:
            raise UserError(
                f"the training faces are all of one age group, {self.group_names[int(counts.argmax())]}; give faces of "
                "more ages, or other --bounds"
            )
        if not halves.all():
            raise UserError("the training faces are of too few people to hold half of them back to measure by")
        for name in missing:
            logger.warning(
                "no training face is of the age group %s: what is made for that age means little; "
                "give such faces, or other --bounds",
                name,
            )

    def prepare(self, example: Tensors) -> Tensors:
        """`image` `<uint8>[size, size, 3]`, `age` as weights, `identity`, and the `half` of the people it is of."""
        image = self._squashed(example["image"])
        known = tf.strings.as_string(example["identity"])
        unknown = tf.io.serialize_tensor(image)
        return {
            "image": image,
            "age": self.age_weights(example["age"]),
            "identity": example["identity"],
            "half": tf.strings.to_hash_bucket_fast(tf.where(example["identity"] >= 0, known, unknown), 2),
        }

    def _squashed(self, image: tf.Tensor) -> tf.Tensor:
        return to_pixels(resize_image(image, self.image_size))

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """Batches; for recognition with two pictures of one person side by side, where they are known.

        Examples to validate by are drawn for in the same way each time, and are new to both observers.
        """
        if not training:
            if self.phase == "recognition":
                examples = examples.map(
                    lambda each: (
                        each | {"views": tf.stack([each["image"], each["image"][:, ::-1]]), "share": [1.0, 1.0]}
                    )
                )
            else:
                examples = examples.enumerate().map(
                    lambda index, each: each | {name: value[0] for name, value in self._draws(each, index, 1).items()}
                )
            return super().batches(examples, batch_size, training, seed)
        if self.phase != "recognition":
            return super().batches(examples, batch_size, training, seed)
        seed = tf.cast(seed, tf.int64)
        count = tf.maximum(examples.cardinality(), 1)
        together = (
            examples.shuffle(count, seed=seed, reshuffle_each_iteration=False)
            .group_by_window(
                lambda each: tf.cast(each["identity"], tf.int64), lambda _, some: some.batch(_OF_ONE), _OF_ONE
            )
            .shuffle(count, seed=seed + 1, reshuffle_each_iteration=False)
            .unbatch()
            .apply(tf.data.experimental.assert_cardinality(examples.cardinality()))
        )
        return (
            together.enumerate()
            .map(lambda index, each: self.augment(each, tf.stack([seed, index])), num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size)
        )

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """For recognition two `views` of a picture and the observers' `share` in it; else what a step draws."""
        if self.phase == "recognition":
            views = [self._view(example["image"], view) for view in tf.unstack(tf.random.split(seed, 2))]
            # The mean over all examples is that over one's half, but for what a batch has of it by chance.
            return example | {"views": tf.stack(views), "share": 2 * tf.one_hot(example["half"], 2)}
        example = super().augment(example, seed)
        of_flip, of_draws = tf.unstack(tf.random.split(seed, 2))
        image = tf.image.stateless_random_flip_left_right(example["image"], of_flip) if self.flip else example["image"]
        return example | {"image": image} | self._draws(example, of_draws[0], self.n_critic)

    def _view(self, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The picture moved, mirrored, in another light and a little noisy: what says nothing of who it is."""
        of_flip, of_place, of_light, of_tint, of_noise, of_depth = tf.unstack(tf.random.split(seed, 6))
        margin = self.image_size // 16
        if self.flip:
            image = tf.image.stateless_random_flip_left_right(image, of_flip)
        image = tf.pad(image, [[margin, margin], [margin, margin], [0, 0]], "SYMMETRIC")
        image = tf.image.stateless_random_crop(image, [self.image_size, self.image_size, 3], of_place)
        light = tf.random.stateless_uniform([], of_light, 0.85, 1.15)
        tint = tf.random.stateless_uniform([3], of_tint, 0.95, 1.05)
        noise = tf.random.stateless_normal(tf.shape(image), of_noise)
        noise *= 127.5 * tf.random.stateless_uniform([], of_depth, 0.0, 1.5 * _SPECKLE)
        return to_pixels(tf.cast(image, tf.float32) * light * tint + noise)

    def _draws(self, example: Tensors, seed: tf.Tensor, steps: int) -> Tensors:
        """For each of some steps: the age to make it of, whether that is its own, an age it isn't of, and a code."""
        seeds = tf.random.split(tf.stack([tf.cast(seed, tf.int64), 0]), 5)
        of_own, of_target, of_wrong, of_noise, of_speckle = tf.unstack(seeds)
        youngest, oldest = self.centres[0], self.centres[-1]

        def drawn_ages(seed: tf.Tensor) -> tf.Tensor:
            return self.age_weights(tf.random.stateless_uniform([steps], seed, youngest, oldest))

        is_own = tf.random.stateless_uniform([steps], of_own) < _OWN_SHARE
        return {
            "is_own": tf.cast(is_own, tf.float32),
            "target": tf.where(is_own[:, None], example["age"], drawn_ages(of_target)),
            "wrong": drawn_ages(of_wrong),
            "noise": tf.random.stateless_normal([steps, self.noise_units], of_noise),
            "speckle": tf.random.stateless_normal([steps, self.image_size, self.image_size, 3], of_speckle),
        }

    # The networks.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """`image` `<uint8>[batch, size, size, 3]` and `age` weights -> the aged faces, from -1 to 1."""
        return self.paint(self.source(scale_pixels(inputs["image"])), inputs["age"], training)

    def paint(self, source: tf.Tensor, age: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`<float32>[batch, size, size, 3]` from -1 to 1, of pictures or codes and the weights of age groups."""
        return self.generator({"source": source, "age": age}, training=training)

    def source(self, image: tf.Tensor) -> tf.Tensor:
        """What faces, from -1 to 1, are painted from: themselves, or the codes that are found for them."""
        return image if self.method == "direct" else self.latent_code(image)

    def latent_code(self, image: tf.Tensor) -> tf.Tensor:
        """The codes `<float32>[batch, noise_units]` that faces can be made of.

        From the encoder's guess, `latent_steps` steps of Adam along the gradient of `latent_objective`.
        """
        seen = self.guide(image)
        identity, age = seen["identity"], tf.nn.softmax(seen["age"])

        def step(number: tf.Tensor, code: tf.Tensor, mean: tf.Tensor, square: tf.Tensor) -> tuple[tf.Tensor, ...]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(code)
                # The sum: no face has to do with another of its batch.
                objective = tf.reduce_sum(self.latent_objective(code, image, identity, age))
            gradient = tape.gradient(objective, code)
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * tf.square(gradient)
            number += 1.0
            unbiased = mean / (1 - 0.9**number) / (tf.sqrt(square / (1 - 0.99**number)) + 1e-8)
            return number, code - _LATENT_RATE * unbiased, mean, square

        code = self.encoder(image)
        _, code, _, _ = tf.while_loop(
            lambda *_: True,
            step,
            (0.0, code, tf.zeros_like(code), tf.zeros_like(code)),
            maximum_iterations=self.latent_steps,
        )
        return code

    def latent_objective(self, code: tf.Tensor, image: tf.Tensor, identity: tf.Tensor, age: tf.Tensor) -> tf.Tensor:
        """How far the face made of a code is from being the given one, `<float32>[batch]`.

        Args:
            code: `<float32>[batch, noise_units]`.
            image: the faces, from -1 to 1.
            identity: what the guide says of who they are.
            age: what it says of their age, as weights.
        """
        made = self.paint(code, age)
        away = 1 - tf.reduce_sum(identity * self.guide(made)["identity"], axis=-1)
        return away + _PIXEL_WEIGHT * tf.reduce_mean(tf.abs(made - image), axis=[1, 2, 3])

    def generate(self, batch: Tensors, training: bool) -> tf.Tensor:
        """Faces at the ages drawn; of drawn codes and the ages of true faces, where there is a latent code."""
        if self.method == "direct":
            return self.paint(scale_pixels(batch["image"]), batch["target"], training)
        return self.paint(batch["noise"], batch["age"], training)

    def judged(self, batch: Tensors, fake: tf.Tensor) -> list[Judged]:
        """True faces with their age, made ones with the age asked for, and true ones with a wrong age."""
        image = scale_pixels(batch["image"])
        asked = batch["target"] if self.method == "direct" else batch["age"]
        # An age is the less wrong, the more of its weights are those of the true one.
        is_wrong = 1 - tf.reduce_sum(tf.minimum(batch["age"], batch["wrong"]), axis=-1)
        return [
            Judged((image, batch["age"]), True),
            Judged((fake, asked), False, 0.5),
            Judged((image, batch["wrong"]), False, 0.5 * is_wrong),
        ]

    def judge(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool) -> Tensors:
        """`logits` `<float32>[batch, 1]` of faces with ages."""
        image, age = inputs
        return {"logits": self.discriminator({"image": image, "age": age}, training=training)}

    def generator_terms(self, batch: Tensors, fake: tf.Tensor, verdict: Tensors) -> Tensors:
        """What the guide says of the age; where faces are repainted also of who it is, and what changed needlessly.

        It looks through a blur and noise, or the generator learns patterns that no eye sees and that please the guide.
        """
        del verdict
        seen = self.guide(_glance(fake, batch["speckle"]))
        asked = batch["target"] if self.method == "direct" else batch["age"]
        terms = {"age": self.age_weight * tf.nn.softmax_cross_entropy_with_logits(asked, seen["age"])}
        if self.method == "latent":
            return terms
        image = scale_pixels(batch["image"])
        same = tf.reduce_sum(self.guide(_glance(image))["identity"] * seen["identity"], axis=-1)
        l1 = tf.reduce_mean(tf.abs(fake - image), axis=[1, 2, 3])
        return terms | {
            "identity": self.identity_weight * (1 - same),
            "l1": self.l1_weight * batch["is_own"] * l1 / _OWN_SHARE,
        }

    # Training.

    @property
    def monitor(self) -> tuple[str, str]:
        """The loss of the observers, the generator's terms together, or the loss of the encoder."""
        return f"val_{'aging' if self.phase == 'gan' else self.phase}_loss", "min"

    game = {
        "regulariser": "r1",
        "regulariser_weight": 2.0,
        "learning_rate": 5e-4,
        "discriminator_learning_rate": 5e-4,
        "averaging": 0.99,
    }

    def compile(
        self,
        recognition_learning_rate: float = 1e-3,
        identity_weight: float = 3.0,
        age_weight: float = 0.5,
        l1_weight: float = 5.0,
        xla: bool = False,
        steps_per_execution: int = 1,
        **game: Any,
    ) -> None:
        """Adam for all networks.

        Args:
            recognition_learning_rate: of the observers, and of the encoder.
            identity_weight: of what the guide sees of another person, in the generator's loss (direct).
            age_weight: of what it sees of another age, likewise.
            l1_weight: of what is changed in a face that is asked for at its own age, likewise (direct).
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
            game: as `AdversarialModel.compile` takes it.
        """
        self.identity_weight = identity_weight
        self.age_weight = age_weight
        self.l1_weight = l1_weight
        check_range(self, ("identity_weight", "age_weight", "l1_weight"), at_least=0)
        # In the other phases too, which take long: what is wrong with the game is said before them.
        super().compile(xla=xla, steps_per_execution=steps_per_execution, **self.game | game)
        if self.phase == "gan":
            return
        of_observers = ["recognition_loss", "identity_loss", "age_loss", "age_accuracy"]
        ServableModel.compile(
            self,
            FusedAdam(recognition_learning_rate),
            of_observers if self.phase == "recognition" else ["encoder_loss"],
            variables=self.supervised_variables,
            xla=xla,
            steps_per_execution=steps_per_execution,
        )

    @property
    def reported(self) -> list[str]:
        """What steps of the game return, and the sum of what the guide says."""
        return [*super().reported, "aging_loss"]

    @property
    def supervised_variables(self) -> list[keras.Variable]:
        """Those of the observers, or of the encoder."""
        if self.phase == "recognition":
            return self.guide.trainable_variables + self.examiner.trainable_variables
        return self.encoder.trainable_variables

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The generator's and the discriminator's, or that of the observers or the encoder."""
        return super().optimizers if self.phase == "gan" else [self.optimizer]

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step of generator and discriminator, of the observers, or of the encoder."""
        if self.phase == "gan":
            return super().train_step(batch)
        # The codes were drawn for steps of a discriminator; here is one step.
        values, gradients = self.accelerate(self.supervised_losses_and_gradients)(self._part(batch, 0))
        self.apply_gradients(self.optimizer, gradients, self.supervised_variables, batch)
        return self.track(values)

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """The losses on a batch that nothing learns from."""
        return super().test_step(batch) if self.phase == "gan" else self.track(self._supervised_values(batch))

    def supervised_losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, first of all the loss, and the gradients of the observers or the encoder."""
        with tf.GradientTape() as tape:
            values = self._supervised_values(batch)
            loss = self.replica_mean(next(iter(values.values())))
        return values, tape.gradient(loss, self.supervised_variables)

    def _supervised_values(self, batch: Tensors) -> Tensors:
        return self._recognition_values(batch) if self.phase == "recognition" else self._encoder_values(batch)

    def _recognition_values(self, batch: Tensors) -> Tensors:
        """The mean of both observers' losses, each on the people that are its own."""
        views, share, age = batch["views"], batch["share"], batch["age"]
        images = scale_pixels(tf.concat([views[:, 0], views[:, 1]], axis=0))
        count = tf.shape(views)[0]
        # Who is not known is someone else in each picture.
        labels = tf.where(batch["identity"] >= 0, batch["identity"], -1 - tf.range(count))
        identity_loss = age_loss = accuracy = 0.0
        for index, network in enumerate((self.guide, self.examiner)):
            seen = network(images)
            own = share[:, index]
            losses = supervised_contrastive(
                seen["identity"], tf.concat([labels, labels], 0), tf.concat([own, own], 0) > 0, _TEMPERATURE
            )
            logits = seen["age"][:count]
            hit = tf.abs(tf.argmax(logits, axis=-1) - tf.argmax(age, axis=-1)) <= 1
            identity_loss += own * (losses[:count] + losses[count:]) / 4
            age_loss += own * tf.nn.softmax_cross_entropy_with_logits(age, logits) / 2
            accuracy += own * tf.cast(hit, tf.float32) / 2
        return {
            "recognition_loss": identity_loss + age_loss,
            "identity_loss": identity_loss,
            "age_loss": age_loss,
            "age_accuracy": accuracy,
        }

    def _encoder_values(self, batch: Tensors) -> Tensors:
        code = batch["noise"]
        guess = self.encoder(tf.stop_gradient(self.paint(code, batch["age"])))
        return {"encoder_loss": tf.reduce_mean(tf.square(guess - code), axis=-1)}

    def track(self, values: Tensors, weights: tf.Tensor | None = None) -> Tensors:
        """Does so, the sum of what the guide says among them."""
        if self.phase == "gan":
            values = values | {"aging_loss": tf.add_n([values[name] for name in self.term_names])}
        return super().track(values, weights)

    def trouble(self, metrics: dict[str, float]) -> str | None:
        """Says what goes wrong between generator and discriminator."""
        return super().trouble(metrics) if self.phase == "gan" else None

    # Metrics and samples.

    def measure(
        self,
        examples: tf.data.Dataset,
        batch_size: int = 64,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """How old the examiner finds each face when it was made of each age group, and whether the same person.

        It was trained on other people than what the generator learned by. The `true_` metrics are its own error: on
        true faces with their ages, and on pairs of pictures of one person, where there are any.

        Args:
            examples: raw ones.
            batch_size: how many at a time.
            features: `<uint8>[batch, height, width, 3]` -> `<float32>[batch, units]`, for FID and KID.

        Returns:
            `age_error` in years, `age_hit`, the share within one group; `verified`, the share accepted as the same
            person where 1 % of pairs of other people are, and the cosine's `threshold`, where there are two people; the
            same by age group; FID and KID of the groups that have enough faces.
        """
        known = examples.map(lambda example: self.prepare(example) | {"years": example["age"]}, tf.data.AUTOTUNE)
        batches = known.batch(batch_size)
        rows = [
            {name: value.numpy() for name, value in (self._aged_and_seen(batch["image"]) | batch).items()}
            for batch in told(batches, "measuring: batch", int(batches.cardinality()))
        ]
        found = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        genuine, impostors = _pairs_of(found["true_identity"], found["identity"])
        groups = np.arange(len(self.bounds))
        away, off = self._age_errors(found["aged_age"], self.centres, groups)
        true_groups = np.clip(np.searchsorted(self.bounds, found["years"], side="right") - 1, 0, None)
        true_away, true_off = self._age_errors(found["true_age"], found["years"], true_groups)
        report = {
            "age_error": float(away.mean()),
            "age_hit": float((off <= 1).mean()),
            "true_age_error": float(true_away.mean()),
            "true_age_hit": float((true_off <= 1).mean()),
        }
        if len(impostors):
            threshold = float(np.quantile(impostors, 1 - FALSE_ACCEPT_RATE, method="higher"))
            same = np.einsum("fu,fgu->fg", found["true_identity"], found["aged_identity"]) > threshold
            report |= {"verified": float(same.mean()), "threshold": threshold}
            shares = same.mean(axis=0)
            report |= {f"verified_{name}": float(share) for name, share in zip(self.group_names, shares, strict=True)}
            if len(genuine):
                report["true_verified"] = float((genuine > threshold).mean())
        else:
            logger.warning("all faces are one person's: whether made ones are verified can't be told")
        for group, name in enumerate(self.group_names):
            report[f"age_error_{name}"] = float(away[:, group].mean())
            report[f"age_hit_{name}"] = float((off[:, group] <= 1).mean())
            of_group = found["image"][true_groups == group]
            if features is not None and len(of_group) >= _ENOUGH:
                distances = distribution_report(features(of_group), features(found["aged"][:, group]))
                report |= {f"{metric}_{name}": distances[metric] for metric in ("fid", "kid")}
        return report

    def _age_errors(self, logits: np.ndarray, years: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By how many years, and by how many groups, the examiner finds faces of another age."""
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        expected = weights @ self.centres / weights.sum(-1)
        return np.abs(expected - years), np.abs(logits.argmax(-1) - groups)

    @tf.function(autograph=False, reduce_retracing=True)
    def _aged_and_seen(self, image: tf.Tensor) -> Tensors:
        """Faces at every age, `<uint8>[batch, groups, size, size, 3]`, and what the examiner sees of true and aged."""
        true = self.examiner(scale_pixels(image))
        aged = self.at_every_age(image)
        # In the pixels that are served.
        seen = self.examiner(scale_pixels(tf.reshape(aged, [-1, *image.shape[1:]])))
        groups = len(self.bounds)
        return {
            "aged": aged,
            "aged_age": tf.reshape(seen["age"], [-1, groups, groups]),
            "aged_identity": tf.reshape(seen["identity"], [-1, groups, self.identity_units]),
            "true_age": true["age"],
            "true_identity": true["identity"],
        }

    @tf.function(autograph=False, reduce_retracing=True)
    def at_every_age(self, image: tf.Tensor) -> tf.Tensor:
        """`<uint8>[batch, size, size, 3]` -> the faces at the centre of each age group, `[batch, groups, ...]`."""
        return self._at_every_age(self.source(scale_pixels(image)))

    def _at_every_age(self, source: tf.Tensor) -> tf.Tensor:
        def aged(age: tf.Tensor) -> tf.Tensor:
            return unscale_pixels(self.paint(source, tf.repeat(age[None], tf.shape(source)[0], axis=0)))

        every = tf.map_fn(aged, tf.eye(len(self.bounds)), fn_output_signature=tf.uint8)
        return tf.transpose(every, [1, 0, 2, 3, 4])

    def sample(self, examples: tf.data.Dataset) -> np.ndarray | None:
        """Rows of a face and the same at every age; of a code, as long as none is found for a face."""
        if self.phase == "recognition":
            return None
        if self.phase == "gan" and self.method == "latent":
            return self._at_every_age(tf.random.stateless_normal([_SHOWN, self.noise_units], [0, 0])).numpy()
        image = next(iter(examples.take(_SHOWN).map(lambda each: self._squashed(each["image"])).batch(_SHOWN)))
        return np.concatenate([image.numpy()[:, None], self.at_every_age(image).numpy()], axis=1)

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: the bytes of a face and an age in, the bytes of a PNG of the same size out."""
        inputs = {
            "image_bytes": tf.TensorSpec([None], tf.string, name="image_bytes"),
            "age": tf.TensorSpec([None], tf.int32, name="age"),
        }
        grey = np.full((self.image_size, self.image_size, 3), 160, np.uint8)
        quarter = self.image_size // 4
        grey[quarter:-quarter, quarter:-quarter] = (220, 180, 150)
        examples = [{"image_bytes": tf.io.encode_png(grey).numpy(), "age": 60}]
        sizes = (1, 8, 32) if self.method == "direct" else (1, 4)
        return {"serving_default": Signature(inputs, self._decode, self._core, self._encode, examples, sizes)}

    def _decode(self, inputs: Tensors) -> Tensors:
        def one(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image = decode_image(image_bytes)
            return self._squashed(image), tf.shape(image)[:2]

        size = self.image_size
        spec = (tf.TensorSpec([size, size, 3], tf.uint8), tf.TensorSpec([2], tf.int32))
        message = f"age {{}} of the request is {{}}; it must be 0 to {OLDEST}"
        age = inputs["age"]
        with tf.control_dependencies([check_each((age >= 0) & (age <= OLDEST), message, age)]):
            age = self.age_weights(age)
            image, shape = tf.map_fn(one, inputs["image_bytes"], fn_output_signature=spec)
        return {"image": image, "age": age, "size": shape}

    def _core(self, inputs: Tensors) -> Tensors:
        return {"image": self(inputs), "size": inputs["size"]}

    def _encode(self, outputs: Tensors) -> Tensors:
        def one(values: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, size = values
            return tf.io.encode_png(unscale_pixels(tf.image.resize(image, size, method="bicubic")))

        png = tf.map_fn(one, (outputs["image"], outputs["size"]), fn_output_signature=tf.TensorSpec([], tf.string))
        return {"image_bytes": png}


def repainter(size: int, groups: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """Faces `source`, from -1 to 1, and weights of the groups `age` -> faces from -1 to 1, float32.

    Down twice, four residual blocks, up again beside what the way down had. It makes colours and, as Pumarola 2018
    (https://arxiv.org/abs/1807.09251), a mask that says how much of them is laid over the face, so that what age does
    not change is the face's own.

    Args:
        size: of a side of the pictures.
        groups: of ages.
        filters: of the level of all pixels; twice as many in each of the next two.
        seed: of the initial weights.
        dtype: of the layers.
    """
    build = _Builder("repainter", seed, dtype)
    source = keras.Input((size, size, 3), name="source")
    age = keras.Input((groups,), name="age")
    full = build.styled(build.convolved(source, filters, 3), age)
    half = build.styled(build.convolved(full, 2 * filters, 4, 2), age)
    output = build.styled(build.convolved(half, 4 * filters, 4, 2), age)
    for _ in range(4):
        inner = build.styled(build.convolved(output, 4 * filters, 3), age)
        output = build.add(output, build.convolved(inner, 4 * filters, 3))
    output = build.styled(build.grown(output, 2 * filters), age)
    output = build.styled(build.grown(build.beside(output, half), filters), age)
    output = build.styled(build.convolved(build.beside(output, full), filters, 3), age)
    output = keras.layers.Activation("linear", dtype="float32")(build.convolved(output, 4, 3))
    mask = keras.ops.sigmoid(output[..., 3:])
    picture = source + mask * (keras.ops.tanh(output[..., :3]) - source)
    return keras.Model({"source": source, "age": age}, picture, name="generator")


def painter(
    size: int, groups: int, noise_units: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """Codes `source` `[batch, noise_units]` and weights of the groups `age` -> faces from -1 to 1, float32.

    Args:
        size: of a side of the pictures.
        groups: of ages.
        noise_units: of a code.
        filters: of the level of all pixels; up to 8 times as many in those before.
        seed: of the initial weights.
        dtype: of the layers.
    """
    build = _Builder("painter", seed, dtype)
    source = keras.Input((noise_units,), name="source")
    age = keras.Input((groups,), name="age")
    style = keras.layers.Concatenate(dtype="float32")([source, age])
    side = size // 16
    output = build.dense(style, side * side * 8 * filters)
    output = keras.layers.Reshape((side, side, 8 * filters), dtype=dtype)(output)
    for factor in (8, 4, 2, 1):
        output = build.grown(build.styled(output, style), factor * filters)
    output = build.convolved(build.styled(output, style), 3, 3)
    picture = keras.layers.Activation("tanh", dtype="float32")(output)
    return keras.Model({"source": source, "age": age}, picture, name="generator")


def discriminator(
    size: int, groups: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """Faces `image`, from -1 to 1, and weights of the groups `age` -> a logit of each face, `[batch, 1]`, float32.

    Of the whole face: a mean over patches lets pass what is odd in one of them. What it sees is projected on what is
    looked for at that age (Miyato 2018, https://arxiv.org/abs/1802.05637).

    Args:
        size: of a side of the pictures.
        groups: of ages.
        filters: of the first level; twice, four and eight times as many in the next three.
        seed: of the initial weights.
        dtype: of the layers.
    """
    build = _Builder("discriminator", seed, dtype)
    image = keras.Input((size, size, 3), name="image")
    age = keras.Input((groups,), name="age")
    output = image
    for factor in (1, 2, 4, 8):
        output = build.leaky(build.convolved(output, factor * filters, 4, 2))
    seen = build.leaky(build.dense(keras.layers.Flatten(dtype=dtype)(output), 4 * filters))
    seen = keras.layers.Activation("linear", dtype="float32")(seen)
    wanted = build.dense(age, 4 * filters, "float32", bias=False)
    logits = build.dense(seen, 1, "float32") + keras.ops.sum(seen * wanted, axis=-1, keepdims=True)
    return keras.Model({"image": image, "age": age}, logits, name="discriminator")


def observer(
    name: str,
    size: int,
    groups: int,
    identity_units: int,
    filters: int,
    seed: int,
    dtype: keras.dtype_policies.DTypePolicy,
) -> keras.Model:
    """Faces from -1 to 1 -> `identity`, of length 1 and near to others of the same person, and `age` logits, float32.

    Two networks that share nothing, so that who it is does not depend on the age.

    Args:
        name: of the network, and what the names of its layers begin with.
        size: of a side of the pictures.
        groups: of ages.
        identity_units: of the identity.
        filters: of the first level; twice, four and eight times as many in the next three.
        seed: of the initial weights.
        dtype: of the layers.
    """
    image = keras.Input((size, size, 3), name="image")
    answers = {}
    for index, (answer, units) in enumerate({"identity": identity_units, "age": groups}.items()):
        build = _Builder(f"{name}_{answer}", seed + 50 * index, dtype)
        output = image
        for factor in (1, 2, 4, 8):
            output = build.leaky(build.convolved(output, factor * filters, 4, 2))
        answers[answer] = build.dense(keras.layers.Flatten(dtype=dtype)(output), units, "float32")
    identity = keras.ops.normalize(answers["identity"], axis=-1)
    return keras.Model(image, {"identity": identity, "age": answers["age"]}, name=name)


def encoder(size: int, units: int, filters: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """Faces from -1 to 1 -> codes `<float32>[batch, units]`.

    Args:
        size: of a side of the pictures.
        units: of a code.
        filters: of the first level; twice and four times as many in the next two.
        seed: of the initial weights.
        dtype: of the layers.
    """
    build = _Builder("encoder", seed, dtype)
    image = keras.Input((size, size, 3), name="image")
    output = image
    for factor in (1, 2, 4):
        output = build.leaky(build.convolved(output, factor * filters, 4, 2))
    output = build.dense(keras.layers.Flatten(dtype=dtype)(output), units, "float32")
    return keras.Model(image, output, name="encoder")


class _Builder:
    """Layers of one network, named by their number in it, so that weights are found again, and seeded one by one."""

    def __init__(self, network: str, seed: int, dtype: keras.dtype_policies.DTypePolicy):
        self.network, self.seed, self.dtype = network, seed, dtype
        self.count = 0

    def _next(self, kind: str, initializer: Callable[[int], Any] | None = None) -> dict[str, Any]:
        self.count += 1
        settings = {"name": f"{self.network}_{self.count}_{kind}", "dtype": self.dtype}
        seed = self.seed + self.count
        return settings | ({"kernel_initializer": initializer(seed)} if initializer else {})

    def convolved(self, inputs: Any, filters: int, size: int, stride: int = 1) -> Any:
        settings = self._next("convolution", keras.initializers.HeNormal)
        return keras.layers.Conv2D(filters, size, stride, "same", **settings)(inputs)

    def grown(self, inputs: Any, filters: int) -> Any:
        return self.convolved(keras.layers.UpSampling2D(2, dtype=self.dtype)(inputs), filters, 3)

    def dense(self, inputs: Any, units: int, dtype: Any = None, bias: bool = True) -> Any:
        settings = self._next("dense", keras.initializers.GlorotNormal) | ({"dtype": dtype} if dtype else {})
        return keras.layers.Dense(units, use_bias=bias, **settings)(inputs)

    def styled(self, inputs: Any, style: Any) -> Any:
        """Normalised, scaled and moved by the style, and bent.

        A style that was an input like another would be the same all over a picture, and that is what instance
        normalisation takes away.
        """
        channels = inputs.shape[-1]
        output = InstanceNormalization(**self._next("normalize"))(inputs)
        scale, shift = (
            keras.layers.Reshape((1, 1, channels), dtype=self.dtype)(
                keras.layers.Dense(
                    channels, **self._next("style", lambda seed: keras.initializers.RandomNormal(0, 0.1, seed=seed))
                )(style)
            )
            for _ in range(2)
        )
        return keras.layers.ReLU(dtype=self.dtype)(output * (1 + scale) + shift)

    def leaky(self, inputs: Any) -> Any:
        return keras.layers.LeakyReLU(0.2, dtype=self.dtype)(inputs)

    def beside(self, *inputs: Any) -> Any:
        return keras.layers.Concatenate(dtype=self.dtype)(inputs)

    def add(self, *inputs: Any) -> Any:
        return keras.layers.Add(dtype=self.dtype)(inputs)


def _pairs_of(embeddings: np.ndarray, identities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cosines of pairs of pictures of one person, and of two; pictures of nobody known are of two."""
    if len(embeddings) > _MOST_COMPARED:
        chosen = np.random.default_rng(0).choice(len(embeddings), _MOST_COMPARED, replace=False)
        embeddings, identities = embeddings[chosen], identities[chosen]
    first, second = np.triu_indices(len(embeddings), 1)
    cosines = (embeddings @ embeddings.T)[first, second]
    same = (identities[first] == identities[second]) & (identities[first] >= 0)
    return cosines[same], cosines[~same]


def _glance(image: tf.Tensor, speckle: tf.Tensor | float = 0.0) -> tf.Tensor:
    """Faces blurred over two pixels each way, which leaves nothing of a checkerboard, and with noise over them."""
    return tf.nn.avg_pool2d(image, 2, 1, "SAME") + _SPECKLE * speckle
