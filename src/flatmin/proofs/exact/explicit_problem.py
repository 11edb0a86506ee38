"""ExplicitProblem: the numbers of a problem as an exact proof states them, and the file that holds them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.progress import spoken
from flatmin.errors import InputError
from flatmin.measurements import CodedDiffraction, Dense, Entries, RankOne
from flatmin.problem import Problem

__all__ = ["LARGEST_ORDER", "ExplicitProblem"]

#: The largest d1 + d2 for which a proof is attempted.
LARGEST_ORDER = 5000


@dataclass(frozen=True, eq=False)
class ExplicitProblem:
    """A problem whose sensing matrices are explicit floating-point numbers, with the parameters of its objective.

    ``kind`` says how the sensing matrices are stored: "dense", "vectors", "entries", or "cells" for robust PCA.
    ``transformed`` is true if the vectors are those of a Fourier transform, rounded to floating point.
    """

    problem: Problem
    kind: str
    alpha: float
    metric_power: float
    transformed: bool = False

    @classmethod
    def from_problem(cls, problem: Problem, alpha: float = 0.0, metric_power: float = 1.0) -> ExplicitProblem:
        """Return the explicit problem, or raise `InputError` if the checker has no theorem for it."""
        if not problem.parametrization.has_cone_norm:
            raise InputError(
                f"a proof was asked for {problem.parametrization!r}, expected Product, Gram or SignedGram: the powers "
                "2 − 2/N in the flatness of deeper models are irrational numbers"
            )
        if metric_power not in (0, 1):
            raise InputError(
                f"a proof was asked for metric_power {metric_power!r}, expected 0 or 1: other powers of the metric are "
                "irrational numbers"
            )
        _check_size(problem)
        measurement, transformed = problem.measurement, False
        if isinstance(measurement, CodedDiffraction):
            require(32.0 * measurement.size * measurement.shape[0], "the explicit vectors of coded diffraction")
            problem, transformed = replace(problem, measurement=RankOne(measurement.vectors())), True
        robust = problem.loss.has_gross_errors
        if robust and (alpha > 0 or problem.loss.weight_for(problem.shape) is None):  # type: ignore[union-attr]
            raise InputError("a proof was asked for robust PCA with dense noise or tau, expected a weight and alpha 0")
        return cls(problem, "cells" if robust else _kind(problem), float(alpha), float(metric_power), transformed)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d1, d2) of the unknown matrix."""
        return self.problem.shape

    @property
    def cone(self) -> str:
        """The matrices of the model: "rectangular", "semidefinite" or "symmetric"."""
        cone = self.problem.parametrization.cone
        return "semidefinite" if cone.is_semidefinite else "symmetric" if cone.is_hermitian else "rectangular"

    @property
    def objective(self) -> str:
        """What is minimised: "interpolating", "penalised" or "robust"."""
        return "robust" if self.kind == "cells" else "penalised" if self.alpha > 0 else "interpolating"

    @property
    def weight(self) -> float | None:
        """The cost of a unit of gross error, None without gross errors."""
        if self.kind != "cells":
            return None
        return self.problem.loss.weight_for(self.shape)  # type: ignore[union-attr]

    @property
    def is_complex(self) -> bool:
        """Whether the sensing matrices are complex."""
        return bool(np.issubdtype(self.problem.measurement.dtype, np.complexfloating))

    @property
    def trace_is_determined(self) -> bool:
        """Whether all positive semidefinite fits have the same trace."""
        return self.cone == "semidefinite" and self.kind == "vectors" and self.metric_power == 1

    @property
    def model(self) -> dict[str, object]:
        """The description of the model in the file of a proof."""
        return {
            "family": None,
            "measurement": self.kind,
            "cone": self.cone,
            "complex": self.is_complex,
            "metric_power": int(self.metric_power),
            "objective": self.objective,
            "alpha": self.alpha.hex() if self.objective == "penalised" else None,
            "weight": None if self.weight is None else self.weight.hex(),
        }

    @cached_property
    def squares(self) -> tuple[Array, Array]:
        """The squared metrics (G1, G2), rounded; each as a matrix or, if it is diagonal, as its diagonal."""
        if self.kind == "cells":
            return np.ones(self.shape[0]), np.ones(self.shape[1])
        measurement, (d1, d2) = self.problem.measurement, self.shape
        rows, cols = measurement.gram_diagonals()
        if self.cone != "rectangular":
            rows = cols = rows / measurement.size
        else:
            rows, cols = rows / (measurement.size * d2), cols / (measurement.size * d1)
        if self.metric_power == 1:
            return rows, cols
        means = (float(np.mean(G if G.ndim == 1 else np.diagonal(G).real)) for G in (rows, cols))
        return next(means) * np.ones(d1), next(means) * np.ones(d2)

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        """The arrays of the file of the instance."""
        measurement, data = self.problem.measurement, self.problem.data
        if isinstance(measurement, Dense):
            return {"A": measurement.tensor, "b": data}
        if isinstance(measurement, RankOne):
            right = {"right": measurement.right} if self.cone == "rectangular" else {}
            return {"left": measurement.left, **right, "b": data}
        assert isinstance(measurement, Entries)
        if self.kind == "cells":
            Y = np.full(self.shape, np.nan)
            Y[measurement.rows, measurement.cols] = data
            return {"Y": Y}
        weights = {} if measurement.weights is None else {"weights": measurement.weights}
        rows, cols = measurement.rows.astype(np.int64), measurement.cols.astype(np.int64)
        return {"rows": rows, "cols": cols, "shape": np.array(self.shape), **weights, "b": data}

    @cached_property
    def file(self) -> bytes:
        """The bytes of the file of the instance, which depend on its numbers alone."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in self.arrays.items():
                part = io.BytesIO()
                np.lib.format.write_array(part, np.ascontiguousarray(array), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
        return stream.getvalue()

    @cached_property
    def sha256(self) -> str:
        """The hash that pins the file of the instance."""
        return sha256(self.file).hexdigest()


def _kind(problem: Problem) -> str:
    """Return how the sensing matrices are stored, or raise `InputError`."""
    measurement = problem.measurement
    kinds = {"dense": Dense, "vectors": RankOne, "entries": Entries}
    kind = next((kind for kind, expected in kinds.items() if isinstance(measurement, expected)), None)
    if kind is None:
        raise InputError(
            f"a proof was asked for {measurement!r}, expected Dense, RankOne, Entries or CodedDiffraction: only their "
            "sensing matrices are given as numbers"
        )
    hermitian = problem.parametrization.cone.is_hermitian
    if hermitian and kind == "entries":
        raise InputError(f"a proof was asked for entries of {problem.parametrization!r}, expected Dense or RankOne")
    if hermitian and isinstance(measurement, RankOne) and not measurement.is_rank_one:
        raise InputError("a proof was asked for vectors x y* of a symmetric model, expected x x*")
    if isinstance(measurement, Dense) and np.iscomplexobj(measurement.tensor):
        raise InputError("the sensing matrices are complex, expected real ones or RankOne vectors for a proof")
    if hermitian and isinstance(measurement, Dense):
        turned = measurement.tensor.transpose(0, 2, 1).conj()
        if not np.array_equal(turned, measurement.tensor):
            raise InputError("the sensing matrices are not exactly symmetric, expected A_i = A_i*; use (A_i + A_i*)/2")
    return kind


def _check_size(problem: Problem) -> None:
    """Raise `InputError` with an estimate of time and memory if a proof would be too large."""
    n = sum(problem.shape)
    if n > LARGEST_ORDER:
        time, gigabytes = spoken((n / 2000) ** 3 * 8), 20.0 * n**2 / 1e9
        raise InputError(
            f"d1 + d2 is {n}, expected at most {LARGEST_ORDER} for a proof: its check would take about {time} "
            f"and {gigabytes:.2g} GB"
        )
