"""The three parts of a data set that every task trains, selects and reports on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence, Sized
from typing import TypeVar

import tensorflow as tf

from keras_apps.errors import UserError

Row = TypeVar("Row")


@dataclasses.dataclass(frozen=True)
class Splits:
    """Raw examples for training, for choosing a model, and for the final score; each with a known cardinality.

    What a task would rather not train on, but must not be silently spared by a score of `all`, is `left_out`. What is
    `added` is trained on besides, and no part that is scored.
    """

    train: tf.data.Dataset | None = None
    validation: tf.data.Dataset | None = None
    test: tf.data.Dataset | None = None
    left_out: tf.data.Dataset | None = None
    added: tf.data.Dataset | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            examples = getattr(self, field.name)
            if examples is not None:
                object.__setattr__(self, field.name, without_tuning(examples))

    @property
    def trained_on(self) -> tf.data.Dataset | None:
        """The training part, and what is added to it."""
        return self.train if None in (self.train, self.added) else self.train.concatenate(self.added)

    @property
    def sizes(self) -> dict[str, int]:
        """The number of examples of each part."""
        return {part: int(examples.cardinality()) for part, examples in self._there().items()}

    def _there(self) -> dict[str, tf.data.Dataset]:
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "added"}
        return {part: examples for part, examples in parts.items() if examples is not None}

    def split(self, name: str) -> tf.data.Dataset:
        """Returns one part by name, or with `all` those that exist, one after the other.

        Raises:
            UserError: if there is no such part.
        """
        there = self._there()
        if name == "all" and there:
            first, *rest = there.values()
            for examples in rest:
                first = first.concatenate(examples)
            return first
        if name not in there:
            raise UserError(f"the data has no split {name!r}; choose one of {', '.join([*there, 'all'])}")
        return there[name]


def without_tuning(examples: tf.data.Dataset) -> tf.data.Dataset:
    """The same, without TensorFlow's search for the best parallelism of it and of all that is made of it.

    The thread that searches may not notice that nobody reads any more, and then whoever ends waits for it: for seconds
    after a short training, for up to a minute after a long one. What is left to `tf.data.AUTOTUNE` is done by as many
    threads as there are cores, at most 16.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return examples.with_options(options)


def check_fractions(validation_fraction: float, test_fraction: float) -> dict[str, float]:
    """Returns what to carve out of the training rows, by part.

    Raises:
        UserError: if a fraction is negative, or nothing would be left to train on.
    """
    if not (validation_fraction >= 0 and test_fraction >= 0 and validation_fraction + test_fraction < 1):
        raise UserError(
            f"validation_fraction={validation_fraction} and test_fraction={test_fraction}: neither may be "
            "negative, and together they must be below 1"
        )
    return {"validation": validation_fraction, "test": test_fraction}


def check_given(rows: Mapping[str, Sized], where: str) -> None:
    """Raises UserError where a part that was read has no rows."""
    for part, part_rows in rows.items():
        if not part_rows:
            raise UserError(f"{where}: there are no rows in the {part} split")


def leave_out_scored(
    rows: Mapping[str, Sequence[Row]], identity: Callable[[Row], Hashable], where: str, what: str
) -> tuple[dict[str, list[Row]], list[Row]]:
    """Of given parts, leaves out of training what validation or test have too, and of validation what test has.

    Args:
        rows: of each part.
        identity: of a row, the same for what is the same.
        where: the data's name.
        what: the rows' name.

    Returns:
        What is kept of each part, training's even where it is nothing, and what is left out.

    Raises:
        UserError: where nothing is kept of validation.
    """
    kept: dict[str, list[Row]] = {}
    left_out: list[Row] = []
    scored: set[Hashable] = set()
    for split in ("test", "validation", "train"):
        if split in rows:
            identities = [identity(row) for row in rows[split]]
            kept[split] = []
            for row, own in zip(rows[split], identities, strict=True):
                (left_out if own in scored else kept[split]).append(row)
            scored.update(identities)
    if kept.get("validation") == []:
        raise UserError(f"{where}: the test split has all {what} of the validation split; take one of them away")
    return kept, left_out


def check_carved(parts: Mapping[str, Sized], where: str) -> None:
    """Raises UserError where a part that was dealt rows got none."""
    for part, rows in parts.items():
        if not rows:
            raise UserError(
                f"{where}: {sum(map(len, parts.values()))} rows are too few, or too alike, to carve a {part} split "
                "from; add some or set its fraction to 0"
            )
