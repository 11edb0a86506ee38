"""Messages of the library in the words of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace

from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.problem import Problem

__all__ = ["exclusive", "in_options", "with_loss"]

#: What the library calls an argument, where that is not the option's name.
RENAMED = {"the number of measurements": "--measurements", "the number of masks": "--masks"}


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
