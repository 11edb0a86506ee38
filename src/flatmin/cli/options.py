"""Options that several commands share, and errors that name the option instead of the library's argument."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from flatmin import families
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case, read_case
from flatmin.problem import Problem

__all__ = [
    "ProblemFile",
    "check_confidence",
    "clip_bounds",
    "exclude_model",
    "exclusive",
    "in_options",
    "option_name",
    "pair",
    "whole_numbers",
    "with_loss",
]

#: Options whose names differ from those of the library's arguments.
RENAMED = {"the number of measurements": "--measurements", "the number of masks": "--masks"}
#: What errors say about the expected form of options that are numbers separated by commas.
EXPECTED = {"shape": "two positive whole numbers such as 30,20", "rank": "a whole number, or two such as 2,1"}


@dataclass(frozen=True)
class ProblemFile:
    """The options that define the problem of a command."""

    family: str
    path: Path
    #: An image that shows which pixels of the input are known.
    mask: Path | None = None
    #: The shape of the unknown, as "D1,D2".
    shape: str | None = None
    #: Arguments of the loss; None for an option that was not typed.
    loss: Mapping[str, float | None] = field(default_factory=dict)

    def read(self) -> tuple[Family, Case]:
        """Return the family and the problem, or raise `InputError`."""
        family = families.find(self.family)
        case = read_case(family, self.path, self.mask, None if self.shape is None else pair("shape", self.shape))
        return family, replace(case, problem=with_loss(case.problem, family, self.loss))


def pair(name: str, text: str) -> tuple[int, int]:
    """Return the two numbers of an option such as "30,20"."""
    numbers = whole_numbers(name, text)
    if len(numbers) != 2:
        raise InputError(f"--{name} is {text!r}, expected {EXPECTED['shape']}")
    return numbers[0], numbers[1]


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the numbers of an option such as "2,1"."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--{name} is {text!r}, expected {EXPECTED[name]}") from error


def exclusive(**options: object) -> None:
    """Raise `InputError` if more than one of these options was typed, that is, is not None."""
    typed = [f"--{name}" for name, value in options.items() if value is not None]
    if len(typed) > 1:
        raise InputError(f"{' and '.join(typed)} exclude each other, expected one of them")


def check_confidence(confidence: float) -> None:
    """Raise `InputError` if --confidence is not a share of values."""
    if not 0 < confidence < 1:
        raise InputError(f"--confidence is {confidence:g}, expected a number between 0 and 1, such as 0.9")


def exclude_model(model: Path | None, fit: Mapping[str, object]) -> None:
    """Raise `InputError` if options of a fit were typed together with the model of an earlier fit."""
    typed = [f"--{name}" for name, value in fit.items() if value is not None]
    if model is not None and typed:
        raise InputError(f"{typed[0]} and --model exclude each other: the model was fitted before")


def clip_bounds(text: str | None, open_ended: bool = False) -> tuple[float, float] | None:
    """Return the bounds of --clip; None if it is "observed" or was not typed.

    If ``open_ended``, one of the bounds may be left out.
    """
    if text in (None, "observed"):
        return None
    sides, missing = str(text).split(","), ("-inf", "inf") if open_ended else ("nan", "nan")
    try:
        low, high = (float(side or open_) for side, open_ in zip(sides, missing, strict=True))
    except ValueError:
        low = high = math.nan
    if not low < high or not (open_ended or math.isfinite(low - high)):
        example = "0,100 (one may be left out)" if open_ended else "1,5"
        raise InputError(f"--clip is {text!r}, expected LO,HI such as {example}, or observed")
    return low, high


@contextmanager
def in_options(arguments: Iterable[str]) -> Iterator[None]:
    """Reword an `InputError` about an argument of the library so that it names the option."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for name in arguments:
            if message.startswith(f"{name} is "):
                raise InputError(option_name(name) + message.removeprefix(name)) from error
        raise


def option_name(argument: str) -> str:
    """Return the option for an argument of the library, such as "--metric-power"."""
    return RENAMED.get(argument, "--" + argument.replace("_", "-"))


def with_loss(problem: Problem, family: Family, arguments: Mapping[str, float | None]) -> Problem:
    """Return the problem with the arguments of its loss that were typed: --weight or --tau of robust PCA."""
    typed = {name: value for name, value in arguments.items() if value is not None}
    known = {f.name for f in fields(problem.loss)}
    for name in typed:
        if name not in known:
            raise InputError(f"--{name} is for robust-pca, found {family.name}")
    exclusive(**typed)
    with in_options(typed):
        return replace(problem, loss=type(problem.loss)(**typed)) if typed else problem
