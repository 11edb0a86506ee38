"""Experiment: a grid of parameters, and a cell, which is a pure function of parameters and a seed."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.runs.source import digest_of

__all__ = ["Block", "Cell", "Experiment", "Metrics", "Parameters", "Transition", "Trial", "Value", "as_lists", "key_of"]

Value = str | int | float | bool
Parameters = Mapping[str, Value]
#: The result of a cell: numbers, words, truth values, None, or lists of numbers such as curves, by name. Bytes are the
#: content of a file that the store keeps with the trial; results, tables and reports are without them.
Metrics = dict[str, Any]
Cell = Callable[[Parameters, int], Metrics]
#: The values of each parameter; every combination is a cell.
Block = Mapping[str, Sequence[Value]]

#: Number of bits of a seed: enough for different seeds of all draws of a cell, and few enough for a database column.
SEED_BITS = 48
#: Names that a parameter may not have, because an exported table has columns of these names.
RESERVED = frozenset({"recipe", "repetition", "seed", "status", "reason", "seconds"})


def key_of(parameters: Parameters) -> str:
    """Return a text that identifies parameters; their order does not matter."""
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_lists(rows: Sequence[Mapping[str, Any]]) -> Metrics:
    """Return several measurements of one cell as lists of numbers or words, with None for missing entries.

    Examples
    --------
    >>> as_lists([{"scale": 1, "trace": 2.0}, {"scale": 64}])
    {'scale': [1, 64], 'trace': [2.0, None]}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


@dataclass(frozen=True)
class Trial:
    """One repetition of a cell: its parameters, the number of the repetition from 0, and the seed of all randomness.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> trial = next(recipe.trials())
    >>> trial.repetition, sorted(trial.parameters)
    (0, ['d', 'm', 'method', 'panel', 'rank'])
    """

    parameters: Parameters
    repetition: int
    seed: int

    @cached_property
    def key(self) -> tuple[str, int]:
        """The identity of the trial within one version of an experiment."""
        return key_of(self.parameters), self.seed


@dataclass(frozen=True)
class Transition:
    """A transition from failure to success as one parameter grows while all other parameters are fixed.

    ``parameter`` is the name of that parameter, such as the number of measurements. ``success`` is the metric that is
    true if a trial succeeded. ``scale(parameters)`` is the unit of the boundary, such as ``r (d1 + d2)``; it may depend
    on all other parameters. A ``falling`` transition goes from success to failure, as with more and more gross errors.

    Examples
    --------
    >>> transition = Transition("m", "success", lambda p: p["rank"] * (p["d1"] + p["d2"]))
    >>> transition.scale({"rank": 2, "d1": 10, "d2": 8})
    36
    """

    parameter: str
    success: str
    scale: Callable[[Mapping[str, Any]], float]
    falling: bool = False


def _identity(parameters: Parameters) -> Parameters | None:
    """Return the parameters unchanged."""
    return parameters


@dataclass(frozen=True)
class Experiment:
    """A function called the cell, a grid of parameters, and a number of repetitions.

    Parameters
    ----------
    name : str
        The name on the command line.
    about : str
        A description, whose first line is the title.
    cell : callable
        ``cell(parameters, seed) -> dict`` of numbers, words, truth values, lists of numbers, or bytes (see `Metrics`).
        A pure function at the top level of a module: equal arguments give equal metrics up to rounding, on every
        machine.
    grid : sequence of mappings
        Blocks, each with the values of every parameter. All combinations within a block are cells.
    repetitions : int
        Number of trials of each cell, with different seeds.
    quick : mapping
        The ``grid`` and ``repetitions`` of the quick version.
    resolve : callable
        ``resolve(parameters)`` returns the parameters of the cell for a combination, or None if there is no such cell.
        ``resolve`` turns a multiple of the degrees of freedom into a number of measurements, for example.
    paired : tuple of str
        Parameters that do not affect the seed, such as methods to be compared on the same random instances.
    seed : int
        The number from which all seeds are derived; another value gives other random draws.
    consecutive : bool
        Give repetition r of every cell the seed ``seed + r``, so that all cells see the same draws. Otherwise seeds are
        digests of the parameters that are not paired, and cells have independent draws.
    transition : Transition or None
        The transition that a phase map shows and an adaptive sweep locates.
    needs : str or None
        A module that the cell imports and a plain installation lacks; flatmin's extra of the same name installs it.

    Raises
    ------
    InputError
        If a parameter or the number of repetitions cannot be used.

    Examples
    --------
    >>> experiment = Experiment(
    ...     "coin", "How often a coin shows heads.", lambda parameters, seed: {"heads": seed % 2 == 0},
    ...     grid=[{"side": [1, 2]}], repetitions=3,
    ... )
    >>> len(experiment.cells), len(list(experiment.trials()))
    (2, 6)
    """

    name: str
    about: str
    cell: Cell
    grid: Sequence[Block]
    repetitions: int = 10
    quick: Mapping[str, Any] = field(default_factory=dict)
    resolve: Callable[[Parameters], Parameters | None] = _identity
    paired: tuple[str, ...] = ()
    seed: int = 0
    consecutive: bool = False
    transition: Transition | None = None
    needs: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("repetitions", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}, expected a whole number of at least {least}")
        for block in self.grid:
            _check_block(block)
        if set(self.quick) - {"grid", "repetitions"}:
            raise InputError(f"quick has {sorted(self.quick)}, expected grid and repetitions")

    @property
    def title(self) -> str:
        """The first line of the description."""
        return self.about.strip().partition("\n")[0].rstrip(".")

    @cached_property
    def version(self) -> str:
        """A digest of the cell's code and flatmin's version. Results of different versions are never mixed.

        Grid, repetitions and base seed are not part of it, so a larger grid reuses the results of a smaller one.
        """
        code = digest_of(self.cell)
        return hashlib.sha256(f"{self.name}\n{code}\n{__version__}".encode()).hexdigest()[:16]

    @cached_property
    def cells(self) -> tuple[Parameters, ...]:
        """The parameters of every cell, each once, in the order of the grid."""
        found: dict[str, Parameters] = {}
        for block in self.grid:
            for values in itertools.product(*block.values()):
                cell = self.resolve(dict(zip(block, values, strict=True)))
                if cell is not None:
                    found.setdefault(key_of(cell), cell)
        if not found:
            raise InputError(f"the grid of {self.name} has no cell, expected at least one")
        return tuple(found.values())

    @property
    def columns(self) -> list[str]:
        """The names of all parameters."""
        return list(dict.fromkeys(name for cell in self.cells for name in cell))

    def trial(self, parameters: Parameters, repetition: int) -> Trial:
        """Return a repetition of a cell, with its seed."""
        if self.consecutive:
            return Trial(parameters, repetition, self.seed + repetition)
        drawn = key_of({name: value for name, value in parameters.items() if name not in self.paired})
        hashed = hashlib.sha256(f"{self.name}\n{self.seed}\n{drawn}\n{repetition}".encode()).digest()
        return Trial(parameters, repetition, int.from_bytes(hashed[: SEED_BITS // 8], "big"))

    def trials(self) -> Iterator[Trial]:
        """Yield all trials: the first repetition of every cell in a scrambled order, then the second, and so on.

        So an interrupted sweep has about equally many trials of all cells, and its pace predicts the remaining time.
        """
        for repetition in range(self.repetitions):
            trials = (self.trial(cell, repetition) for cell in self.cells)
            yield from sorted(trials, key=lambda trial: hashlib.sha256(repr(trial.key).encode()).digest())

    def quickly(self) -> Self:
        """Return the quick version."""
        if not self.quick:
            raise InputError(f"the recipe {self.name} has no quick version, expected it without --quick")
        return replace(self, **self.quick)


def _check_block(block: Block) -> None:
    for name, values in block.items():
        if name in RESERVED:
            names = ", ".join(sorted(RESERVED))
            raise InputError(f"a parameter is called {name!r}, expected another name than {names}")
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InputError(f"the grid has {name} = {values!r}, expected a list of values")
        for value in values:
            if not isinstance(value, Value) or value != value or value in (float("inf"), -float("inf")):
                raise InputError(f"the grid has {name} = {value!r}, expected words, finite numbers or truth values")
