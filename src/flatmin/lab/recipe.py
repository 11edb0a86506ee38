"""What a recipe is: a claim, and the experiment that would refute it.

A recipe is a grid of cells times repetitions. A cell is a pure function of its parameters and a seed. To add a recipe,
write a file in ``recipes/``, named as the recipe with underscores, whose docstring has a paragraph that begins with
``Claim:`` and one that begins with ``Refuted by:``. It defines ``RECIPE = Recipe(...)`` and is found by itself.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.claim import Claim
from flatmin.lab.source import digest_of
from flatmin.lab.transition import Transition

if TYPE_CHECKING:
    from flatmin.lab.displays import Display
    from flatmin.lab.evidence import Evidence

__all__ = ["Block", "Metrics", "Parameters", "Recipe", "Trial", "Value", "key_of"]

Value = str | int | float | bool
Parameters = Mapping[str, Value]
Metrics = dict[str, Any]
#: Values of each parameter; all combinations are cells.
Block = Mapping[str, Sequence[Value]]

#: Seeds are whole numbers of this many bits: two draws of one cell never share one, and databases can hold them.
SEED_BITS = 48
#: Names of the other columns of an exported sweep.
RESERVED = frozenset({"recipe", "repetition", "seed", "status", "reason", "seconds"})


def key_of(parameters: Parameters) -> str:
    """Return a text that is the same for the same parameters, in whatever order.

    Examples
    --------
    >>> key_of({"m": 20, "d": 4})
    '{"d":4,"m":20}'
    """
    return json.dumps(dict(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True)
class Trial:
    """One repetition of one cell, to be made.

    Attributes
    ----------
    parameters : dict
        Of the cell.
    repetition : int
        Which one, from 0.
    seed : int
        What is random in it comes from this.
    """

    parameters: Parameters
    repetition: int
    seed: int

    @cached_property
    def key(self) -> tuple[str, int]:
        """What names the trial within one version of a recipe."""
        return key_of(self.parameters), self.seed


def _as_it_is(parameters: Parameters) -> Parameters | None:
    """Return the combination itself."""
    return parameters


def _nothing(evidence: Evidence) -> list[Any]:
    """Return no claims, or no figures."""
    return []


@dataclass(frozen=True)
class Recipe:
    """A claim and the experiment that would refute it.

    Parameters
    ----------
    name : str
        What it is called on the command line.
    about : str
        What the experiment is, in the first line; a paragraph that begins with ``Claim:``, and one that begins with
        ``Refuted by:``. Most often the docstring of the file.
    cell : callable
        ``cell(parameters, seed) -> dict`` of numbers, words and truth values. A pure function at the top level of a
        module: the same arguments give the same metrics, on every machine, but for rounding.
    grid : sequence of mappings
        Blocks, each with the values of every parameter. All combinations within a block are cells.
    repetitions : int
        Of each cell, with different seeds.
    quick : mapping
        What is different in the quick version: ``grid`` and ``repetitions``.
    resolve : callable
        ``resolve(parameters)`` returns the parameters of the cell that a combination stands for, or None where there is
        no such cell. It turns a multiple of the degrees of freedom into a number of measurements.
    paired : tuple of str
        Parameters that the seed does not depend on: methods that are compared on the same random instances.
    seed : int
        Another one gives other draws.
    transition : Transition or None
        Where success turns to failure, for phase maps: an adaptive sweep spends its repetitions there.
    needs : str or None
        A module that the cell imports and a plain installation lacks; flatmin's extra of the same name installs it.
    judge : callable
        ``judge(evidence)`` returns the claim as a list of `Claim`, each a sentence about one number and the interval
        that decides it. It takes any part of the grid; what cannot be told from it stays open.
    show : callable
        ``show(evidence)`` returns the figures as a list of displays (`flatmin.lab.displays`).

    Raises
    ------
    InputError
        If one of these is not as described.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3")
    >>> recipe.claim.startswith("Flat minima"), recipe.quickly().repetitions < recipe.repetitions
    (True, True)
    """

    name: str
    about: str
    cell: Callable[[Parameters, int], Metrics]
    grid: Sequence[Block]
    repetitions: int = 10
    quick: Mapping[str, Any] = field(default_factory=dict)
    resolve: Callable[[Parameters], Parameters | None] = _as_it_is
    paired: tuple[str, ...] = ()
    seed: int = 0
    transition: Transition | None = None
    needs: str | None = None
    judge: Callable[[Evidence], Sequence[Claim]] = _nothing
    show: Callable[[Evidence], Sequence[Display]] = _nothing

    def __post_init__(self) -> None:
        for name in ("repetitions", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < (name == "repetitions"):
                least = int(name == "repetitions")
                raise InputError(f"{name} is {value!r}, expected a whole number of at least {least}")
        for block in self.grid:
            _check_block(block)
        if set(self.quick) - {"grid", "repetitions"}:
            raise InputError(f"quick has {sorted(self.quick)}, expected grid and repetitions")
        for heading in ("Claim", "Refuted by"):
            self._paragraph(heading)

    @property
    def title(self) -> str:
        """What the experiment is."""
        return self.about.strip().partition("\n")[0].rstrip(".")

    @property
    def claim(self) -> str:
        """What the experiment tests."""
        return self._paragraph("Claim")

    @property
    def refuted_by(self) -> str:
        """What would refute the claim."""
        return self._paragraph("Refuted by")

    @cached_property
    def version(self) -> str:
        """A digest of the code of the cell and the version of flatmin; results of another one are never mixed in.

        The grid, the repetitions and the seed are not part of it: a larger grid uses again what is there.
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
        drawn = key_of({name: value for name, value in parameters.items() if name not in self.paired})
        hashed = hashlib.sha256(f"{self.name}\n{self.seed}\n{drawn}\n{repetition}".encode()).digest()
        return Trial(parameters, repetition, int.from_bytes(hashed[: SEED_BITS // 8], "big"))

    def trials(self) -> Iterator[Trial]:
        """Give all trials: every cell once, in an order without a pattern, before any cell again.

        So an interrupted sweep is a complete one with fewer repetitions, and the time that it took predicts the rest.
        """
        for repetition in range(self.repetitions):
            trials = (self.trial(cell, repetition) for cell in self.cells)
            yield from sorted(trials, key=lambda trial: hashlib.sha256(repr(trial.key).encode()).digest())

    def quickly(self) -> Recipe:
        """Return the quick version."""
        if not self.quick:
            raise InputError(f"the recipe {self.name} has no quick version, expected it without --quick")
        return replace(self, **self.quick)

    def _paragraph(self, heading: str) -> str:
        found = re.search(rf"^\s*{heading}: *(.+?)(?:\n\s*\n|\Z)", self.about, re.MULTILINE | re.DOTALL)
        if found is None:
            raise InputError(f"the recipe {self.name} says nothing after {heading + ':'!r}, expected a paragraph")
        text = " ".join(found[1].split())
        return text[0].upper() + text[1:]


def _check_block(block: Block) -> None:
    for name, values in block.items():
        if name in RESERVED:
            raise InputError(
                f"a parameter is called {name!r}, expected another name than {', '.join(sorted(RESERVED))}"
            )
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            raise InputError(f"the grid has {name} = {values!r}, expected a list of values")
        for value in values:
            if not isinstance(value, Value) or value != value or value in (float("inf"), -float("inf")):
                raise InputError(f"the grid has {name} = {value!r}, expected words, finite numbers or truth values")
