"""The three parts of a data set that every task trains, selects and reports on."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from keras_apps.errors import UserError


@dataclasses.dataclass(frozen=True)
class Splits:
    """Raw examples for training, for choosing a model, and for the final score; each with a known cardinality."""

    train: tf.data.Dataset | None = None
    validation: tf.data.Dataset | None = None
    test: tf.data.Dataset | None = None

    def split(self, name: str) -> tf.data.Dataset:
        """Returns one part by name, or with `all` those that exist, one after the other.

        Raises:
            UserError: if there is no such part.
        """
        there = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        there = {part: examples for part, examples in there.items() if examples is not None}
        if name == "all" and there:
            first, *rest = there.values()
            for examples in rest:
                first = first.concatenate(examples)
            return first
        if name not in there:
            raise UserError(f"the data has no split {name!r}; choose one of {', '.join([*there, 'all'])}")
        return there[name]
