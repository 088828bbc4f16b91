"""One-shot recognition: are two pictures of one class, and of which class, never seen before, is a picture?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.convolution import StandardizedConv2D
from keras_apps.layers.episodes import Classes, distort
from keras_apps.layers.images import decode_image, resize_image, to_pixels
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.layers.schedules import InverseSquareRoot
from keras_apps.losses import contrastive as losses
from keras_apps.losses.contrastive import PAIR_LOSSES, ContrastiveLoss
from keras_apps.metrics import one_shot
from keras_apps.metrics.calibration import fit_scales
from keras_apps.models.servable import ServableModel, Signature, Tensors
from keras_apps.progress import told

WAYS = 20
"""Classes among which one-shot accuracy is measured."""
_VALIDATION_EPISODES = 50
_MEASURED_EPISODES = 400
_LOOKED_AT = 256
_MAPPED = 600
# Numbers that the seed of one draw is apart from the next one's.
_SEEDS = 8
_SIZES = {"small": 48, "koch": 105}
_UNITS = {"small": 256, "koch": 4096}


@keras.saving.register_keras_serializable(package="keras_apps")
class SiameseNetwork(ServableModel):
    """One embedding for both pictures of a pair, and what tells from two embeddings whether the class is the same.

    With `embedding="koch"` and `objective="weighted_l1"` it is that of Koch 2015 at full size
    (https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf): 39 million weights, the absolute differences of 4096 units
    weighed to one probability. All other objectives compare embeddings of length 1 by their cosine. `small` is better
    and faster: seven convolutions with standardised kernels, nothing in which hangs on the batch.

    Args:
        embedding: `small` or `koch`.
        objective: `weighted_l1`, `contrastive` and `cosine` learn from pairs, half of them of one class; `triplet` and
            `prototypical` from episodes of many classes (`losses.contrastive`).
        image_size: of a side of the pictures; by default 48, for `koch` 105, the paper's.
        units: of an embedding; by default 256, for `koch` 4096.
        channels: 1 for grey, 3 for colours; by default what the data are.
        ways: classes in an episode of training, at most as many as a step has.
        shots: pictures of each class beside the one that is asked for.
        rotations: take pictures turned by right angles for further classes; not for what is always upright.
        distortion: how much pictures are turned, sheared, scaled and moved in training; 1 is about Koch's.
        generated_share: of what is trained on, where some is generated and some is not.
        seed: of the initial weights.
    """

    monitor = ("val_one_shot_accuracy", "max")
    # Measured: without XLA convolutions in bfloat16 are twice as fast on a CPU that has it.
    precision = {"cpu": "mixed_bfloat16", "gpu": "mixed_bfloat16"}

    def __init__(
        self,
        embedding: Literal["small", "koch"] = "small",
        objective: ContrastiveLoss = "prototypical",
        image_size: int | None = None,
        units: int | None = None,
        channels: int | None = None,
        ways: int = 64,
        shots: int = 1,
        rotations: bool = True,
        distortion: float = 1.0,
        generated_share: float = 0.5,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.embedding = embedding
        self.objective = objective
        check_choices(self, SiameseNetwork.__init__)
        self.image_size = image_size or _SIZES[embedding]
        self.units = units or _UNITS[embedding]
        self.channels = channels
        self.ways = ways
        self.shots = shots
        self.rotations = rotations
        self.distortion = distortion
        self.generated_share = generated_share
        self.seed = seed
        least = 105 if embedding == "koch" else 16
        if self.image_size < least:
            raise UserError(f"image_size must be at least {least} for {embedding}; received {image_size}")
        if channels not in (None, 1, 3):
            raise UserError(f"channels must be 1 for grey or 3 for colours; received {channels}")
        check_range(self, ("units", "shots"), at_least=1)
        check_range(self, ("ways",), at_least=2)
        check_range(self, ("distortion",), at_least=0)
        check_range(self, ("generated_share",), at_least=0, below=1)
        if channels is not None:
            self._build_network()

    def _build_network(self) -> None:
        make = {"small": small_embedding, "koch": koch_embedding}[self.embedding]
        self.network = make(self.image_size, self.channels, self.units, self.seed, self.dtype_policy)
        self.head = None
        if self.objective == "weighted_l1":
            self.head = keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(self.seed + 50), name="head", dtype="float32"
            )
            self.head.build((None, self.units))

        def number(name: str, values: Sequence[float], trainable: bool = False) -> keras.Variable:
            return self.add_weight(
                name=name,
                shape=(len(values),),
                initializer=keras.initializers.Constant(list(values)),
                trainable=trainable,
                dtype="float32",
                autocast=False,
            )

        self.pixels = number("pixels", [127.5, 127.5])
        """Mean and deviation of the training pictures."""
        self.log_scale = number("log_scale", [2.5], trainable=self.objective == "prototypical")
        self.calibration = number("calibration", [1.0, 0.0])
        """Of the log-odds of one class, by the similarity: slope and offset."""
        self.unknown = number("unknown", [np.finfo(np.float32).min, 1.0, 0.0])
        """The similarity below which a picture is of none of the known classes, and its rates of errors."""
        self.built = True

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns whether there are colours, and the pictures' mean and deviation, and builds."""
        some = examples.take(_LOOKED_AT)
        looked_at = np.stack([resize_image(example["image"], self.image_size).numpy() for example in some])
        if self.channels is None:
            spread = looked_at.max(-1) - looked_at.min(-1)
            # JPEG makes grey a little coloured.
            self.channels = 3 if np.mean(spread > 24) > 0.01 else 1
        if not self.built:
            self._build_network()
        self.pixels.assign([looked_at.mean(), max(looked_at.std(), 1.0)])

    def inherit(self, other: ServableModel, skip: Sequence[str] = ()) -> tuple[int, int]:
        """Copies the weights that fit; what was fitted to similarities of another kind is not."""
        alike = all(getattr(self, name) == getattr(other, name) for name in ("objective", "embedding", "units"))
        return super().inherit(other, skip if alike else (*skip, "calibration", "unknown"))

    def prepare(self, example: Tensors) -> Tensors:
        """`image` `<uint8>[image_size, image_size, channels]`, squashed, with `label` and `group`."""
        return {"image": self._fitted(example["image"]), "label": example["label"], "group": example["group"]}

    def _fitted(self, image: tf.Tensor) -> tf.Tensor:
        if self.channels == 1:
            image = tf.image.rgb_to_grayscale(image)
        image = tf.image.resize(image, [self.image_size, self.image_size], antialias=True)
        shape = [self.image_size, self.image_size, self.channels]
        return tf.ensure_shape(to_pixels(image), shape)

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """Pairs or episodes, drawn when they are asked for; all pictures are held in memory.

        For validation, whatever is learned from, there are episodes of 20 classes.

        Args:
            examples: prepared examples, of known number.
            batch_size: pairs, or classes of all episodes together.
            training: draw as the objective wants, and distort; an epoch shows as many pictures as there are, or where
                they are turned, four times as many.
            seed: a number of its own for every epoch.

        Returns:
            Pairs, `images` `<uint8>[batch, 2, height, width, channels]` and `same` `<float>[batch]`, or episodes,
            `images` `<uint8>[episodes, ways, pictures, height, width, channels]`.
        """
        count = tf.maximum(examples.cardinality(), 1)
        everything = examples.batch(count).get_single_element()
        classes = Classes(everything["label"], everything["group"], self.generated_share)
        if tf.executing_eagerly() and classes.count < 2:
            raise UserError("there are not two classes with two or more pictures each")
        seed = tf.cast(seed, tf.int64)
        # One episode for each replica at the least.
        replicas = self.distribute_strategy.num_replicas_in_sync
        ways = tf.minimum(min(self.ways, max(2, batch_size // replicas)) if training else WAYS, classes.count)
        episodes = tf.cast(tf.maximum(batch_size // ways, replicas), tf.int64)
        by_pairs = training and self.objective in PAIR_LOSSES
        pictures = self.shots + 1 if training and not by_pairs else 2

        def gathered(rows: tf.Tensor, turns: tf.Tensor, of_step: tf.Tensor) -> tf.Tensor:
            """The pictures of these rows; those of an item, the last axis, turned alike."""
            images = tf.gather(everything["image"], tf.reshape(rows, [-1]))
            if training:
                each = tf.repeat(tf.reshape(turns, [-1]), tf.shape(rows)[-1])
                images = distort(images, each, self.distortion, of_step)
            return tf.reshape(images, tf.concat([tf.shape(rows), images.shape[1:]], axis=0))

        def draw_pairs(step: tf.Tensor) -> Tensors:
            of_step = tf.stack([seed, step * _SEEDS])
            rows, same = classes.pairs(of_step, batch_size)
            turns = self._turns(of_step + 4, batch_size)
            return {"images": gathered(rows, turns, of_step + 5), "same": tf.cast(same, tf.float32)}

        def draw_episodes(step: tf.Tensor) -> Tensors:
            def one(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_episode = tf.stack([seed, (step * episodes + number) * _SEEDS])
                rows, groups = classes.episode(of_episode, ways, pictures)
                # The classes of a group are turned alike, since those are hard to tell apart.
                return rows, tf.gather(self._turns(of_episode + 4, tf.reduce_max(groups) + 1), groups)

            specs = (tf.TensorSpec([None, pictures], tf.int32), tf.TensorSpec([None], tf.int32))
            rows, turns = tf.map_fn(one, tf.range(episodes), fn_output_signature=specs)
            return {"images": gathered(rows, turns, tf.stack([seed, step * episodes * _SEEDS + 5]))}

        if training:
            shown = 2 * batch_size if by_pairs else tf.cast(ways * pictures, tf.int64) * episodes
            steps = tf.maximum((4 if self.rotations else 1) * count // shown, 1)
        else:
            steps = -(-_VALIDATION_EPISODES // episodes)
        drawn = tf.data.Dataset.range(steps).map(draw_pairs if by_pairs else draw_episodes, tf.data.AUTOTUNE)
        # In a graph those of the data set around it count, and TensorFlow warns whoever asks.
        return drawn.with_options(examples.options()) if tf.executing_eagerly() else drawn

    def _turns(self, seed: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
        """`<int32>[count]`, right angles to turn pictures by."""
        if not self.rotations:
            return tf.zeros([count], tf.int32)
        return tf.random.stateless_uniform([count], seed, maxval=4, dtype=tf.int32)

    # The network.

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`<uint8>[batch, height, width, channels]` -> `<float32>[batch, units]`, of length 1 but for weighted_l1."""
        mean, deviation = tf.unstack(self.pixels.value)
        outputs = self.network((tf.cast(inputs, tf.float32) - mean) / deviation, training=training)
        return outputs if self.head else tf.math.l2_normalize(outputs, axis=-1)

    def similarity(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Of embeddings `<float>[..., units]`: their cosine, or for weighted_l1 the log-odds; `<float>[...]`."""
        if self.head is None:
            return tf.reduce_sum(first * second, axis=-1)
        return self.head(tf.abs(first - second))[..., 0]

    def prototypes(self, embeddings: tf.Tensor) -> tf.Tensor:
        """What stands for a class, the mean: `<float>[..., shots, units]` -> `<float>[..., units]`."""
        mean = tf.reduce_mean(embeddings, axis=-2)
        return mean if self.head else tf.math.l2_normalize(mean, axis=-1)

    def _embedded(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """All pictures in one call, whatever the axes before height, width and channels."""
        axes = tf.shape(images)[:-3]
        embeddings = self(tf.reshape(images, [-1, *images.shape[-3:]]), training=training)
        return tf.reshape(embeddings, tf.concat([axes, [self.units]], axis=0))

    # Training.

    def compile(
        self,
        learning_rate: float = 2e-3,
        warmup_steps: int = 500,
        margin: float | None = None,
        averaging: float = 0.998,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Adam, with moving averages of the weights.

        Args:
            learning_rate: the highest.
            warmup_steps: until the peak, after which it falls with the inverse square root; 0 for a constant rate.
            margin: of contrastive (a distance, by default 1), cosine (a cosine, 0), triplet (squared distances, 0.2).
            averaging: momentum of the moving average of the weights that is evaluated and saved; 0 for none.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.
        """
        self.margin = losses.MARGINS.get(self.objective) if margin is None else margin
        super().compile(
            FusedAdam(InverseSquareRoot(learning_rate, warmup_steps), **moving_average(averaging)),
            ["loss", "one_shot_accuracy"],
            xla=xla,
            steps_per_execution=steps_per_execution,
        )

    def _loss_of_pairs(self, first: tf.Tensor, second: tf.Tensor, same: tf.Tensor) -> tf.Tensor:
        similarity = self.similarity(first, second)
        if self.objective == "weighted_l1":
            return losses.cross_entropy(similarity, same)
        return getattr(losses, self.objective)(similarity, same, self.margin)

    def _values(self, batch: Tensors, training: bool) -> Tensors:
        """`loss` `<float>[pairs or episodes]`, and of episodes `one_shot_accuracy`."""
        embeddings = self._embedded(batch["images"], training)
        if "same" in batch:
            return {"loss": self._loss_of_pairs(embeddings[:, 0], embeddings[:, 1], batch["same"])}
        return {"loss": self._loss_of_episodes(embeddings), "one_shot_accuracy": self._one_shot_accuracy(embeddings)}

    def _loss_of_episodes(self, embeddings: tf.Tensor) -> tf.Tensor:
        if self.objective == "prototypical":
            return losses.prototypical(embeddings, tf.exp(self.log_scale[0]))
        if self.objective == "triplet":
            return losses.semi_hard_triplet(embeddings, self.margin)
        first, second = embeddings[:, :, 0], embeddings[:, :, 1]
        ones = tf.ones(tf.shape(first)[:2])
        alike = self._loss_of_pairs(first, second, ones)
        unlike = self._loss_of_pairs(first, tf.roll(second, 1, axis=1), 0 * ones)
        return tf.reduce_mean(alike + unlike, axis=1) / 2

    def _one_shot_accuracy(self, embeddings: tf.Tensor) -> tf.Tensor:
        """The first picture of each class asked for among the second ones, ties wrong; `<float>[episodes]`."""
        scores = self.similarity(embeddings[:, :, None, 0], embeddings[:, None, :, 1])
        own = tf.linalg.diag_part(scores)[..., None]
        rivals = tf.reduce_sum(tf.cast(own > scores, tf.int32), axis=-1)
        return tf.reduce_mean(tf.cast(rivals == tf.shape(scores)[-1] - 1, tf.float32), axis=-1)

    def losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, and the gradients of the mean loss."""
        with tf.GradientTape() as tape:
            values = self._values(batch, training=True)
            loss = self.replica_mean(values["loss"])
        return values, tape.gradient(loss, self.trainable_variables)

    def train_step(self, batch: Tensors) -> Tensors:
        """One step of Adam; both pictures of all pairs are embedded in one call."""
        values, gradients = self.accelerate(self.losses_and_gradients)(batch)
        self.apply_gradients(self.optimizer, gradients, self.trainable_variables, batch)
        return self.track(values)

    def test_step(self, batch: Tensors) -> Tensors:
        """Loss and one-shot accuracy of episodes."""
        return self.track(self._values(batch, training=False))

    def calibrate(self, examples: tf.data.Dataset, batch_size: int = 64) -> bool:
        """Fits, on episodes of 20 classes, the probability of one class, and from where on a picture is of none.

        The first by Platt's method, on as many pairs of one class as of two; the second such that a picture of none of
        the classes is taken for one of them as often as one of them is taken for none.
        """
        prepared = examples.map(self.prepare, tf.data.AUTOTUNE)
        batches = self.batches(prepared, batch_size, training=False)
        scores = np.concatenate([self._scores(batch["images"]).numpy() for batch in batches])
        alike, unlike = np.einsum("eww->ew", scores), np.einsum("eww->ew", np.roll(scores, 1, axis=2))
        pairs = np.concatenate([alike.ravel(), unlike.ravel()])
        same = np.repeat([1, 0], alike.size)
        zero, one = np.zeros_like(pairs), np.ones_like(pairs)
        # The offset is one constant less another, since factors are not negative.
        terms = [np.stack(each, axis=-1) for each in ((zero, pairs), (zero, one), (one, zero))]
        slope, more, less = fit_scales(np.stack(terms), same)
        self.calibration.assign([slope, more - less])
        known, strangers = _best_scores(scores)
        is_known = np.repeat([True, False], known.size)
        best = np.concatenate([known.ravel(), strangers.ravel()])
        _, threshold = one_shot.equal_error(best, is_known)
        self.unknown.assign([threshold, *one_shot.error_rates(best, is_known, threshold)])
        return True

    @tf.function(autograph=False, reduce_retracing=True)
    def _scores(self, images: tf.Tensor) -> tf.Tensor:
        """`<float>[episodes, queries, classes]` of episodes' pictures."""
        embeddings = self._embedded(images, training=False)
        return self.similarity(embeddings[:, :, None, 0], embeddings[:, None, :, 1])

    # Metrics.

    def measure(
        self,
        examples: tf.data.Dataset,
        batch_size: int = 64,
        runs: Sequence[tuple[Sequence[np.ndarray], Sequence[np.ndarray], np.ndarray]] = (),
    ) -> dict[str, Any]:
        """Accuracy of 20-way episodes within groups, with 95 % intervals, and the errors of verification.

        Args:
            examples: raw ones.
            batch_size: how many at a time.
            runs: Lake's, each the pictures of the classes, those that are asked for, and the right class of each.

        Returns:
            Plain values; under `answers` of each picture its place on a map, and where it was asked for in an episode,
            by how much the best wrong class was ahead of its own, at the worst.
        """
        prepared = examples.map(self.prepare, tf.data.AUTOTUNE).batch(batch_size)
        batches = told(prepared, "measuring: batch", int(prepared.cardinality()))
        parts = [(self._embed(batch["image"]).numpy(), batch["label"], batch["group"]) for batch in batches]
        embeddings, labels, groups = (np.concatenate(column) for column in zip(*parts, strict=True))
        report: dict[str, Any] = {"pictures": len(labels), "classes": len(np.unique(labels))}
        for shots in (1, 5):
            drawn = one_shot.episodes(labels, groups, ways=WAYS, shots=shots, count=_MEASURED_EPISODES, seed=0)
            if not drawn:
                continue
            ways = len(drawn[0].queries)
            scores = np.stack([self._compared(embeddings[e.queries], embeddings[e.supports]) for e in drawn])
            right = one_shot.is_right(scores, np.tile(np.arange(ways), (len(drawn), 1)))
            name = f"{ways}_way_{shots}_shot"
            report[f"{name}_accuracy"], report[f"{name}_interval"] = one_shot.mean_and_interval(right.mean(1))
            if shots == 1:
                report |= self._errors(scores)
                questions = drawn, scores
        if "equal_error_rate" not in report:
            raise UserError("there are no two classes with two pictures in one group, so there is nothing to measure")
        if runs:
            accuracies = [self._run_accuracy(*run) for run in runs]
            report["runs"] = len(runs)
            report["runs_accuracy"], report["runs_interval"] = one_shot.mean_and_interval(np.array(accuracies))
            report["accuracy_of_each_run"] = accuracies
        return report | {"answers": _answers(embeddings, labels, groups, *questions)}

    def _errors(self, scores: np.ndarray) -> dict[str, Any]:
        """Of `<float>[episodes, queries, classes]`: what is wrong in verification, and with strangers."""
        same = np.broadcast_to(np.eye(scores.shape[1], dtype=bool), scores.shape).ravel()
        flat = scores.ravel()
        slope, offset = self.calibration.numpy()
        accepts, rejects = one_shot.error_rates(slope * flat + offset, same, 0.0)
        known, strangers = _best_scores(scores)
        is_known = np.repeat([True, False], known.size)
        threshold = float(self.unknown.numpy()[0])
        best = np.concatenate([known.ravel(), strangers.ravel()])
        taken, turned_away = one_shot.error_rates(best, is_known, threshold)
        return {
            "roc_auc": float(roc_auc_score(same, flat)),
            "equal_error_rate": one_shot.equal_error(flat, same)[0],
            "verify_false_accept_rate": accepts,
            "verify_false_reject_rate": rejects,
            # None was chosen where there was no validation part.
            "unknown_threshold": threshold if threshold > np.finfo(np.float32).min else None,
            "unknown_false_accept_rate": taken,
            "unknown_false_reject_rate": turned_away,
            "roc": one_shot.roc_points(flat, same),
        }

    @tf.function(autograph=False, reduce_retracing=True)
    def _embed(self, images: tf.Tensor) -> tf.Tensor:
        return self(images)

    def _compared(self, queries: np.ndarray, supports: np.ndarray) -> np.ndarray:
        """`<float>[queries, units]` and `<float>[classes, shots, units]` -> `<float>[queries, classes]`."""
        return self.similarity(queries[:, None], self.prototypes(supports)[None]).numpy()

    def _run_accuracy(
        self, supports: Sequence[np.ndarray], queries: Sequence[np.ndarray], answers: np.ndarray
    ) -> float:
        of_supports, of_queries = (
            self._embed(tf.stack([self._fitted(image) for image in images])).numpy() for images in (supports, queries)
        )
        return float(one_shot.is_right(self._compared(of_queries, of_supports[:, None]), answers).mean())

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """`serving_default` verifies a pair; `embed`, `enrol` and `classify` tell classes from a few pictures."""
        sizes = (1, 4, 16) if self.embedding == "koch" else (1, 8, 64)
        first, second = (tf.io.encode_png(_line(slant)).numpy() for slant in (0, 20))

        def bytes_of(name: str) -> dict[str, tf.TensorSpec]:
            return {name: tf.TensorSpec([None], tf.string, name=name)}

        support = {"support": tf.TensorSpec([None, None, self.units], tf.float32, name="support")}
        classes = np.zeros([2, self.units], np.float32)
        classes[0, 0] = classes[1, 1] = 1
        return {
            "serving_default": Signature(
                bytes_of("first_bytes") | bytes_of("second_bytes"),
                self._decode_pair,
                self._verify,
                self._with_probability,
                [{"first_bytes": first, "second_bytes": second}],
                sizes,
            ),
            "embed": Signature(
                bytes_of("image_bytes"),
                self._decode,
                lambda inputs: {"embedding": self(inputs["image"])},
                lambda outputs: outputs,
                [{"image_bytes": first}],
                sizes,
            ),
            "enrol": Signature(
                bytes_of("image_bytes"),
                self._decode,
                lambda inputs: {"embedding": self(inputs["image"])},
                self._with_threshold,
                [{"image_bytes": first}],
                sizes,
            ),
            # Classes pass by the core: for each number of them XLA would compile the network anew.
            "classify": Signature(
                bytes_of("query_bytes") | support,
                self._decode_query,
                lambda inputs: {"embedding": self(inputs["image"])},
                self._classify,
                [{"query_bytes": first, "support": classes}],
                sizes,
                beside=("support",),
            ),
        }

    def _decoded(self, encoded: tf.Tensor) -> tf.Tensor:
        """`<string>[batch]` -> `<uint8>[batch, height, width, channels]`."""
        spec = tf.TensorSpec([self.image_size, self.image_size, self.channels], tf.uint8)
        return tf.map_fn(lambda each: self._fitted(decode_image(each)), encoded, fn_output_signature=spec)

    def _decode(self, inputs: Tensors) -> Tensors:
        return {"image": self._decoded(inputs["image_bytes"])}

    def _decode_pair(self, inputs: Tensors) -> Tensors:
        return {name: self._decoded(inputs[f"{name}_bytes"]) for name in ("first", "second")}

    def _verify(self, inputs: Tensors) -> Tensors:
        embeddings = self(tf.concat([inputs["first"], inputs["second"]], axis=0))
        return {"similarity": self.similarity(*tf.split(embeddings, 2))}

    def _with_probability(self, outputs: Tensors) -> Tensors:
        slope, offset = tf.unstack(self.calibration.value)
        return outputs | {"probability": tf.sigmoid(slope * outputs["similarity"] + offset)}

    def _with_threshold(self, outputs: Tensors) -> Tensors:
        batch = tf.shape(next(iter(outputs.values())))[:1]
        names = ("threshold", "false_accept_rate", "false_reject_rate")
        limits = zip(names, tf.unstack(self.unknown.value), strict=True)
        return outputs | {name: tf.fill(batch, value) for name, value in limits}

    def _decode_query(self, inputs: Tensors) -> Tensors:
        support = inputs["support"]
        checks = [
            tf.debugging.Assert(tf.shape(support)[1] > 0, ["support holds no class; it takes an embedding of each"]),
            tf.debugging.Assert(
                tf.reduce_all(tf.math.is_finite(support)), ["support holds what is no number; it takes embeddings"]
            ),
            tf.debugging.Assert(
                tf.shape(support)[0] == tf.shape(inputs["query_bytes"])[0],
                ["support must have the classes of each query: [queries, classes, units]"],
            ),
        ]
        with tf.control_dependencies(checks):
            return {"image": self._decoded(inputs["query_bytes"]), "support": tf.identity(support)}

    def _classify(self, outputs: Tensors) -> Tensors:
        # The mean of several shots is shorter than each.
        prototypes = self.prototypes(outputs["support"][:, :, None])
        scores = self.similarity(outputs["embedding"][:, None], prototypes)
        return self._with_threshold({"index": tf.argmax(scores, axis=-1, output_type=tf.int32), "scores": scores})


def small_embedding(
    image_size: int, channels: int, units: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """`<float>[batch, image_size, image_size, channels]` -> `<float32>[batch, units]`.

    Levels of convolutions with standardised kernels, the pictures halved after each, until 3 x 3 or so are left.

    Args:
        image_size: of a side.
        channels: of the pictures.
        units: of the embedding.
        seed: of the initial weights.
        dtype: of the layers.
    """
    output = inputs = keras.Input((image_size, image_size, channels), name="image")
    number = 0
    for filters, count in ((32, 1), (64, 2), (128, 2), (128, 2)):
        for _ in range(count):
            output = StandardizedConv2D(filters, seed + number, name=f"convolution_{number}", dtype=dtype)(output)
            number += 1
        output = keras.layers.MaxPooling2D(dtype=dtype)(output)
    output = keras.layers.Flatten(dtype=dtype)(output)
    output = keras.layers.Dense(
        units, kernel_initializer=keras.initializers.GlorotUniform(seed + number), name="embedding", dtype="float32"
    )(output)
    return keras.Model(inputs, output, name="network")


def koch_embedding(
    image_size: int, channels: int, units: int, seed: int, dtype: keras.dtype_policies.DTypePolicy
) -> keras.Model:
    """The twin of Koch 2015, figure 4: four convolutions, from 10 x 10 to 4 x 4, and a layer of sigmoid units.

    Args:
        image_size: of a side, 105 in the paper.
        channels: of the pictures.
        units: of the embedding, 4096 in the paper.
        seed: of the initial weights.
        dtype: of the layers.
    """
    output = inputs = keras.Input((image_size, image_size, channels), name="image")
    for number, (filters, size) in enumerate(((64, 10), (128, 7), (128, 4), (256, 4))):
        output = keras.layers.Conv2D(
            filters,
            size,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(seed + number),
            name=f"convolution_{number}",
            dtype=dtype,
        )(output)
        if number < 3:
            output = keras.layers.MaxPooling2D(dtype=dtype)(output)
    output = keras.layers.Flatten(dtype=dtype)(output)
    output = keras.layers.Dense(
        units, kernel_initializer=keras.initializers.GlorotUniform(seed + 4), name="embedding", dtype=dtype
    )(output)
    output = keras.layers.Activation("sigmoid", dtype="float32")(output)
    return keras.Model(inputs, output, name="network")


def _best_scores(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of `<float>[episodes, queries, classes]` each query's best, and its best were its own class not there."""
    without = np.where(np.eye(scores.shape[1], dtype=bool), -np.inf, scores)
    return scores.max(-1), without.max(-1)


def _answers(
    embeddings: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    drawn: Sequence[one_shot.Episode],
    scores: np.ndarray,
) -> list[dict[str, Any]]:
    """Of each picture what is known of it by now, as plain values."""
    answers: list[dict[str, Any]] = [
        {"picture": index, "label": int(label), "group": int(group)}
        for index, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]
    for episode, of_episode in zip(drawn, scores, strict=True):
        wrong = np.where(np.eye(len(of_episode), dtype=bool), -np.inf, of_episode)
        ahead = wrong.max(-1) - np.diag(of_episode)
        for row, query in enumerate(episode.queries):
            if ahead[row] > answers[query].get("ahead", -np.inf):
                taken_for = episode.supports[wrong[row].argmax(), 0]
                found = {
                    "ahead": float(ahead[row]),
                    "shown": int(episode.supports[row, 0]),
                    "taken_for": int(taken_for),
                }
                answers[query] |= found
    mapped = np.random.default_rng(0).permutation(len(labels))[:_MAPPED]
    if len(mapped) > 3:
        perplexity = min(30.0, (len(mapped) - 1) / 3)
        from sklearn.manifold import TSNE

        places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(embeddings[mapped])
        for index, place in zip(mapped, places, strict=True):
            answers[index]["place"] = [float(value) for value in place]
    return answers


def _line(slant: int) -> np.ndarray:
    """A picture of one stroke."""
    picture = np.full((105, 105, 3), 255, np.uint8)
    for row in range(20, 85):
        column = 50 + (row - 52) * slant // 32
        picture[row, column - 1 : column + 2] = 0
    return picture
