"""Options that several commands share: the problem's file, and messages that name the option that was typed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from flatmin import families
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.case import Case, read_case
from flatmin.problem import Problem

__all__ = ["ProblemFile", "exclusive", "in_options", "pair", "whole_numbers", "with_loss"]

#: What the library calls an argument, where that is not the option's name.
RENAMED = {"the number of measurements": "--measurements", "the number of masks": "--masks"}
#: What is expected of options that are numbers with commas between them.
EXPECTED = {"shape": "two positive whole numbers such as 30,20", "rank": "a whole number, or two such as 2,1"}


@dataclass(frozen=True)
class ProblemFile:
    """The problem that a command is about, as typed.

    Attributes
    ----------
    family : str
        Name of the model.
    path, mask : Path or None
        The input, and an image that says which of its pixels are known.
    shape : str or None
        The shape of the unknown, "D1,D2".
    loss : dict
        Arguments of the loss, None where nothing was typed.
    """

    family: str
    path: Path
    mask: Path | None = None
    shape: str | None = None
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
    """Raise `InputError` if more than one of these options was typed; None stands for those that were not."""
    typed = [f"--{name}" for name, value in options.items() if value is not None]
    if len(typed) > 1:
        raise InputError(f"{' and '.join(typed)} exclude each other, expected one of them")


@contextmanager
def in_options(arguments: Iterable[str]) -> Iterator[None]:
    """Let an `InputError` about one of the library's arguments name the option that was typed."""
    try:
        yield
    except InputError as error:
        message = str(error)
        for name in arguments:
            if message.startswith(f"{name} is "):
                option = RENAMED.get(name, "--" + name.replace("_", "-"))
                raise InputError(option + message.removeprefix(name)) from error
        raise


def with_loss(problem: Problem, family: Family, arguments: Mapping[str, float | None]) -> Problem:
    """Return the problem with the arguments of its loss as they were typed, --weight or --tau of robust PCA."""
    typed = {name: value for name, value in arguments.items() if value is not None}
    known = {f.name for f in fields(problem.loss)}
    for name in typed:
        if name not in known:
            raise InputError(f"--{name} goes with robust-pca, found {family.name}")
    exclusive(**typed)
    with in_options(typed):
        return replace(problem, loss=type(problem.loss)(**typed)) if typed else problem
