"""The exceptions that stand for a mistake of the user's, not of the program's."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal


class UserError(ValueError):
    """Something the user can put right.

    The message is one line that says what is wrong, where, and what to do. The command line prints it and exits with
    status 2; from Python it is an ordinary `ValueError`.

    Args:
        message: what is quoted in it from files may hold anything.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


class RequestRefused(UserError):
    """A model's answer to a request that it can't take; the next request may be better."""


def printable(text: str) -> str:
    """The text on one line, without what a terminal would act on: names within archives may hold anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def brief(error: BaseException) -> str:
    """What an exception of somebody else's says, in short: some quote whole files."""
    text = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return shortened(text, 200)


def shortened(text: str, length: int) -> str:
    """The text, or its beginning where it has more characters than `length`."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def check_choices(owner: Any, function: Callable) -> None:
    """Raises UserError where an attribute is none of the values that the argument of its name may have.

    Args:
        owner: of attributes with the names of the function's arguments.
        function: whose arguments say by their types what they may be: `Literal`, or one with others or None.
    """
    for name, hint in typing.get_type_hints(function).items():
        known = _choices(hint)
        if known and name != "return" and getattr(owner, name) not in known:
            listed = ", ".join(str(each) for each in known if each is not None)
            raise UserError(f"{name} must be one of {listed}; received {getattr(owner, name)}")


def _choices(hint: Any) -> list[Any]:
    """The values of a type that lists them, None for itself; none of one that does not."""
    if hint is types.NoneType:
        return [None]
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        parts = [_choices(part) for part in typing.get_args(hint)]
        return sum(parts, []) if all(parts) else []
    return []


def check_range(owner: Any, names: Iterable[str], *, at_least: float, below: float = float("inf")) -> None:
    """Raises UserError where an attribute is less than `at_least`, or not `below`."""
    for name in names:
        check_number(name, getattr(owner, name), at_least=at_least, below=below)


def check_number(name: str, value: float, *, at_least: float, below: float = float("inf")) -> None:
    """Raises UserError where a number is less than `at_least`, or not `below`."""
    if not at_least <= value < below:
        upper = "" if below == float("inf") else f" and below {below:g}"
        raise UserError(f"{name} must be at least {at_least:g}{upper}; received {value}")
