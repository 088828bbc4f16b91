"""What every adversarial model shares: one training step for a generator and a discriminator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf

from keras_apps.errors import UserError, check_choices, check_range
from keras_apps.layers.optimizers import FusedAdam, moving_average
from keras_apps.losses.adversarial import (
    AdversarialLoss,
    check_labels,
    clip_weights,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    r1_penalty,
)
from keras_apps.models.servable import ServableModel, Tensors, examples_in

Regulariser = Literal["none", "weight_clipping", "gradient_penalty", "r1"]

# What a batch of samples must vary, in relation to real ones, and how often the discriminator may be right, before
# either is said aloud.
ALIKE = 0.1
SATURATED = 0.99


class Judged(NamedTuple):
    """What the discriminator sees at once.

    Args:
        inputs: nested tensors `[batch, ...]`, the picture first.
        is_real: what it should say of them.
        weight: of this group in its loss, or of each of its examples.
    """

    inputs: Any
    is_real: bool
    weight: float | tf.Tensor = 1.0


class AdversarialModel(ServableModel):
    """A generator and a discriminator that learn from each other (Goodfellow 2014, https://arxiv.org/abs/1406.2661).

    A subclass makes the layers `generator` and `discriminator` and says what differs: `generate`, `judged` and, where
    there are any, `generator_terms` and `discriminator_terms`. All that is random in a step is drawn by `augment`, an
    example at a time, under the names in `drawn` and once for each step of the discriminator: so the step is the same
    compiled or not, on one device or on several.

    Attributes:
        drawn: names of the tensors of a batch that have an axis of `n_critic` after the first.
        term_names: of what `generator_terms` and `discriminator_terms` return, since metrics must exist before them.
    """

    precision: ClassVar[dict[str, str]] = {"cpu": "mixed_bfloat16", "gpu": "mixed_bfloat16"}
    drawn: ClassVar[tuple[str, ...]] = ("chances",)
    term_names: ClassVar[tuple[str, ...]] = ()

    # What a subclass says.

    def generate(self, batch: Tensors, training: bool) -> Any:
        """What the generator makes of a batch: nested tensors `[batch, ...]`."""
        raise NotImplementedError

    def judged(self, batch: Tensors, fake: Any) -> list[Judged]:
        """The groups that the discriminator judges.

        The first that is not real is what the generator is trained by. Between it and the first real group lies the
        gradient penalty.
        """
        raise NotImplementedError

    def judge(self, inputs: Any, training: bool) -> Tensors:
        """The discriminator's `logits` `<float>[batch, ...]` of one group's inputs, and what else it says of them."""
        return {"logits": self.discriminator(inputs, training=training)}

    def generator_terms(self, batch: Tensors, fake: Any, verdict: Tensors) -> Tensors:
        """Further losses of the generator by name, weighted, `<float32>[batch]`; `verdict` is `judge` of the fakes."""
        del batch, fake, verdict
        return {}

    def discriminator_terms(self, batch: Tensors, fake: Any, verdicts: list[Tensors]) -> Tensors:
        """Further losses of the discriminator by name, weighted, `<float32>[batch]`; a verdict for each group."""
        del batch, fake, verdicts
        return {}

    # Training.

    game: ClassVar[Mapping[str, Any]] = {}
    """Arguments of `compile` that suit a task better than those that are given here."""

    def compile(
        self,
        adversarial_loss: AdversarialLoss = "non_saturating",
        regulariser: Regulariser = "none",
        regulariser_weight: float = 10.0,
        learning_rate: float = 2e-4,
        discriminator_learning_rate: float = 2e-4,
        beta_1: float = 0.5,
        updates: Literal["simultaneous", "alternating"] = "simultaneous",
        n_critic: int = 1,
        real_label: float = 1.0,
        fake_label: float = 0.0,
        flipped_labels: float = 0.0,
        averaging: float = 0.0,
        xla: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Chooses everything that is not the networks' own.

        Args:
            adversarial_loss: `minimax`, `non_saturating`, `least_squares`, `wasserstein` or `hinge`.
            regulariser: of the discriminator: `weight_clipping`, `gradient_penalty` or `r1`.
            regulariser_weight: of it in the loss, or the limit of weight_clipping.
            learning_rate: of the generator's Adam.
            discriminator_learning_rate: of the discriminator's.
            beta_1: decay of the first moment of both.
            updates: `simultaneous` judges fakes once and changes both networks by it; `alternating` changes the
                discriminator first, makes the fakes anew and trains the generator against the changed one.
            n_critic: steps of the discriminator to one of the generator, on the same real examples and new fakes.
            real_label: the discriminator's target for what is real; below 1 for one-sided label smoothing.
            fake_label: its target for what is not; above 0 for two-sided smoothing.
            flipped_labels: share of the examples whose target is that of the other side.
            averaging: momentum of the moving average of the generator that is evaluated and saved; 0 for none.
            xla: compile losses and gradients.
            steps_per_execution: training steps in one call of the graph.

        Raises:
            UserError: where a number is out of range, a name is none of those, or the loss knows no such labels.
        """
        self.adversarial_loss = adversarial_loss
        self.regulariser = regulariser
        self.regulariser_weight = regulariser_weight
        self.updates = updates
        self.n_critic = n_critic
        self.real_label = real_label
        self.fake_label = fake_label
        self.flipped_labels = flipped_labels
        check_choices(self, AdversarialModel.compile)
        check_labels(adversarial_loss, real_label, fake_label)
        check_range(self, ("n_critic",), at_least=1)
        check_range(self, ("regulariser_weight",), at_least=0)
        if regulariser == "weight_clipping" and regulariser_weight > 1:
            raise UserError(
                f"regulariser_weight={regulariser_weight} is the limit of weight_clipping, which would clip nothing; "
                "that of the paper is 0.01"
            )
        check_range(self, ("flipped_labels",), at_least=0, below=0.5)
        if n_critic > 1 and updates == "simultaneous":
            raise UserError(f"n_critic={n_critic} needs updates=alternating")
        super().compile(
            FusedAdam(learning_rate, beta_1=beta_1, **moving_average(averaging)),
            self.reported,
            variables=self.generator_variables,
            xla=xla,
            steps_per_execution=steps_per_execution,
        )
        self.discriminator_optimizer = FusedAdam(discriminator_learning_rate, beta_1=beta_1)
        self.discriminator_optimizer.build(self.discriminator_variables)

    @property
    def reported(self) -> list[str]:
        """What steps of the game return."""
        names = ["generator_loss", "discriminator_loss", "real_score", "fake_score", "discriminator_accuracy"]
        return [*names, "diversity", *self.term_names, *(["regulariser"] if self._is_penalised else [])]

    # Properties, since Keras puts lists of weights that a model keeps before those of its layers, where a copy that was
    # not compiled does not have them.

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's optimizer changes."""
        return self.generator.trainable_variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """What the discriminator's optimizer changes."""
        return self.discriminator.trainable_variables

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The generator's and the discriminator's."""
        return [self.optimizer, self.discriminator_optimizer]

    def augment(self, example: Tensors, seed: tf.Tensor) -> Tensors:
        """Adds `chances` `<float32>[n_critic, 3]`: whether labels are flipped, and where a gradient is penalised."""
        return example | {"chances": tf.random.stateless_uniform([self.n_critic, 3], seed)}

    def train_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """`n_critic` steps of the discriminator and one of the generator, or one of both at once."""
        if self.updates == "simultaneous":
            values, gradients, discriminator_gradients = self.accelerate(self.losses_and_gradients)(
                self._part(batch, 0)
            )
            self._update_discriminator(discriminator_gradients, batch)
        else:
            for number in range(self.n_critic):
                part = self._part(batch, number)
                judged, discriminator_gradients = self.accelerate(self.discriminator_losses_and_gradients)(part)
                self._update_discriminator(discriminator_gradients, batch)
            made, gradients = self.accelerate(self.generator_losses_and_gradients)(part)
            values = judged | made
        self.apply_gradients(self.optimizer, gradients, self.generator_variables, batch)
        return self.track(values)

    def test_step(self, batch: Tensors) -> dict[str, tf.Tensor]:
        """The losses on a batch that nothing learns from."""
        batch = batch | {"chances": tf.fill([examples_in(batch), 3], 0.5)}
        fake = self.generate(batch, training=False)
        groups = self.judged(batch, fake)
        verdicts = [self.judge(group.inputs, training=False) for group in groups]
        values, _ = self._discriminator_values(batch, fake, groups, verdicts)
        return self.track(values | self._generator_values(batch, fake, groups, verdicts)[0])

    def losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor], list[tf.Tensor]]:
        """What is reported, the generator's gradients and the discriminator's, from one forward pass of both."""
        with _recording(self.generator_variables) as tape:
            fake = self.generate(batch, training=True)
            with _recording(self.discriminator_variables) as discriminator_tape:
                groups = self.judged(batch, fake)
                verdicts = [self.judge(group.inputs, training=True) for group in groups]
                values, discriminator_loss = self._discriminator_values(batch, fake, groups, verdicts)
            made, loss = self._generator_values(batch, fake, groups, verdicts)
        discriminator_gradients = discriminator_tape.gradient(discriminator_loss, self.discriminator_variables)
        return values | made, tape.gradient(loss, self.generator_variables), discriminator_gradients

    def discriminator_losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, and the discriminator's gradients."""
        fake = self.generate(batch, training=True)
        with _recording(self.discriminator_variables) as tape:
            groups = self.judged(batch, fake)
            verdicts = [self.judge(group.inputs, training=True) for group in groups]
            values, loss = self._discriminator_values(batch, fake, groups, verdicts)
        return values, tape.gradient(loss, self.discriminator_variables)

    def generator_losses_and_gradients(self, batch: Tensors) -> tuple[Tensors, list[tf.Tensor]]:
        """What is reported, and the generator's gradients."""
        with _recording(self.generator_variables) as tape:
            fake = self.generate(batch, training=True)
            groups = self.judged(batch, fake)
            # Of the others the generator needs no verdict.
            verdicts = [{} if group.is_real else self.judge(group.inputs, training=True) for group in groups]
            values, loss = self._generator_values(batch, fake, groups, verdicts)
        return values, tape.gradient(loss, self.generator_variables)

    def _discriminator_values(
        self, batch: Tensors, fake: Any, groups: list[Judged], verdicts: list[Tensors]
    ) -> tuple[Tensors, tf.Tensor]:
        """What is reported by example, and this replica's share of the loss."""
        chances = batch["chances"]
        total = 0.0
        correct, scores = [], {True: [], False: []}
        for group, verdict in zip(groups, verdicts, strict=True):
            label = self.real_label if group.is_real else self.fake_label
            other = self.fake_label if group.is_real else self.real_label
            flip = chances[:, 0 if group.is_real else 1] < self.flipped_labels
            logits = tf.cast(verdict["logits"], tf.float32)
            total += group.weight * discriminator_loss(self.adversarial_loss, logits, tf.where(flip, other, label))
            score = self._score(logits)
            scores[group.is_real].append(score)
            threshold = 0.0 if self.adversarial_loss in ("wasserstein", "hinge") else 0.5
            right = score > threshold if group.is_real else score < threshold
            correct.append(tf.cast(right, tf.float32))
        regulariser = self._penalty(groups, chances[:, 2])
        terms = self.discriminator_terms(batch, fake, verdicts)
        values = {
            "discriminator_loss": total,
            "real_score": tf.add_n(scores[True]) / len(scores[True]),
            "fake_score": tf.add_n(scores[False]) / len(scores[False]),
            "discriminator_accuracy": tf.add_n(correct) / len(correct),
            "diversity": _diversity(groups),
            "regulariser": regulariser,
        }
        return values | terms, self.replica_mean(sum(terms.values(), total + regulariser))

    def _generator_values(
        self, batch: Tensors, fake: Any, groups: list[Judged], verdicts: list[Tensors]
    ) -> tuple[Tensors, tf.Tensor]:
        """What is reported by example, and this replica's share of the loss."""
        verdict = next(verdict for group, verdict in zip(groups, verdicts, strict=True) if not group.is_real)
        adversarial = generator_loss(self.adversarial_loss, tf.cast(verdict["logits"], tf.float32))
        terms = self.generator_terms(batch, fake, verdict)
        return {"generator_loss": adversarial} | terms, self.replica_mean(sum(terms.values(), adversarial))

    @property
    def _is_penalised(self) -> bool:
        return self.regulariser in ("gradient_penalty", "r1")

    def _penalty(self, groups: list[Judged], weights: tf.Tensor) -> tf.Tensor:
        real = next(group.inputs for group in groups if group.is_real)
        if not self._is_penalised:
            return tf.zeros_like(weights)

        def logits(inputs: Any) -> tf.Tensor:
            return self.judge(inputs, training=True)["logits"]

        fake = next(group.inputs for group in groups if not group.is_real)
        if self.regulariser == "r1":
            return self.regulariser_weight * r1_penalty(logits, real, fake)
        return self.regulariser_weight * gradient_penalty(logits, real, fake, weights)

    def _score(self, logits: tf.Tensor) -> tf.Tensor:
        """By example: a probability where the loss means one, else the logit."""
        if self.adversarial_loss in ("minimax", "non_saturating"):
            logits = tf.sigmoid(logits)
        return tf.reduce_mean(tf.reshape(logits, [tf.shape(logits)[0], -1]), axis=1)

    def _update_discriminator(self, gradients: list[tf.Tensor], batch: Tensors) -> None:
        self.apply_gradients(self.discriminator_optimizer, gradients, self.discriminator_variables, batch)
        if self.regulariser == "weight_clipping":
            clip_weights(self.discriminator_variables, self.regulariser_weight)

    def _part(self, batch: Tensors, number: int) -> Tensors:
        """The batch with what was drawn for one step of the discriminator."""
        return {name: value[:, number] if name in self.drawn else value for name, value in batch.items()}

    def trouble(self, metrics: dict[str, float]) -> str | None:
        """Says that the discriminator is always right, or that samples are alike."""
        if self.adversarial_loss != "wasserstein" and metrics["discriminator_accuracy"] > SATURATED:
            return (
                f"the discriminator tells {metrics['discriminator_accuracy']:.1%} of all apart, so that the generator "
                "learns little from it; lower --discriminator_learning_rate, or try --regulariser r1"
            )
        if metrics["diversity"] < ALIKE:
            return (
                f"samples vary {metrics['diversity']:.2f} times as much as real ones: the generator has collapsed; "
                "go back to an earlier run, or try another --regulariser or --adversarial_loss"
            )
        return None


def _recording(variables: list[keras.Variable]) -> tf.GradientTape:
    """A tape of the operations that depend on these variables, and no others."""
    tape = tf.GradientTape(watch_accessed_variables=False)
    with tape:
        for variable in variables:
            tape.watch(variable.value)
    return tape


def _diversity(groups: list[Judged]) -> tf.Tensor:
    """How much the fakes of a batch vary, in relation to the real ones, `<float32>[1]`; 1 where there is one alone."""

    def spread(is_real: bool) -> tf.Tensor:
        picture = tf.nest.flatten(next(group.inputs for group in groups if group.is_real == is_real))[0]
        return tf.reduce_mean(tf.math.reduce_std(tf.cast(picture, tf.float32), axis=0, keepdims=True))

    real, fake = spread(True), spread(False)
    return tf.where(real > 0, fake / tf.maximum(real, 1e-6), 1.0)[None]
