"""Solution: the result of every solver, with a status whose value is advice."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flatmin import parametrizations
from flatmin._core.arrays import Array
from flatmin._core.facts import as_html, as_text, rounded
from flatmin._core.files import atomic_path
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.parametrizations import Gram, Product
from flatmin.parametrizations.base import Factors, Parametrization
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.flatness import Flatness
from flatmin.proofs.radius import Stability

__all__ = ["FORMAT_VERSION", "Noise", "RecoveryError", "Solution", "Status"]

FORMAT_VERSION = 2

#: Largest number of entries of a matrix that is saved together with its factors.
LARGEST_SAVED_MATRIX = 4_000_000


class RecoveryError(RuntimeError):
    """Raised by `Solution.raise_if_failed`."""


class Status(Enum):
    """How a solve ended; the value of each status is its advice."""

    unique_flat_minimum = (
        "Certified: this is the flattest solution; any other solution this flat lies within about 1 % of it."
    )
    flat_minimum = (
        "Certified: no solution is flatter. Whether it is the only flattest one is undecided or false; "
        "more measurements would settle it."
    )
    regularized_minimum = "Certified: this minimises loss + alpha · scaled trace."
    low_rank_interpolant = (
        "Fits the data at the lowest rank found. That no lower rank fits is not proved; "
        "how far it is from flattest, its certificate says."
    )
    inconsistent_data = (
        "No matrix fits the data exactly, so this fits the nearest data that one fits; "
        "check repeated measurements, or set alpha > 0 to allow for noise."
    )
    not_certified = (
        "The solver stopped without a proof; compare relative_gap and relative_residual with what you need, "
        'raise max_rank if it was set, lower tol, or set stop="gap" if it was "objective".'
    )
    iteration_limit = "The iteration limit was reached; raise max_iter, loosen tol, or continue with warm_start."
    time_limit = "The time limit was reached; raise time_limit, loosen tol, or continue with warm_start."

    @property
    def certified(self) -> bool:
        """Whether the solution is proved to be what was asked for."""
        return self in (Status.unique_flat_minimum, Status.flat_minimum, Status.regularized_minimum)

    @property
    def succeeded(self) -> bool:
        """Whether the solver succeeded: certified, or of lowest rank, for which no proof is known."""
        return self.certified or self is Status.low_rank_interpolant


@dataclass(frozen=True, eq=False)
class Noise:
    """Estimates of the noise from ``flat_minimum(problem, alpha="auto")``.

    For the loss `Absolute` the threshold is divided by ``√m``, and the noise is that of the cells without gross errors.
    For `Hadamard` models rank and freedom are the size of the support.

    Attributes
    ----------
    sigma, std_error : float or None
        Standard deviation of the noise in one measurement, in the units of the data, from the residual of the refit and
        its degrees of freedom; and its standard error. None if matrices of this rank fit any data.
    alpha : float
        The alpha that the rule chose.
    threshold, unevenness : float
        The 95 % quantile of ``‖D1⁻¹ A*(g) D2⁻¹‖ / ‖g‖`` over random g, the effect of noise alone; and its ratio to the
        value for Gaussian noise, which exceeds 1 for heavy tails or uneven noise.
    refit : tuple of ndarray
        Factors of the least-squares fit at `rank`: without the bias of the penalty, and **not certified**, since
        least squares at a fixed rank may have local minima.
    rank, penalised_rank : int
        Rank of the refit, the smallest one near `penalised_rank` whose residual passes for noise; and that of the
        penalised solution.
    freedom : int
        Degrees of freedom of matrices of the refit's rank.
    selects : bool
        Whether the penalty selects a rank. It does not if the data determine the trace, where alpha is the effect of
        noise of the level of the refit's residual, nor if many gross errors enlarge its rank.
    """

    sigma: float | None
    std_error: float | None
    alpha: float
    threshold: float
    unevenness: float
    refit: Factors
    rank: int
    penalised_rank: int
    freedom: int
    selects: bool = True

    @property
    def agrees(self) -> bool:
        """Whether the penalty, if it selects a rank, agrees with the test of residuals."""
        return self.rank == self.penalised_rank or not self.selects

    def __repr__(self) -> str:
        return as_text("Noise", rounded(self.scalars()))

    def scalars(self) -> Mapping[str, Any]:
        """Return all but the factors."""
        return {name: value for name, value in vars(self).items() if name != "refit"}


@dataclass(frozen=True, eq=False)
class Solution:
    """The result of a solver.

    Attributes
    ----------
    factors : tuple of ndarray
        The flattest factors; for a product (L, R) of shapes (d1, rank) and (d2, rank).
    status : Status
        How the solve ended; ``status.value`` is advice.
    certificate : Certificate
        The proof, or its failure in numbers.
    flatness : Flatness
        The exact flatness of the factors.
    history : dict of str to ndarray
        One entry a round of the solver: ``iteration``, ``seconds``, ``residual``, ``gap``, ``rank``.
    seconds, iterations : float and int
        Time spent and Newton steps taken.
    undetermined : tuple of ndarray
        Rows and columns that no measurement sees; the solution is zero there.
    parametrization : Parametrization
        How the factors make the matrix.
    settings : dict
        The arguments that repeat the solve.
    parts : dict of str to ndarray
        Further parts of the solution, by name: "sparse" for robust PCA, "signal" for phase retrieval.
    noise : Noise or None
        The estimates of ``alpha="auto"``.
    """

    factors: tuple[Array, ...]
    status: Status
    certificate: Certificate
    flatness: Flatness
    history: Mapping[str, Array]
    seconds: float
    iterations: int
    undetermined: tuple[Array, Array]
    parametrization: Parametrization = field(default_factory=Product)
    settings: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Array] = field(default_factory=dict)
    noise: Noise | None = None

    def facts(self) -> dict[str, str]:
        """Return status, size and what is proved, as a few words for each part."""
        rows, columns = self.parametrization.pair(self.factors)
        kept = ("proved", "value", "lower bound", "residual", "unique", "radius")
        return {
            "status": f"{self.status.name}: {self.status.value}",
            "matrix": f"{len(rows)} × {len(columns)} of rank {self.rank}, made by {self.parametrization!r}",
            **{name: text for name, text in self.certificate.facts().items() if name in kept},
            "effort": f"{self.iterations} iterations, {self.seconds:.2g} s",
        }

    def __repr__(self) -> str:
        return as_text("Solution", self.facts())

    def _repr_html_(self) -> str:
        return as_html("Solution", self.facts())

    @property
    def rank(self) -> int:
        """The rank of the matrix."""
        return self.parametrization.width(self.factors)

    @property
    def signature(self) -> list[int] | None:
        """How many columns count positive and negative, ``[r₊, r₋]``, or None for models without signs."""
        return self.parametrization.signature(self.factors)

    @property
    def low_rank(self) -> Array:
        """The low-rank part of robust PCA: the recovered matrix."""
        return self.matrix

    @property
    def sparse(self) -> Array:
        """The gross errors of robust PCA, of the shape of the matrix; zero in missing cells."""
        return self._part("sparse", "robust PCA")

    @property
    def signal(self) -> Array:
        """The signal s behind X = s s*, or the largest part of X, up to a global phase; from files in its own shape."""
        if "signal" in self.parts or not isinstance(self.parametrization, Gram):
            return self._part("signal", "phase retrieval")
        U, sizes, _ = np.linalg.svd(self.factors[0], full_matrices=False)
        return U[:, 0] * sizes[0] if len(sizes) else np.zeros(len(U), U.dtype)

    @cached_property
    def matrix(self) -> Array:
        """The recovered matrix (d1, d2), formed when first asked for."""
        return self.parametrization.matrix(self.factors)

    def _part(self, name: str, model: str) -> Array:
        if name not in self.parts:
            raise InputError(f"the solution has no part {name!r}, expected one of {model}")
        return self.parts[name]

    def raise_if_failed(self) -> Solution:
        """Return the solution, or raise `RecoveryError` with the status's advice if the solver did not succeed."""
        if not self.status.succeeded:
            raise RecoveryError(f"{self.status.name}: {self.status.value}")
        return self

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of a solution file: factors, duals and, if small, the matrix."""
        out = dict(zip(self.parametrization.names, self.factors, strict=True))
        out["dual"] = self.certificate.dual
        if self.certificate.uniqueness_dual is not None:
            out["uniqueness_dual"] = self.certificate.uniqueness_dual
        if self.certificate.alternative is not None:
            names = (f"alternative_{name}" for name in self.parametrization.names)
            out |= dict(zip(names, self.certificate.alternative, strict=True))
        if self.noise is not None:
            out |= dict(zip((f"refit_{name}" for name in self.parametrization.names), self.noise.refit, strict=True))
        rows, columns = self.parametrization.pair(self.factors)
        if len(rows) * len(columns) <= LARGEST_SAVED_MATRIX:
            out["matrix"] = self.matrix
        return out | dict(self.parts)

    def save(self, file: str | Path) -> None:
        """Write the solution as an ``.npz`` file without pickle, whole or not at all, or raise `InputError`."""
        description = {
            "parametrization": type(self.parametrization).__name__,
            "parametrization_settings": vars(self.parametrization),
            "status": self.status.name,
            "certificate": self.certificate.scalars(),
            "stability": None if self.certificate.stability is None else vars(self.certificate.stability),
            "parts": list(self.parts),
            "noise": None if self.noise is None else self.noise.scalars(),
            "shape": [len(side) for side in self.parametrization.pair(self.factors)],
            "flatness": vars(self.flatness),
            "seconds": self.seconds,
            "iterations": self.iterations,
            "settings": dict(self.settings),
            "version": __version__,
        }
        contents: dict[str, Any] = {**self.arrays()}
        contents |= {f"history_{name}": np.asarray(values) for name, values in self.history.items()}
        contents |= dict(zip(("undetermined_rows", "undetermined_cols"), self.undetermined, strict=True))
        contents |= {"description": np.array(json.dumps(description)), "format_version": np.array(FORMAT_VERSION)}
        try:
            with atomic_path(Path(file)) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, **contents)
        except OSError as error:
            raise InputError(f"{file} cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, file: str | Path) -> Solution:
        """Read a solution written by `save`, or raise `InputError` if the file is missing, invalid or too new."""
        unreadable = (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
        try:
            with np.load(file, allow_pickle=False) as archive:
                data = dict(archive)
        except unreadable as error:
            raise InputError(
                f"{file} cannot be read as a solution, expected an .npz file of flatmin: {error}"
            ) from error
        try:
            version = int(data.get("format_version", -1))
            if version != FORMAT_VERSION:
                raise InputError(f"it has format version {version}, expected {FORMAT_VERSION}")
            return cls._from_arrays(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
            raise InputError(f"{file} is no solution saved by this version of flatmin: {reason}") from error

    @classmethod
    def _from_arrays(cls, data: Mapping[str, Array]) -> Solution:
        about = json.loads(str(data["description"]))
        parametrization = getattr(parametrizations, about["parametrization"])(**about["parametrization_settings"])
        factors = tuple(data[name] for name in parametrization.names)
        other, refit = (
            tuple(data[k] for k in (f"{prefix}_{name}" for name in parametrization.names) if k in data)
            for prefix in ("alternative", "refit")
        )
        return cls(
            factors=parametrization.check(factors, tuple(about["shape"])),
            status=Status[about["status"]],
            certificate=Certificate(
                dual=data["dual"],
                uniqueness_dual=data.get("uniqueness_dual"),
                alternative=other or None,
                stability=None if about["stability"] is None else Stability(**about["stability"]),
                **about["certificate"],
            ),
            flatness=Flatness(**about["flatness"]),
            history={k.removeprefix("history_"): v for k, v in data.items() if k.startswith("history_")},
            seconds=about["seconds"],
            iterations=about["iterations"],
            undetermined=(data["undetermined_rows"], data["undetermined_cols"]),
            parametrization=parametrization,
            settings=about["settings"],
            parts={name: data[name] for name in about["parts"]},
            noise=Noise(refit=refit, **about["noise"]) if about.get("noise") else None,
        )
