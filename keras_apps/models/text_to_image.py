"""Text to image: a sentence to a picture of what it says, learned from pictures with captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, check_range
from keras_apps.layers.gan import InstanceNormalization, MinibatchStandardDeviation
from keras_apps.layers.images import resize_image, scale_pixels, to_pixels, unscale_pixels
from keras_apps.layers.optimizers import FusedAdam
from keras_apps.layers.requests import check_each
from keras_apps.layers.text import WordTokenizer, learn_vocabulary, to_length
from keras_apps.losses.variational import kl_from_normal
from keras_apps.metrics.distributions import distribution_report
from keras_apps.metrics.text_to_image import pair_distance, r_precision
from keras_apps.models.adversarial import AdversarialModel, Judged
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

UNKNOWN = 1
"""What `WordTokenizer` makes of a word that it does not know."""
FEWEST = 16
"""Pictures that FID and KID can say something of."""
_SIZES = (16, 32, 64, 128, 256)
_COLUMNS, _ROWS = 8, 4
_SHARPNESS = 10.0
"""Logits of the matching are this times a cosine."""


@keras.saving.register_keras_serializable(package="keras_apps")
class TextToImage(AdversarialModel):
    """GAN-CLS-INT (Reed 2016, https://arxiv.org/abs/1605.05396) with conditioning augmentation (Zhang 2017).

    Two phases. `matching`: an encoder of sentences and one of pictures learn to tell which sentence of a batch belongs
    to which picture. `gan`: the encoder of sentences, frozen, is what generator and discriminator know of a sentence;
    the discriminator tells true pictures with their sentence from made ones, and from true ones with a sentence of
    another picture. The matching networks also measure whether pictures show what their sentences say (`measure`).

    No network has batch statistics or dropout, so that what is served is as good as what was seen in training.

    Args:
        image_size: of a side of the pictures, 16, 32, 64, 128 or 256; others are cropped in the middle and resized.
        filters: of the last level of the generator; the others have up to 8 times as many.
        discriminator_filters: of the first level of the discriminator, likewise.
        noise_units: numbers drawn for each picture.
        condition_units: what the generator knows of a sentence.
        sentence_units: of the matching networks' embeddings.
        vocabulary_size: how many words to learn at the most.
        max_length: words of a sentence at the most; longer ones are cut in training and refused in requests.
        flip: mirror half of the pictures in training.
        word_dropout: part of the words that are taken for unknown in training, so that unknown ones can be read.
        seed: of the initial weights.
        vocabulary: learned by `adapt` unless given.
    """

    phases: ClassVar[tuple[str, ...]] = ("matching", "gan")
    drawn: ClassVar[tuple[str, ...]] = ("chances", "noise", "epsilon", "weight", "counted")
    term_names: ClassVar[tuple[str, ...]] = ("kl",)

    def __init__(
        self,
        image_size: int = 64,
        filters: int = 16,
        discriminator_filters: int = 32,
        noise_units: int = 100,
        condition_units: int = 64,
        sentence_units: int = 128,
        vocabulary_size: int = 4_000,
        max_length: int = 32,
        flip: bool = True,
        word_dropout: float = 0.05,
        seed: int = 0,
        vocabulary: Sequence[str] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.filters = filters
        self.discriminator_filters = discriminator_filters
        self.noise_units = noise_units
        self.condition_units = condition_units
        self.sentence_units = sentence_units
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.flip = flip
        self.word_dropout = word_dropout
        self.seed = seed
        self.vocabulary = vocabulary
        sizes = ("filters", "discriminator_filters", "noise_units", "condition_units", "sentence_units", "max_length")
        check_range(self, sizes, at_least=1)
        check_range(self, ("vocabulary_size",), at_least=8)
        check_range(self, ("word_dropout",), at_least=0, below=1)
        if image_size not in _SIZES:
            raise UserError(f"image_size must be one of {', '.join(map(str, _SIZES))}; received {image_size}")
        self.phase = "gan"
        if vocabulary is not None:
            self._build_network()

    def _build_network(self) -> None:
        dtype, seed, units, size = self.dtype_policy, self.seed, self.sentence_units, self.image_size
        self.words = WordTokenizer(self.vocabulary, name="words", dtype=dtype)
        # The first of the layers: Keras gives the moving averages to the first weights of a model when `fit` ends.
        self.generator = generator(size, self.filters, units, self.condition_units, self.noise_units, seed, dtype)
        self.sentence_encoder = sentence_encoder(self.words.size, self.max_length, units, seed + 100, dtype)
        self.picture_encoder = picture_encoder(size, units, seed + 200, dtype)
        self.discriminator = discriminator(size, self.discriminator_filters, units, seed + 300, dtype)
        self.built = True

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns the vocabulary, where not given, and builds."""
        if self.vocabulary is None:
            captions = examples.map(lambda example: example["captions"], num_parallel_calls=tf.data.AUTOTUNE)
            self.vocabulary = learn_vocabulary(captions, self.vocabulary_size - 2)
        if not self.built:
            self._build_network()

    def prepare(self, example: Tensors) -> Tensors:
        """`image` -> `<uint8>[size, size, 3]`; `captions` -> their words, `<int32>[captions, max_length]`, 0-padded."""
        words = self._read(example["captions"])
        # A caption may be without a word, a picture not without a caption.
        words = tf.boolean_mask(words, words[:, 0] > 0)
        nothing = tf.pad([[UNKNOWN]], [[0, 0], [0, self.max_length - 1]])
        return {
            "image": self._square(example["image"]),
            "captions": tf.cond(tf.shape(words)[0] > 0, lambda: words, lambda: nothing),
        }

    def _read(self, texts: tf.Tensor) -> tf.Tensor:
        """`<string>[batch]` -> `<int32>[batch, max_length]`."""
        return to_length(self.words(texts), tf.constant(self.max_length))

    def _square(self, image: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(image)[:2]
        side = tf.reduce_min(shape)
        top, left = tf.unstack((shape - side) // 2)
        square = image[top : top + side, left : left + side]
        return to_pixels(resize_image(square, self.image_size))

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """Chooses one caption, mirrors half of the pictures, and draws what the networks need."""
        example = super().augment(example, seed)
        of_caption, of_flip, of_drop, of_noise, of_epsilon, of_share, of_weight = tf.unstack(tf.random.split(seed, 7))
        count = tf.shape(example["captions"])[0]
        chosen = tf.random.stateless_uniform([], of_caption, 0, count, tf.int32)
        image = example["image"]
        if self.flip:
            image = tf.image.stateless_random_flip_left_right(image, of_flip)
        steps = [self.n_critic]
        is_between = tf.random.stateless_uniform(steps, of_share) < self.interpolation
        return example | {
            "image": image,
            "words": example["captions"][chosen],
            "dropped": tf.random.stateless_uniform([self.max_length], of_drop) < self.word_dropout,
            "noise": tf.random.stateless_normal([*steps, self.noise_units], of_noise),
            "epsilon": tf.random.stateless_normal([*steps, self.condition_units], of_epsilon),
            "weight": tf.where(is_between, tf.random.stateless_uniform(steps, of_weight), 0.0),
            # The mean over all examples is that over those that count, but for what a batch has of them by chance.
            "counted": tf.where(is_between, 0.0, 1 / (1 - self.interpolation)),
        }

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """Batches with a sentence that is of `other` pictures beside the `words` of each, where there is one.

        Examples to validate by get their first caption, and always the same noise.

        Raises:
            UserError: where a picture would be told from no other, by which anything looks learned.
        """
        if training and batch_size < 2:
            raise UserError("batch_size must be at least 2, for pictures are told from each other; received 1")
        if not training:
            if int(examples.cardinality()) == 1:
                raise UserError(
                    "one picture to validate by can be told from no other; give more, a larger --validation_fraction, "
                    "or 0 for none"
                )

            def drawn(index: tf.Tensor, example: Tensors) -> Tensors:
                return example | {
                    "words": example["captions"][0],
                    "dropped": tf.zeros([self.max_length], tf.bool),
                    "noise": self._noise(index),
                    "epsilon": tf.zeros([self.condition_units]),
                    "weight": 0.0,
                    "counted": 1.0,
                }

            examples = examples.enumerate().map(drawn)
        return super().batches(examples, batch_size, training, seed).map(_with_others)

    def _noise(self, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([self.noise_units], tf.stack([tf.cast(seed, tf.int64), 0]))

    # The networks.

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        """`words` and `noise` -> `<float32>[batch, size, size, 3]` from -1 to 1."""
        return self.paint(self.embed(inputs["words"]), inputs["noise"])["image"]

    def embed(self, words: tf.Tensor) -> tf.Tensor:
        """`<int32>[batch, max_length]` -> what is known of the sentences, `<float32>[batch, units]` of length 1."""
        return tf.math.l2_normalize(self.sentence_encoder(words), axis=-1)

    def look(self, images: tf.Tensor) -> tf.Tensor:
        """Pictures from -1 to 1 -> `<float32>[batch, units]` of length 1, near to the sentences that fit them."""
        return tf.math.l2_normalize(self.picture_encoder(images), axis=-1)

    def paint(
        self, sentence: tf.Tensor, noise: tf.Tensor, epsilon: tf.Tensor | None = None, training: bool = False
    ) -> Tensors:
        """The generator's `image`, and the `mean` and `log_variance` of the condition, of which `epsilon` draws."""
        if epsilon is None:
            epsilon = tf.zeros([tf.shape(sentence)[0], self.condition_units])
        return self.generator({"sentence": sentence, "noise": noise, "epsilon": epsilon}, training=training)

    def generate(self, batch: Tensors, training: bool) -> Tensors:
        """What `paint` gives, and the embeddings: of the `sentence`, of the `other` one, and what was `asked` for.

        That is the sentence, or a `weight` of the way from it to the other one (GAN-INT).
        """
        sentence, other = self.embed(batch["words"]), self.embed(batch["other"])
        asked = _between(sentence, other, batch["weight"])
        made = self.paint(asked, batch["noise"], batch["epsilon"], training)
        return made | {"sentence": sentence, "other": other, "asked": asked}

    def judged(self, batch: Tensors, fake: Tensors) -> list[Judged]:
        """A true picture with its sentence; the made one; a true picture with a wrong sentence.

        The generator is also trained by sentences in between. The discriminator is not: there are no true pictures of
        them, so that it would tell by the sentence alone. Nor does it learn that a sentence is wrong which is not.
        """
        image = scale_pixels(batch["image"])
        return [
            Judged((image, fake["sentence"]), True),
            Judged((fake["image"], fake["asked"]), False, 0.5 * batch["counted"]),
            Judged((image, fake["other"]), False, 0.5 * batch["is_wrong"]),
        ]

    def judge(self, inputs: tuple[tf.Tensor, tf.Tensor], training: bool) -> Tensors:
        """`logits` `<float32>[batch, 1]` of pictures with sentences."""
        image, sentence = inputs
        return {"logits": self.discriminator({"image": image, "sentence": sentence}, training=training)}

    def generator_terms(self, batch: Tensors, fake: Tensors, verdict: Tensors) -> Tensors:
        """How far the condition's distribution is from the standard normal one."""
        del batch, verdict
        return {"kl": self.kl_weight * kl_from_normal(fake["mean"], fake["log_variance"])}

    # Training.

    @property
    def monitor(self) -> tuple[str, str]:
        """The matching's loss; then how far pictures with their sentences are from true ones (`pair_distance`)."""
        return ("val_matching_loss" if self.phase == "matching" else "val_distance"), "min"

    game = {
        "adversarial_loss": "hinge",
        "regulariser": "r1",
        "regulariser_weight": 2.0,
        "discriminator_learning_rate": 4e-4,
        "beta_1": 0.0,
        "averaging": 0.995,
    }

    def compile(
        self,
        matching_learning_rate: float = 1e-3,
        kl_weight: float = 0.02,
        interpolation: float = 0.25,
        xla: bool = False,
        steps_per_execution: int = 1,
        **game: Any,
    ) -> None:
        """Adam for all networks.

        Args:
            matching_learning_rate: of the matching networks.
            kl_weight: of the condition's divergence from the standard normal distribution, in the generator's loss.
            interpolation: part of the examples for which the generator is asked for what is between two sentences.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
            game: as `AdversarialModel.compile` takes it; `r1` also smooths the discriminator along true sentences (Tao
                2022, DF-GAN).
        """
        self.kl_weight = kl_weight
        self.interpolation = interpolation
        check_range(self, ("kl_weight",), at_least=0)
        check_range(self, ("interpolation",), at_least=0, below=1)
        # In the other phases too, which take long: what is wrong with the game is said before them.
        super().compile(xla=xla, steps_per_execution=steps_per_execution, **self.game | game)
        if self.phase == "gan":
            return
        ServableModel.compile(
            self,
            FusedAdam(matching_learning_rate),
            ["matching_loss", "matching_accuracy"],
            variables=self.matching_variables,
            xla=xla,
            steps_per_execution=steps_per_execution,
        )

    @property
    def reported(self) -> list[str]:
        """What steps of the game return, and of validation the distance to the true pairs of picture and sentence."""
        return [*super().reported, "distance"]

    @property
    def matching_variables(self) -> list[keras.Variable]:
        """The weights of the matching networks."""
        return self.sentence_encoder.trainable_variables + self.picture_encoder.trainable_variables

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """That of the matching networks, or the generator's and the discriminator's."""
        return [self.optimizer] if self.phase == "matching" else super().optimizers

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """One step of the matching networks, or of generator and discriminator."""
        if self.phase != "matching":
            return super().train_step(batch)
        values, gradients = self.accelerate(self.matching_losses_and_gradients)(batch)
        self.apply_gradients(self.optimizer, gradients, self.matching_variables, batch)
        return self.track(values)

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """The losses on a batch that nothing learns from; of the GAN also `distance`."""
        if self.phase == "matching":
            return self.track(self._matching_values(batch))
        values = super().test_step(batch)
        fake = self.generate(batch, training=False)
        true, made = (
            tf.concat([self.look(image), fake["sentence"]], axis=-1)
            for image in (scale_pixels(batch["image"]), fake["image"])
        )
        return values | self.track({"distance": tf.fill([tf.shape(true)[0]], pair_distance(true, made))})

    def matching_losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, and the matching networks' gradients."""
        with tf.GradientTape() as tape:
            values = self._matching_values(batch)
            loss = self.replica_mean(values["matching_loss"])
        gradients = tape.gradient(loss, self.matching_variables)
        # Those of an embedding are sparse, which the fused Adam does not know.
        return values, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _matching_values(self, batch: Tensors) -> Tensors:
        pictures, sentences = self.look(scale_pixels(batch["image"])), self.embed(batch["words"])
        logits = _SHARPNESS * tf.matmul(pictures, sentences, transpose_b=True)
        own = tf.range(tf.shape(logits)[0])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(own, logits)
        losses += tf.nn.sparse_softmax_cross_entropy_with_logits(own, tf.transpose(logits))
        hits = tf.cast(tf.argmax(logits, axis=1, output_type=tf.int32) == own, tf.float32)
        return {"matching_loss": losses / 2, "matching_accuracy": hits}

    def trouble(self, metrics: dict[str, float]) -> str | None:
        """Says what goes wrong between generator and discriminator."""
        return None if self.phase == "matching" else super().trouble(metrics)

    # Metrics and samples.

    def pictures(self, texts: Sequence[str], seeds: Iterable[int], batch_size: int = 64) -> np.ndarray:
        """Pictures of sentences, of any length, `<uint8>[texts, size, size, 3]`; the same for the same seed."""
        requests = tf.data.Dataset.from_tensor_slices((list(texts), np.asarray(list(seeds), np.int32)))
        batches = requests.batch(batch_size)
        told_of = told(batches, "making pictures: batch", int(batches.cardinality()))
        return np.concatenate([self._pictures(*batch).numpy() for batch in told_of])

    @tf.function(autograph=False, reduce_retracing=True)
    def _pictures(self, texts: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        noise = tf.map_fn(self._noise, seeds, fn_output_signature=tf.float32)
        return unscale_pixels(self.paint(self.embed(self._read(texts)), noise)["image"])

    def measure(
        self,
        examples: tf.data.Dataset,
        batch_size: int = 64,
        features: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """R-precision of pictures made of the first captions, that of the true ones beside it, FID and KID.

        Args:
            examples: raw ones.
            batch_size: how many at a time.
            features: `<uint8>[batch, height, width, 3]` -> `<float32>[batch, units]`, for FID and KID of 16
                pictures or more.

        Returns:
            The metrics; `answers` with each `text`, the `seed` of its picture (`pictures` makes it again), and whether
            the picture is nearest to its own sentence.
        """
        captions = [row[0].decode("utf-8", "replace") for row in _column(examples, lambda each: each["captions"])]
        true = np.stack(list(_column(examples, lambda each: self._square(each["image"]))))
        seeds = range(len(captions))
        made = self.pictures(captions, seeds, batch_size)
        sentences = self._in_batches(lambda texts: self.embed(self._read(texts)), captions, batch_size)
        matched, of_true = (
            r_precision(
                self._in_batches(lambda each: self.look(scale_pixels(each)), images, batch_size), sentences, captions
            )
            for images in (made, true)
        )
        report: dict[str, Any] = {"r_precision": float(matched.mean()), "true_r_precision": float(of_true.mean())}
        if features is not None and len(made) >= FEWEST:
            report |= distribution_report(features(true), features(made))
        answers = [
            {"text": text, "seed": seed, "matched": bool(hit)}
            for text, seed, hit in zip(captions, seeds, matched, strict=True)
        ]
        return report | {"answers": answers}

    def _in_batches(self, function: Callable[[tf.Tensor], tf.Tensor], values: Any, batch_size: int) -> np.ndarray:
        compiled = tf.function(function, autograph=False, reduce_retracing=True)
        batches = tf.data.Dataset.from_tensor_slices(values).batch(batch_size)
        return np.concatenate([compiled(batch).numpy() for batch in batches])

    def sample(self, examples: tf.data.Dataset) -> np.ndarray | None:
        """Columns of one sentence, rows of one noise; the last row are true pictures. None while matching."""
        if self.phase == "matching":
            return None
        shown = list(examples.take(_COLUMNS).as_numpy_iterator())
        texts = [example["captions"][0].decode("utf-8", "replace") for example in shown]
        seeds = np.repeat(np.arange(_ROWS), len(texts))
        made = self.pictures(texts * _ROWS, seeds).reshape(_ROWS, len(texts), self.image_size, self.image_size, 3)
        true = np.stack([self._square(example["image"]).numpy() for example in shown])
        return np.concatenate([made, true[None]])

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default`: a sentence in, a PNG out; `interpolate`: what is between two sentences and two noises.

        The same seed gives the same noise, whatever the sentence, so that pictures of one seed can be compared.
        """
        text = tf.TensorSpec([None], tf.string, name="text")
        seed = tf.TensorSpec([None], tf.int32, name="seed")
        others = {
            "other_text": tf.TensorSpec([None], tf.string, name="other_text"),
            "other_seed": tf.TensorSpec([None], tf.int32, name="other_seed"),
            "weight": tf.TensorSpec([None], tf.float32, name="weight"),
        }
        longest = min(4, self.max_length)
        one = {"text": " ".join(self.vocabulary[:longest]) or "a", "seed": 0}
        two = one | {"other_text": " ".join(self.vocabulary[1:longest]) or "a", "other_seed": 1, "weight": 0.5}
        given = {"text": text, "seed": seed}
        return {
            "serving_default": Signature(given, self._decode, self._core, self._encode, [one], (1, 8, 32)),
            "interpolate": Signature(
                given | others, self._decode_two, self._core_between, self._encode, [two], (1, 8, 32)
            ),
        }

    def _decode(self, inputs: Tensors) -> Tensors:
        return self._checked(inputs["text"], inputs["seed"], "text")

    def _checked(self, texts: tf.Tensor, seeds: tf.Tensor, what: str) -> Tensors:
        words = self.words(texts)
        checks = [
            check_each(words.row_lengths() > 0, f"{what} {{}} of the request is empty"),
            check_each(
                words.row_lengths() <= self.max_length,
                f"{what} {{}} of the request has more than the {self.max_length} words that are read",
            ),
        ]
        with tf.control_dependencies(checks):
            noise = tf.map_fn(self._noise, seeds, fn_output_signature=tf.float32)
            return {"words": to_length(words, tf.constant(self.max_length)), "noise": noise}

    def _decode_two(self, inputs: Tensors) -> Tensors:
        weight = inputs["weight"]
        other = self._checked(inputs["other_text"], inputs["other_seed"], "other_text")
        check = check_each((weight >= 0) & (weight <= 1), "weight {} of the request is not from 0 to 1")
        with tf.control_dependencies([check]):
            return self._decode(inputs) | {
                "other": other["words"],
                "other_noise": other["noise"],
                "weight": tf.identity(weight),
            }

    def _core(self, inputs: Tensors) -> Tensors:
        return {"image": self.paint(self.embed(inputs["words"]), inputs["noise"])["image"]}

    def _core_between(self, inputs: Tensors) -> Tensors:
        weight, noises = inputs["weight"], (inputs["noise"], inputs["other_noise"])
        noise = _between(*noises, weight)
        # The middle of two draws is shorter than either, and the generator has not seen the like.
        lengths = [tf.norm(each, axis=-1, keepdims=True) for each in noises]
        noise *= _between(*lengths, weight) / tf.norm(noise, axis=-1, keepdims=True)
        asked = _between(self.embed(inputs["words"]), self.embed(inputs["other"]), weight)
        return {"image": self.paint(asked, noise)["image"]}

    def _encode(self, outputs: Tensors) -> Tensors:
        png = tf.map_fn(
            tf.io.encode_png, unscale_pixels(outputs["image"]), fn_output_signature=tf.TensorSpec([], tf.string)
        )
        return {"image_bytes": png}


def sentence_encoder(
    words: int, steps: int, units: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """`<int32>[batch, steps]` -> `<float32>[batch, units]`: what three words in a row say, the most of each wherever.

    Args:
        words: of the vocabulary, padding and unknown included.
        steps: words of a sentence.
        units: of the embedding.
        seed: of the initial weights.
        dtype: of the layers.
    """
    inputs = keras.Input((steps,), dtype="int32", name="words")
    settings = _settings("sentence_encoder", seed, dtype)
    there = keras.ops.expand_dims(keras.ops.cast(inputs > 0, dtype.compute_dtype), -1)
    initial = keras.initializers.RandomNormal(0, 0.1, seed=seed)
    embedding = keras.layers.Embedding(words, units, initial, name="sentence_encoder_embedding", dtype=dtype)
    phrases = keras.layers.Conv1D(2 * units, 3, padding="same", activation="relu", **settings("phrases"))
    # None is below 0, so that padding is never the greatest.
    output = keras.ops.max(phrases(embedding(inputs) * there) * there, axis=1)
    output = keras.layers.Dense(units, **settings("output", "float32"))(output)
    return keras.Model(inputs, output, name="sentence_encoder")


def picture_encoder(size: int, units: int, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> keras.Model:
    """`<float>[batch, size, size, 3]` from -1 to 1 -> `<float32>[batch, units]`.

    Args:
        size: of a side of the pictures.
        units: of the embedding.
        seed: of the initial weights.
        dtype: of the layers.
    """
    inputs = keras.Input((size, size, 3), name="image")
    settings = _settings("picture_encoder", seed, dtype)
    output = keras.layers.Flatten(dtype=dtype)(_halved(inputs, (32, 64, 128), settings))
    output = keras.layers.Dense(units, **settings("output", "float32"))(output)
    return keras.Model(inputs, output, name="picture_encoder")


def generator(
    size: int,
    filters: int,
    sentence_units: int,
    condition_units: int,
    noise_units: int,
    seed: int,
    dtype: keras.dtype_policies.DTypePolicy,
) -> keras.Model:
    """`sentence`, `epsilon` and `noise` -> `image` from -1 to 1, `mean` and `log_variance` of the condition, float32.

    The condition is drawn around what a sentence says (Zhang 2017, https://arxiv.org/abs/1612.03242, 3.2). With the
    noise it is the input, and it scales and moves each channel at each level: instance normalisation takes away what
    is the same all over a picture, as the colour of the petals nearly is.

    Args:
        size: of a side of the picture.
        filters: of the last level; twice as many in each before, up to 8 times.
        sentence_units: of a sentence's embedding.
        condition_units: of the condition.
        noise_units: of the noise.
        seed: of the initial weights.
        dtype: of the layers.
    """
    levels = size.bit_length() - 3
    sizes = [filters * min(2**level, 8) for level in reversed(range(levels + 1))]
    settings = _settings("generator", seed, dtype)
    sentence = keras.Input((sentence_units,), name="sentence")
    epsilon = keras.Input((condition_units,), name="epsilon")
    noise = keras.Input((noise_units,), name="noise")

    # A sentence has length 1 however many units it has, and noise of many units is long.
    said = keras.layers.Dense(2 * condition_units, **settings("said", "float32"))(sentence * sentence_units**0.5)
    said = keras.layers.LeakyReLU(0.2, dtype="float32")(said)
    mean = keras.layers.Dense(condition_units, **settings("mean", "float32"))(said)
    log_variance = keras.layers.Dense(condition_units, **settings("log_variance", "float32"))(said)
    style = keras.layers.Concatenate(dtype="float32")([noise, mean + keras.ops.exp(log_variance / 2) * epsilon])

    def styled(output: Any, level: int) -> Any:
        channels = output.shape[-1]
        output = InstanceNormalization(name=f"generator_normalize_{level}", dtype=dtype)(output)

        def of_style(name: str) -> Any:
            # Little at first, lest it drowns what is there.
            values = keras.layers.Dense(channels, **settings(f"{name}_{level}", scale=0.4))(style)
            return keras.layers.Reshape((1, 1, channels), dtype=dtype)(values)

        scale, shift = of_style("scale"), of_style("shift")
        return keras.layers.ReLU(dtype=dtype)(output * (1 + scale) + shift)

    output = keras.layers.Dense(16 * sizes[0], **settings("input"))(style)
    output = keras.layers.Reshape((4, 4, sizes[0]), dtype=dtype)(output)
    for level, channels in enumerate(sizes[1:]):
        # Not a transposed convolution, which weaves a pattern into what it makes.
        output = keras.layers.UpSampling2D(2, dtype=dtype)(styled(output, level))
        output = keras.layers.Conv2D(channels, 3, padding="same", **settings(f"up_{level}"))(output)
    output = keras.layers.Conv2D(3, 3, padding="same", **settings("output"))(styled(output, levels))
    image = keras.layers.Activation("tanh", dtype="float32")(output)
    return keras.Model(
        {"sentence": sentence, "noise": noise, "epsilon": epsilon},
        {"image": image, "mean": mean, "log_variance": log_variance},
        name="generator",
    )


def discriminator(
    size: int, filters: int, sentence_units: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """`image`, from -1 to 1, and `sentence` -> a logit, `<float32>[batch, 1]`.

    Args:
        size: of a side of the pictures.
        filters: of the first level; twice as many in each of the next, up to 8 times.
        sentence_units: of a sentence's embedding.
        seed: of the initial weights.
        dtype: of the layers.
    """
    settings = _settings("discriminator", seed, dtype)
    image = keras.Input((size, size, 3), name="image")
    sentence = keras.Input((sentence_units,), name="sentence")
    sizes = [filters * min(2**level, 8) for level in range(size.bit_length() - 3)]
    output = MinibatchStandardDeviation(dtype=dtype)(_halved(image, sizes, settings))
    said = keras.layers.Dense(sentence_units, **settings("said"))(sentence * sentence_units**0.5)
    said = keras.layers.RepeatVector(16, dtype=dtype)(keras.layers.LeakyReLU(0.2, dtype=dtype)(said))
    said = keras.layers.Reshape((4, 4, sentence_units), dtype=dtype)(said)
    output = keras.layers.Concatenate(dtype=dtype)([output, said])
    output = keras.layers.Conv2D(sizes[-1], 3, padding="same", **settings("together"))(output)
    output = keras.layers.Flatten(dtype=dtype)(keras.layers.LeakyReLU(0.2, dtype=dtype)(output))
    logit = keras.layers.Dense(1, **settings("output", "float32"))(output)
    return keras.Model({"image": image, "sentence": sentence}, logit, name="discriminator")


def _settings(network: str, seed: int, dtype: keras.dtype_policies.DTypePolicy) -> Callable[..., dict[str, Any]]:
    """What gives each layer of a network its own seed, and a name by which another model can inherit its weights."""
    seeds = iter(range(seed, seed + 100))

    def settings(name: str, dtype: Any = dtype, scale: float = 2.0) -> dict[str, Any]:
        initializer = keras.initializers.VarianceScaling(scale, seed=next(seeds))
        return {"kernel_initializer": initializer, "name": f"{network}_{name}", "dtype": dtype}

    return settings


def _halved(output: Any, filters: Sequence[int], settings: Callable[..., dict[str, Any]]) -> Any:
    """Pictures after convolutions of these `filters`, each of which halves them."""
    for level, size in enumerate(filters):
        layer = keras.layers.Conv2D(size, 4, 2, "same", **settings(f"down_{level}"))
        output = keras.layers.LeakyReLU(0.2, dtype=layer.dtype_policy)(layer(output))
    return output


def other_sentences(captions: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """For each picture of a batch the sentence of the next one that is none of its own captions.

    Args:
        captions: `<int32>[batch, captions, steps]`, all of each picture, 0-padded.
        words: `<int32>[batch, steps]`, the sentence chosen for each.

    Returns:
        `<int32>[batch]`, whose sentence it is; `<bool>[batch]`, false where all sentences are among its own.
    """
    batch = tf.shape(words)[0]
    is_own = tf.reduce_any(tf.reduce_all(captions[:, :, None] == words[None, None], axis=-1), axis=1)
    following = (tf.range(batch)[:, None] + tf.range(1, batch + 1)) % batch
    is_wrong = ~tf.gather(is_own, following, batch_dims=1)
    nearest = tf.argmax(is_wrong, axis=1)
    return tf.gather(following, nearest, batch_dims=1), tf.reduce_any(is_wrong, axis=1)


def _with_others(batch: Tensors) -> Tensors:
    words, dropped = batch["words"], batch["dropped"]
    other, is_wrong = other_sentences(batch["captions"], words)
    words = tf.where(dropped & (words > 0), UNKNOWN, words)
    kept = {name: value for name, value in batch.items() if name not in ("captions", "dropped")}
    return kept | {"words": words, "other": tf.gather(words, other), "is_wrong": tf.cast(is_wrong, tf.float32)}


def _between(start: tf.Tensor, end: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    return start + weight[:, None] * (end - start)


def _column(examples: tf.data.Dataset, function: Callable[[Tensors], tf.Tensor]) -> Iterable[Any]:
    return examples.map(function, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
