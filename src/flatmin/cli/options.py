"""Options that several commands share, and errors that name the option instead of the library's argument."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from flatmin import families
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case, read_case
from flatmin.problem import Problem

__all__ = ["ProblemFile", "exclusive", "in_options", "option_name", "pair", "whole_numbers", "with_loss"]

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
