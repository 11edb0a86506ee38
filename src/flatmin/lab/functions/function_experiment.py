"""The evaluations of a user's function over a grid of two parameters, as an experiment."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.displays.levels import is_number
from flatmin.lab.runs.experiment import Experiment, Metrics, Parameters
from flatmin.lab.runs.source import digest_of

__all__ = ["VALUE", "FunctionExperiment"]

#: The metric that holds the value of the function.
VALUE = "value"
#: Seeds of the function are below this number, because older random generators accept no larger ones.
SEEDS = 2**32


@dataclass(frozen=True)
class _Cell:
    """The function as a cell of an experiment."""

    function: Callable[..., Any]

    def __call__(self, parameters: Parameters, seed: int) -> Metrics:
        return {VALUE: self.function(**parameters, seed=seed % SEEDS)}


@dataclass(frozen=True)
class FunctionExperiment(Experiment):
    """The evaluations of a function. Without a store (``kept``) its code needs no digest and may stand anywhere."""

    kept: bool = False

    @cached_property
    def version(self) -> str:
        """A digest of the function's code and flatmin's version."""
        if not self.kept:
            return "in memory"
        function = self.cell.function  # type: ignore[attr-defined]  # the cell is a `_Cell`
        try:
            return hashlib.sha256(f"{self.name}\n{digest_of(function)}\n{__version__}".encode()).hexdigest()[:16]
        except InputError as error:
            raise InputError(
                f"the function is {function!r}, expected one at the top level of a module if there is a store, which "
                "tells results of different code apart"
            ) from error

    @classmethod
    def from_function(cls, function: Any, grid: Any, repetitions: int, seed: int, title: str, kept: bool) -> Self:
        """Return the experiment of a function, or raise `InputError` if function and grid do not go together."""
        if not isinstance(grid, Mapping) or len(grid) != 2:
            found = f"{len(grid)} parameters" if isinstance(grid, Mapping) else f"a {type(grid).__name__}"
            raise InputError(f"the grid is {found}, expected a mapping of two parameters to their values")
        block = {str(name): _plain(values) for name, values in grid.items()}
        along = list(block)[1]
        if isinstance(block[along], list) and not all(is_number(value) for value in block[along]):
            raise InputError(f"the second parameter {along!r} has values that are no numbers; put it first in the grid")
        try:
            inspect.signature(function).bind(**dict.fromkeys(block), seed=0)
        except TypeError as error:
            names = ", ".join([*block, "seed"])
            raise InputError(f"the function cannot be called with the keywords {names}: {error}") from error
        name = getattr(function, "__name__", type(function).__name__).strip("<>")
        described = inspect.getdoc(function) if inspect.isfunction(function) else None
        about = title or (described or name).partition("\n")[0]
        return cls(name, about, _Cell(function), [block], repetitions, seed=seed, kept=kept)


def _plain(values: Any) -> Any:
    """Return the values of a parameter as a list of Python numbers and words; others are left to `Experiment`."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        return values
    return [value.item() if hasattr(value, "item") else value for value in values]
