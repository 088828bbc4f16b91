"""Training a model from raw examples: the one runner for all of them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import logging
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_apps.data.splits import Splits
from keras_apps.errors import UserError
from keras_apps.layers.optimizers import steps_taken
from keras_apps.models.servable import ServableModel
from keras_apps.training import checkpoint as checkpoints
from keras_apps.training import hardware, pipeline
from keras_apps.training.callbacks import (
    AveragedValidation,
    Curves,
    EpochRecorder,
    Interruption,
    Samples,
    StopOnNaN,
)
from keras_apps.training.config import TrainingConfig
from keras_apps.training.run_directory import RunDirectory

# TensorFlow's own where nobody has set one.
_TENSORFLOW_SEED = 87654321

logger = logging.getLogger(__name__)


# AutoGraph would rewrite every function that data pass through, which takes a second or two, and none needs it.
@tf.autograph.experimental.do_not_convert
def train(
    model_class: type[ServableModel],
    splits: Splits,
    run_dir: str | Path,
    *,
    model: dict[str, Any] | None = None,
    compile: dict[str, Any] | None = None,
    config: TrainingConfig | None = None,
    init_from: str | Path | None = None,
    settings: dict[str, Any] | None = None,
) -> ServableModel:
    """Trains, or goes on where an earlier call with the same arguments was stopped.

    Args:
        model_class: what to train.
        splits: raw examples; without a validation part the last epoch counts as the best.
        run_dir: where everything is written (`RunDirectory`).
        model: arguments of the model's constructor that differ from its defaults; with `init_from`, from the model
            that it names.
        compile: arguments of the model's `compile`.
        config: how to fit.
        init_from: a run directory, an export or a `.keras` file whose weights to begin with.
        settings: what else identifies the run (its data), kept in config.json.

    Returns:
        The best model, calibrated, as it was saved to `run_dir`/model.keras.

    Raises:
        UserError: where the run directory is of another run, or another process trains in it, a checkpoint is damaged,
            or the loss is no number.
        KeyboardInterrupt: on Ctrl-C; once steps are taken, after a model.keras was made sure of, with its name where it
            is of the last phase. While examples are still being read there is none.
    """
    config = config or TrainingConfig()
    if splits.train is None:
        raise UserError("the data has no examples to train on; see --data")
    strategy = hardware.strategy(config.distribute)
    settings = {
        "model_class": model_class.__name__,
        "model": model or {},
        "compile": compile or {},
        "training": dataclasses.asdict(config),
        "init_from": str(init_from) if init_from else None,
        # Rows more or less, and all parts are drawn anew.
        "examples": splits.sizes,
    } | (settings or {})
    run = RunDirectory(run_dir)
    try:
        with contextlib.ExitStack() as stack:
            # All processes do the same, for they meet in it; what others than the chief write is thrown away.
            own = run
            if hardware.is_chief(config.distribute):
                stack.enter_context(run.open(settings))
            hardware.wait_for_all(strategy)
            if not hardware.is_chief(config.distribute):
                run.join(settings)
                own = RunDirectory(stack.enter_context(tempfile.TemporaryDirectory()))
                stack.enter_context(own.open(settings))
            return _train(model_class, splits, run, own, model or {}, compile or {}, config, init_from, strategy)
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise UserError(
            "another process of the cluster has stopped, or can't be reached; see what it says, and give all of them "
            "the same command again to go on"
        ) from error


def _train(
    model_class: type[ServableModel],
    splits: Splits,
    run: RunDirectory,
    own: RunDirectory,
    model: dict[str, Any],
    compile: dict[str, Any],
    config: TrainingConfig,
    init_from: str | Path | None,
    strategy: tf.distribute.Strategy,
) -> ServableModel:
    """Reads what is in `run`, and writes to `own`."""
    # Layers without a seed draw one by this.
    random.seed(config.seed)
    # It has a part in how tf.data shuffles. To set it takes from SentencePiece, in any model, what that has read.
    if tf.compat.v1.get_seed(0)[0] != _TENSORFLOW_SEED:
        tf.random.set_seed(_TENSORFLOW_SEED)
    latest = checkpoints.latest_checkpoint(run.checkpoints)
    progress = checkpoints.read_progress(latest) if latest else None
    hardware.wait_for_all(strategy, progress.phase + len(progress.history) if progress else 0)
    with strategy.scope():
        if progress:
            network = checkpoints.model_of(latest, progress, model_class)
            _say(own, f"going on from {latest}")
        else:
            network = _begin(model_class, splits, model, config, init_from, own)
            progress = checkpoints.Progress(0, 0, [], network.get_config())
    xla = hardware.choose_xla(config.xla, model_class)
    best = None
    for phase in range(progress.phase, len(network.phases)):
        resumed = latest is not None and phase == progress.phase
        if phase > 0 and not resumed:
            hardware.wait_for_all(strategy)
            # The best of the phase before, which need not be its last.
            network.inherit(best or model_class.load(run.model_file))
        with strategy.scope():
            network.begin_phase(network.phases[phase])
            network.compile(**compile, xla=xla, steps_per_execution=config.steps_per_execution)
        if resumed:
            checkpoints.restore_checkpoint(latest, network)
        elif phase > 0:
            progress = checkpoints.Progress(phase, 0, progress.history, network.get_config())
            checkpoints.save_checkpoint(own.checkpoints, network, progress)
        # Outside the scope, so that what is made of the model to be saved is of this process alone.
        best = _fit_phase(network, splits, own, config, phase, progress)
    if not network.phases:
        # There is nothing to fit: it is what it was made, and what `adapt` read.
        network.save_for_inference(own.model_file)
    hardware.wait_for_all(strategy)
    best = best or model_class.load(run.model_file)
    if splits.validation is not None and best.calibrate(splits.validation, config.batch_size):
        hardware.wait_for_all(strategy)
        best.save_for_inference(own.model_file)
    hardware.wait_for_all(strategy)
    return best


def _begin(
    model_class: type[ServableModel],
    splits: Splits,
    model: dict[str, Any],
    config: TrainingConfig,
    init_from: str | Path | None,
    run: RunDirectory,
) -> ServableModel:
    """A new model that has learned from the examples what data decides."""
    dtype = hardware.choose_precision(config.precision, model_class)
    if init_from is None:
        network = model_class(**{"seed": config.seed} | model, dtype=dtype)
        network.adapt(splits.trained_on)
        return network
    parent = model_class.load(init_from)
    network = model_class.from_config(parent.config_for(splits.trained_on) | model | {"dtype": dtype})
    network.adapt(splits.trained_on)
    copied, total = network.inherit(parent)
    _say(run, f"{copied} of {total} weights come from {init_from}")
    return network


def _fit_phase(
    network: ServableModel,
    splits: Splits,
    run: RunDirectory,
    config: TrainingConfig,
    phase: int,
    progress: checkpoints.Progress,
) -> ServableModel | None:
    """Returns the best model of the phase, as it was saved; None where it is of an epoch before this call."""
    prepared = pipeline.prepare(network, splits.trained_on)
    an_epoch = network.batches(prepared, config.batch_size, training=True)
    steps = pipeline.count_steps(an_epoch, config.steps_per_epoch)
    # Keras's last call of an epoch would take the batches that it has too many from the next.
    network.steps_per_execution = next(n for n in range(config.steps_per_execution, 0, -1) if steps % n == 0)
    replicas = network.distribute_strategy.num_replicas_in_sync
    if replicas > 1 and config.steps_per_execution > 1:
        # Keras puts the steps into a loop, in which TensorFlow's collective operations find no input.
        network.steps_per_execution = 1
        _say(run, f"one step in one call, not {config.steps_per_execution}: {replicas} devices take no more at a time")
    elif network.steps_per_execution < config.steps_per_execution:
        _say(
            run,
            f"{network.steps_per_execution} steps in one call, not {config.steps_per_execution}: "
            f"an epoch of {steps} has to be a whole number of calls",
        )
    validation = None
    if splits.validation is not None:
        prepared_validation = pipeline.prepare(network, splits.validation)
        validation = pipeline.counted(network.batches(prepared_validation, config.batch_size, training=False))
        pipeline.check_shares(network, validation, training=False)
    pipeline.check_shares(network, an_epoch.take(steps), training=True)
    recorder = EpochRecorder(run, phase, progress.history, config.patience)
    recorder.set_model(network)
    begin = config.epochs if recorder.exhausted else min(progress.epoch, config.epochs)
    if recorder.exhausted and progress.epoch < config.epochs:
        _say(
            run,
            f"{recorder.why_exhausted}: {network.phases[phase]} stays at its {progress.epoch}; "
            "raise --patience too for more",
        )
    batches = pipeline.epochs_of_batches(
        network,
        prepared,
        batch_size=config.batch_size,
        steps=steps,
        epochs=range(begin, config.epochs),
        phase=phase,
        seed=config.seed,
    )
    looked_at = splits.train if splits.validation is None else splits.validation
    samples = Samples(run, network.phases[phase], looked_at)
    # With the recorder's checkpoint an epoch is done; what comes after it may be missing.
    callbacks = [AveragedValidation(), StopOnNaN(), samples, recorder, Curves(run, progress.history)]
    if importlib.util.find_spec("tensorboard"):
        callbacks.insert(0, keras.callbacks.TensorBoard(run.tensorboard, write_graph=False))
    try:
        with Interruption() as interruption:
            network.fit(
                pipeline.shared(batches, network.distribute_strategy),
                epochs=config.epochs,
                initial_epoch=begin,
                steps_per_epoch=steps,
                validation_data=validation and pipeline.shared(validation, network.distribute_strategy),
                callbacks=[interruption, *callbacks],
                shuffle=False,
                verbose=1 if sys.stderr.isatty() else 2,
            )
    except (KeyboardInterrupt, UserError) as stop:
        if isinstance(stop, KeyboardInterrupt):
            is_begun = any(map(steps_taken, network.optimizers))
            if is_begun and not run.model_file.exists():
                with network.averaged_weights():
                    network.save_for_inference(run.model_file)
            if is_begun and phase == len(network.phases) - 1 and (phase == 0 or recorder.rows):
                stop.args = (str(run.model_file),)
        # Why it ended is what is to be said, even where the curves can't be written either.
        with contextlib.suppress(UserError):
            run.write_curves(progress.history)
        raise
    if phase == len(network.phases) - 1:
        run.write_curves(progress.history)
    return recorder.best


def _say(run: RunDirectory, message: str) -> None:
    logger.info(message)
    run.log(message)
