"""The input pipeline: prepared once, cached where that fits, the same batches for the same seed and epoch."""

from __future__ import annotations

import logging

import numpy as np
import psutil
import tensorflow as tf

from keras_apps.data.splits import without_tuning
from keras_apps.errors import UserError
from keras_apps.layers.recurrent import avoid_cudnn, uses_cudnn
from keras_apps.models.servable import ServableModel, Tensors, examples_in
from keras_apps.training.features import with_features
from keras_apps.training.hardware import has_gpu

logger = logging.getLogger(__name__)

# Of the machine's memory, what one cached data set may take.
_CACHE_SHARE = 0.25
_SAMPLE = 64
# Batches that wait while a step is taken.
_AHEAD = 4
# A phase starts its seeds here; no run has as many epochs.
_SEEDS_PER_PHASE = 100_000


def prepare(model: ServableModel, examples: tf.data.Dataset) -> tf.data.Dataset:
    """Raw examples -> prepared ones, kept in memory after the first pass where they fit."""
    prepared = examples.map(model.prepare, num_parallel_calls=tf.data.AUTOTUNE)
    if model.features_key() is not None:
        prepared = with_features(model, prepared)
    sizes = [
        sum(np.asarray(value).nbytes for value in tf.nest.flatten(example))
        for example in prepared.take(_SAMPLE).as_numpy_iterator()
    ]
    count = int(examples.cardinality())
    expected = count * float(np.mean(sizes)) if sizes else 0.0
    if 0 <= expected <= _CACHE_SHARE * psutil.virtual_memory().total:
        return prepared.cache()
    logger.info("%d examples of %.0f MB together are not kept in memory", count, expected / 1e6)
    return prepared


def count_steps(batches: tf.data.Dataset, limit: int) -> int:
    """How many batches an epoch has; `limit` cuts it short unless 0."""
    steps = int(counted(batches).cardinality())
    return min(steps, limit) if limit else steps


def counted(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, their number known, if need be by going through them once."""
    if int(batches.cardinality()) >= 0:
        return batches
    count = batches.reduce(np.int64(0), lambda so_far, _: so_far + 1)
    return batches.apply(tf.data.experimental.assert_cardinality(count))


def check_shares(model: ServableModel, batches: tf.data.Dataset, training: bool) -> None:
    """Looks for batches of which a replica gets no example, and sees to it that they can be computed.

    Args:
        model: compiled.
        batches: all that there are.
        training: whether they are trained on, by XLA where the model is; it is not for validation.

    Raises:
        UserError: on a CPU without XLA, for a model with convolutions: oneDNN gives none the shape of their input.
    """
    replicas = model.distribute_strategy.num_replicas_in_sync
    on_gpus = has_gpu()
    convolves = any(len(weight.shape) == 4 for weight in model.trainable_variables)
    is_in_doubt = uses_cudnn(model) if on_gpus else convolves and not (training and model.xla)
    if replicas == 1 or not is_in_doubt:
        return
    smallest = int(batches.reduce(tf.int64.max, lambda so_far, batch: tf.minimum(so_far, examples_in(batch))))
    if smallest >= replicas:
        return
    if on_gpus:
        logger.info("a batch has %d examples for %d GPUs: recurrent layers do without cuDNN", smallest, replicas)
        avoid_cudnn(model)
        return
    what, way_out = ("examples", ", or --xla on") if training else ("validation examples", "")
    raise UserError(
        f"a batch has {smallest} of the {what}, too few for {replicas} CPUs; give another --batch_size{way_out}"
    )


def epochs_of_batches(
    model: ServableModel,
    prepared: tf.data.Dataset,
    *,
    batch_size: int,
    steps: int,
    epochs: range,
    phase: int,
    seed: int,
) -> tf.data.Dataset:
    """The batches of `epochs`, one after the other: epoch 7 is the same whether or not 0 to 6 came before it."""
    first = seed * len(model.phases) * _SEEDS_PER_PHASE + phase * _SEEDS_PER_PHASE

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        return model.batches(prepared, batch_size, training=True, seed=first + epoch).repeat().take(steps)

    return without_tuning(tf.data.Dataset.range(epochs.start, epochs.stop)).flat_map(one_epoch).prefetch(_AHEAD)


def shared(
    batches: tf.data.Dataset, strategy: tf.distribute.Strategy
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """What Keras is to be given of the batches that all replicas together learn from.

    Of several processes each makes all batches, and keeps the rows of its own replicas. Those of one process Keras
    deals out by itself.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return batches

    def of_this_process(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        own = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own

        def part(batch: Tensors, replica: tf.Tensor) -> Tensors:
            count = examples_in(batch)
            start, stop = replica * count // replicas, (replica + 1) * count // replicas
            return tf.nest.map_structure(lambda each: each[start:stop], batch)

        parts = batches.flat_map(
            lambda batch: tf.data.Dataset.range(first, first + own).map(lambda replica: part(batch, replica))
        )
        count = batches.cardinality()
        if count < 0:
            # With an end that is not known, the processes would ask each other before each step whether one is left.
            return parts.repeat()
        return parts.apply(tf.data.experimental.assert_cardinality(count * own))

    return strategy.distribute_datasets_from_function(of_this_process)
