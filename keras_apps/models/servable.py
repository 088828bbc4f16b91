"""What every model here can do: learn from raw examples, be saved whole, answer raw requests, be fine-tuned."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf

from keras_apps.errors import UserError, brief, check_number
from keras_apps.files import atomic_file, model_file
from keras_apps.layers.optimizers import steps_taken
from keras_apps.layers.recurrent import avoid_cudnn

Tensors = dict[str, tf.Tensor]

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to ask a model, cut where XLA can and can't compile.

    Args:
        inputs: the raw inputs by name, batch first: text and picture bytes are `tf.string`.
        decode: raw inputs -> tensors. All checks and all noise are here. String tensors it returns pass by the core
            and reach `encode` directly, since XLA can't carry them.
        core: dense tensors -> dense tensors; everything XLA can compile.
        encode: dense and string tensors -> raw outputs.
        examples: raw requests of one element each, one for every shape that `decode` gives the core. They warm a
            server up, and the first is the worked example of the export's README.
        batch_sizes: the sizes a server may batch requests to.
        beside: names of further tensors of `decode` that pass by the core: those of shapes that no example can list.
    """

    inputs: Mapping[str, tf.TensorSpec]
    decode: Callable[[Tensors], Tensors]
    core: Callable[[Tensors], Tensors]
    encode: Callable[[Tensors], Tensors]
    examples: Sequence[Mapping[str, Any]]
    batch_sizes: Sequence[int] = (1, 8, 64)
    beside: Collection[str] = ()

    def function(self, xla: bool) -> Callable[[Tensors], Tensors]:
        """`encode(core(decode(inputs)))`, the core compiled by XLA or not: what is exported, served and predicted."""
        decode, core, encode = self._parts
        if xla:
            # Traced by itself: a function that is called without XLA too is no longer one that XLA can compile.
            core = _traced(self.core, self._split(decode.structured_outputs)[0], jit_compile=True)

        def answer(inputs: Tensors) -> Tensors:
            dense, beside = self._split(decode(inputs))
            return encode(core(dense) | beside)

        return answer

    @functools.cached_property
    def _parts(self) -> tuple[tf.types.experimental.ConcreteFunction, ...]:
        """`decode`, `core` and `encode`, traced once, however many functions are made of them and saved."""
        decode = _traced(self.decode, dict(self.inputs))
        dense, beside = self._split(decode.structured_outputs)
        core = _traced(self.core, dense)
        return decode, core, _traced(self.encode, core.structured_outputs | beside)

    def _split(self, decoded: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the core takes, and what passes by it."""
        beside = {name: each for name, each in decoded.items() if name in self.beside or each.dtype == tf.string}
        return {name: each for name, each in decoded.items() if name not in beside}, beside


def _traced(
    function: Callable[[Tensors], Tensors], inputs: dict[str, tf.TensorSpec], jit_compile: bool | None = None
) -> tf.types.experimental.ConcreteFunction:
    return tf.function(function, jit_compile=jit_compile, autograph=False).get_concrete_function(inputs)


class ServableModel(keras.Model):
    """A Keras model that is complete in itself: raw examples go in for training, raw requests for answers.

    A subclass takes plain values in its constructor and keeps each as an attribute of the same name; what `adapt`
    learns (vocabulary, class names) is among them, `None` until then. `get_config` follows from that.

    Attributes:
        phases: names of the stages of training, in order; `begin_phase` is called before each.
        precision: what `--precision auto` means on a CPU with bfloat16 units (`cpu`) and on a GPU (`gpu`).
        xla_pays: whether `--xla auto` compiles the losses and gradients on a CPU (`cpu`) and on a GPU (`gpu`).
        monitor: the validation metric by which the best epoch is chosen, and `min` or `max`.
        bucket_boundaries: examples of like `length` are batched together, in buckets that end at these lengths.
        typical_length: where given, batches hold as many steps, padding included, as `batch_size` examples of this
            length would: short examples come in greater number.
        sequences: names of what has its steps in the last axis, zero-padded; where XLA compiles each shape, training
            pads it to the end of its bucket.
    """

    phases: ClassVar[tuple[str, ...]] = ("train",)
    precision: ClassVar[Mapping[str, str]] = {"cpu": "float32", "gpu": "mixed_bfloat16"}
    xla_pays: ClassVar[Mapping[str, bool]] = {"cpu": False, "gpu": True}
    monitor: ClassVar[tuple[str, str]] = ("val_loss", "min")
    bucket_boundaries: Sequence[int] = ()
    typical_length: int = 0
    sequences: ClassVar[tuple[str, ...]] = ()
    xla: bool = False

    # From examples to batches.

    def adapt(self, examples: tf.data.Dataset) -> None:
        """Learns from raw training examples what data decides and the constructor was not given, and builds."""
        raise NotImplementedError

    def prepare(self, example: Tensors) -> Tensors:
        """One raw example -> dense tensors; deterministic, so that its result can be cached."""
        raise NotImplementedError

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """One prepared example -> one to train on; all that is random in it is stateless, from `<int64>[2]`."""
        del seed
        return example

    def length(self, example: Tensors) -> tf.Tensor:
        """The number of steps of a prepared example; asked only where there are `bucket_boundaries`."""
        raise NotImplementedError

    def batches(
        self, examples: tf.data.Dataset, batch_size: int, training: bool, seed: int | tf.Tensor = 0
    ) -> tf.data.Dataset:
        """One epoch of padded batches; every epoch of the same examples has equally many, whatever the seed.

        Args:
            examples: prepared examples, of known number.
            batch_size: how many to a batch, where they are of `typical_length`.
            training: shuffle and augment, from the seed.
            seed: a number of its own for every epoch.
        """
        if training:
            seed = tf.cast(seed, tf.int64)
            count = tf.maximum(examples.cardinality(), 1)
            examples = examples.shuffle(count, seed=seed, reshuffle_each_iteration=False)
            examples = examples.enumerate().map(
                lambda index, example: self.augment(example, tf.stack([seed, index])),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        if not self.bucket_boundaries:
            return examples.padded_batch(batch_size)
        longest = [*self.bucket_boundaries, 2 * self.bucket_boundaries[-1]]
        batches = examples.bucket_by_sequence_length(
            lambda example: tf.cast(self.length(example), tf.int32),
            bucket_boundaries=[length + 1 for length in self.bucket_boundaries],
            bucket_batch_sizes=[max(1, batch_size * (self.typical_length or each) // each) for each in longest],
        )
        if training and self.xla and self.sequences:
            batches = batches.map(self._to_boundary, tf.data.AUTOTUNE)
        return batches

    def _to_boundary(self, batch: Tensors) -> Tensors:
        """Pads the sequences of a batch to the end of its bucket; the last bucket, which has none, to the longest."""
        lengths = {name: tf.shape(batch[name])[-1] for name in self.sequences}
        longest = tf.reduce_max(list(lengths.values()))
        ends = tf.constant([*self.bucket_boundaries, tf.int32.max])
        end = tf.reduce_min(tf.boolean_mask(ends, ends >= longest))
        end = tf.where(end < tf.int32.max, end, longest)

        def padded(name: str) -> tf.Tensor:
            other_axes = [[0, 0]] * (batch[name].shape.rank - 1)
            return tf.pad(batch[name], [*other_axes, [0, end - lengths[name]]])

        return batch | {name: padded(name) for name in self.sequences}

    def features_key(self) -> str | None:
        """A digest of all that `features` depend on besides the picture; None where there are no such features.

        Where there is one, training computes the features of each picture once, keeps them, and gives prepared examples
        with `features` in place of `image`.
        """
        return None

    def features(self, images: tf.Tensor) -> tf.Tensor:
        """A batch of prepared examples' `image` -> what a part of the network that is not trained makes of each."""
        raise NotImplementedError

    # Training.

    def begin_phase(self, phase: str) -> None:
        """Makes `compile`, the batches and the steps those of one of `phases`."""
        self.phase = phase

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer,
        reported: Sequence[str],
        *,
        variables: Sequence[keras.Variable] | None = None,
        xla: bool = False,
        clip_norm: float | None = None,
        steps_per_execution: int = 1,
    ) -> None:
        """Builds the optimizer's state, without which a checkpoint could not be read back.

        Args:
            optimizer: the first of `optimizers`.
            reported: names of the means over an epoch that steps return (`track`).
            variables: that it changes; None for all that are trainable.
            xla: compile the function that computes losses and gradients (`accelerate`), not the whole step: under
                tf.distribute the step contains the merge across replicas, which XLA can't compile.
            clip_norm: the greatest norm of all gradients together.
            steps_per_execution: training steps in one call of the graph.
        """
        check_number("clip_norm", clip_norm or 0, at_least=0)
        super().compile(optimizer=optimizer, jit_compile=False, steps_per_execution=steps_per_execution)
        optimizer.build(self.trainable_variables if variables is None else variables)
        # In a proxy, since a model that was built takes no dict of metrics any more.
        self.trackers = MappingProxyType({name: keras.metrics.Mean(name=name) for name in reported})
        self.xla = xla
        if xla:
            avoid_cudnn(self)
        self.clip_norm = clip_norm

    def build(self, input_shape: Any = None) -> None:
        """Leaves it to the call that follows; by itself Keras would trace that one twice."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing: a model here is built when it is made.

        Under a strategy Keras would average a batch over the replicas to see its shapes, which fails where they have
        unlike numbers of examples.
        """

    def _make_function(self, step_function: Callable) -> Callable:
        """Gives what a step returns an axis more, over which Keras averages where several processes train together."""
        if not isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return super()._make_function(step_function)
        return super()._make_function(lambda batch: {name: each[None] for name, each in step_function(batch).items()})

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers, in a fixed order: their state is part of a checkpoint."""
        return [self.optimizer]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What a step returns, under the same names."""
        return list(self.trackers.values())

    def track(self, values: Tensors, weights: tf.Tensor | None = None) -> Tensors:
        """Adds what a step found to the means of the epoch.

        Args:
            values: by example, or by token, under their names; those that are not reported are left out.
            weights: how much each counts; None for all alike.

        Returns:
            The means so far of those that are reported.
        """
        found = {name: tracker for name, tracker in self.trackers.items() if name in values}
        for name, tracker in found.items():
            tracker.update_state(values[name], sample_weight=weights)
        return {name: tracker.result() for name, tracker in found.items()}

    def accelerate(self, function: Callable) -> Callable:
        """The function of dense tensors, compiled by XLA where `compile` was told so."""
        return tf.function(function, jit_compile=True, autograph=False) if self.xla else function

    def replica_mean(self, values: tf.Tensor) -> tf.Tensor:
        """The mean over this replica's examples; 0 where it has none of the last of a batch."""
        return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype))

    def global_sum(self, values: tf.Tensor) -> tf.Tensor:
        """The sum over all replicas; not for within `accelerate`."""
        total = tf.reduce_sum(values)
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return total
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, total)

    def apply_gradients(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: Sequence[tf.Tensor],
        variables: Sequence[keras.Variable],
        batch: Tensors | None = None,
    ) -> None:
        """One step of the optimizer, the norm clipped where `compile` was told so.

        Across replicas the gradients are summed before they are clipped, as on one device; the optimizer sums what
        it is given once more, so each replica gives its share of the sum.

        Args:
            optimizer: that knows the variables.
            gradients: of this replica.
            variables: to change.
            batch: this replica's examples, where the gradients are those of a `replica_mean`: a batch that can't be
                dealt out evenly counts each example alike. None where they are of sums divided by a `global_sum`.
        """
        replicas = self.distribute_strategy.num_replicas_in_sync
        if batch is not None and replicas > 1:
            count = tf.cast(examples_in(batch), tf.float32)
            share = count / self.global_sum(count)
            gradients = [tf.math.multiply_no_nan(each, tf.cast(share, each.dtype)) for each in gradients]
        if self.clip_norm:
            if replicas > 1:
                gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
            if replicas > 1:
                gradients = [gradient / replicas for gradient in gradients]
        optimizer.apply(gradients, variables)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within it the weights are their moving averages, where an optimizer keeps them (`use_ema`)."""
        averages = [
            (variable, average)
            for optimizer in self.optimizers
            # Keras begins them at the first step.
            if optimizer.use_ema and steps_taken(optimizer)
            for variable, average in zip(
                optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
            )
        ]
        raw = [keras.ops.convert_to_numpy(variable) for variable, _ in averages]
        for variable, average in averages:
            variable.assign(keras.ops.convert_to_numpy(average))
        try:
            yield
        finally:
            for (variable, _), value in zip(averages, raw, strict=True):
                variable.assign(value)

    def calibrate(self, examples: tf.data.Dataset, batch_size: int = 64) -> bool:
        """Fits, after training and on raw validation examples, what turns scores into honest probabilities.

        Returns:
            Whether there is anything to fit.
        """
        del examples, batch_size
        return False

    def sample(self, examples: tf.data.Dataset) -> np.ndarray | None:
        """What it makes of a few raw examples by now, to be looked at while it is trained, always of the same noise.

        Args:
            examples: the first of the validation part, else of the training part.

        Returns:
            `<uint8>[rows, columns, height, width, 3]`; None where it makes no pictures.
        """
        del examples
        return None

    def trouble(self, metrics: Mapping[str, float]) -> str | None:
        """What is going wrong in training, by an epoch's metrics, in one line; None where nothing is."""
        del metrics
        return None

    def measure(self, examples: tf.data.Dataset, batch_size: int = 64) -> dict[str, Any]:
        """The task's metrics on raw examples, as plain values; under `answers`, if it likes, one dict per example."""
        raise NotImplementedError

    def config_for(self, examples: tf.data.Dataset) -> dict[str, Any]:
        """The configuration of a model to fine-tune on other raw examples: what they don't contradict is kept."""
        del examples
        return self.get_config()

    def inherit(self, other: ServableModel, skip: Sequence[str] = ()) -> tuple[int, int]:
        """Copies the weights of another model that fit, by path and shape.

        Args:
            other: the model to copy from.
            skip: names of layers that keep their own.

        Returns:
            How many weights were copied, and how many there are.
        """
        theirs = {_path_within(other, weight): weight for weight in other.weights}
        # The weights of a functional network made within a layer have no path through that layer.
        kept = {id(weight) for layer in self.layers if layer.name in skip for weight in layer.weights}
        copied = 0
        for weight in self.weights:
            path = _path_within(self, weight)
            source = theirs.get(path)
            if (
                source is not None
                and source.shape == weight.shape
                and id(weight) not in kept
                and not any(name in path.split("/") for name in skip)
            ):
                weight.assign(keras.ops.convert_to_numpy(source))
                copied += 1
        return copied, len(self.weights)

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with what `adapt` learned, as plain values."""
        own = [
            name
            for name, parameter in inspect.signature(type(self).__init__).parameters.items()
            if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
        ]
        config = {name: _plain(getattr(self, name)) for name in own}
        dtype = keras.dtype_policies.serialize(self.dtype_policy)
        return {"schema_version": SCHEMA_VERSION, "name": self.name, "dtype": dtype} | config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Self:
        """A new model from `get_config`.

        Raises:
            UserError: where the configuration is of another schema version.
        """
        del custom_objects
        config = dict(config)
        check_schema_version(config.pop("schema_version", None), "this model")
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        return cls(**config)

    def snapshot(self, **changes: Any) -> Self:
        """A copy for inference: the same weights, no optimizer; `changes` are of settings that no weight depends on."""
        copy = type(self).from_config(self.get_config() | changes)
        copy.set_weights(self.get_weights())
        return copy

    def save_for_inference(self, path: str | os.PathLike) -> None:
        """Writes a `.keras` file without optimizer state, beside and renamed."""
        copy = self.snapshot() if self.compiled else self
        with atomic_file(path) as temporary:
            copy.save(temporary)

    @classmethod
    def load(cls, where: str | os.PathLike, **changes: Any) -> Self:
        """Reads what was saved, with safe_mode on.

        Args:
            where: a run directory, an export (its newest version is read) or a `.keras` file.
            **changes: settings of the model that no weight depends on, where they are to be others.

        Raises:
            UserError: where there is none, it is damaged, of another schema version, or of another model.
        """
        path = model_file(where)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{path}: can't be read as a model ({brief(error)})") from error
        if not isinstance(model, cls):
            raise UserError(f"{path}: holds a {type(model).__name__}, not a {cls.__name__}; name a file of that app")
        return model.snapshot(**changes) if changes else model

    # Answers.

    def signatures(self) -> dict[str, Signature]:
        """The ways to ask this model, `serving_default` first."""
        raise NotImplementedError

    def serve(self, signature: str = "serving_default", **inputs: Any) -> Tensors:
        """Answers one raw batch in Python, through the very functions that are exported.

        Args:
            signature: one of `signatures()`.
            **inputs: the raw inputs by name, batch first.
        """
        if getattr(self, "_answers", None) is None:
            self._answers = {}
        if signature not in self._answers:
            # Once, for their examples may take long to make.
            asked = self.signatures()[signature]
            specs = dict(asked.inputs)
            function = tf.function(asked.function(xla=False), input_signature=[specs], autograph=False)
            self._answers[signature] = function, specs
        function, specs = self._answers[signature]
        return function({name: tf.convert_to_tensor(inputs[name], dtype=spec.dtype) for name, spec in specs.items()})


def examples_in(batch: Tensors) -> tf.Tensor:
    """How many there are, `<int64>[]`."""
    return tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]


def check_schema_version(found: int | None, what: str) -> None:
    """Raises UserError where a file was written by a keras_apps that is too new or too old for this one."""
    if found == SCHEMA_VERSION:
        return
    if isinstance(found, int) and found > SCHEMA_VERSION:
        raise UserError(
            f"{what} has schema version {found}, newer than {SCHEMA_VERSION}, which this keras_apps reads; upgrade it"
        )
    raise UserError(
        f"{what} has schema version {found}, older than {SCHEMA_VERSION}, which this keras_apps reads; "
        "train again, or use the keras_apps that wrote it"
    )


def _path_within(model: keras.Model, weight: keras.Variable) -> str:
    # A network that was built by itself does not know the model's name.
    return weight.path.removeprefix(f"{model.name}/")


def _plain(value: Any) -> Any:
    """Plain containers in place of those that Keras puts around attributes to track them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
