"""SolvedProblem: a problem with its solution, and the quantities that a report derives from them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families.base import Family
from flatmin.linalg.metric import svd_of_product
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.exact import Proof
from flatmin.report.vocabulary import Vocabulary, vocabulary_of
from flatmin.solution import Solution

__all__ = ["LARGEST_TRUTH", "SolvedProblem"]

#: The singular values of the true matrix are computed if its smaller dimension is at most this.
LARGEST_TRUTH = 600
#: Number of rows of X that are compared with the true matrix at a time, so that little memory is needed.
STRIP_ROWS = 500


@dataclass(frozen=True, eq=False)
class SolvedProblem:
    """A problem, its solution, and how a report shows them. No derived quantity forms a matrix of the size of X."""

    family: Family
    problem: Problem
    solution: Solution
    #: The fields of ``summary.json``; a field that does not apply is None.
    summary: dict[str, Any]
    #: The true matrix (d1, d2), or the true signal in phase retrieval; None if it is unknown or its shape does not fit.
    truth: Array | None = None
    #: The command that repeats the solve.
    command: str = ""
    input_name: str = ""
    #: How the unknown is shown: "matrix", "table", "image" or "frames".
    kind: str = "matrix"
    #: The recovered and the observed image, (h, w) or (h, w, c), from 0 to 1; missing pixels are NaN.
    image: Array | None = None
    observed_image: Array | None = None
    row_labels: list[str] | None = None
    column_labels: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    #: A function from a matrix (d1, d2) with values from 0 to 1 to an image with the shape of ``image``; NaN is kept.
    picture: Callable[[Array], Array | None] | None = None
    #: The exact proof in the directory of the report, if one was asked for.
    proof: Proof | None = None

    def __post_init__(self) -> None:
        truth, check = self.truth, self.family.check_truth
        if truth is not None and check is not None:
            truth = check(truth, self.problem)
        elif truth is not None and truth.shape != self.problem.shape:
            truth = None
        object.__setattr__(self, "truth", truth)

    @property
    def certificate(self) -> Certificate:
        """The certificate of the solution."""
        return self.solution.checked_certificate

    @property
    def labels(self) -> tuple[list[str] | None, list[str] | None]:
        """The names of rows and of columns."""
        return self.row_labels, self.column_labels

    @property
    def power(self) -> float:
        """The metric power: 1 is the flat norm."""
        return float(self.solution.settings.get("metric_power", 1.0))

    @property
    def is_complex(self) -> bool:
        """Whether the measurements, and with them the unknown, are complex."""
        return bool(np.issubdtype(self.problem.measurement.dtype, np.complexfloating))

    @cached_property
    def terms(self) -> Vocabulary:
        """The words for this model."""
        return vocabulary_of(self.problem, self.certificate, self.power)

    @cached_property
    def pair(self) -> tuple[Array, Array]:
        """Factors (P, Q) with ``X = P Q*``."""
        return self.solution.parametrization.pair(self.solution.factors)

    @cached_property
    def size(self) -> float:
        """The Frobenius norm ``‖X‖_F``."""
        return float(np.linalg.norm(svd_of_product(*self.pair)[1]))

    @cached_property
    def free(self) -> int:
        """The degrees of freedom of matrices of this kind and rank."""
        cone = self.solution.parametrization.cone
        return cone.degrees_of_freedom(self.problem.shape, self.solution.rank, self.is_complex)

    @cached_property
    def errors(self) -> int:
        """The number of gross errors of robust PCA, 0 for other models."""
        return int(np.count_nonzero(self.solution.parts["sparse"])) if "sparse" in self.solution.parts else 0

    @cached_property
    def error(self) -> float | None:
        """The relative error against the truth, from the summary or computed."""
        given = self.summary.get("relative_error")
        if given is not None or self.truth is None:
            return None if given is None else float(given)
        if self.truth.shape != self.problem.shape:
            return float(self.family.relative_error(self.problem, self.solution, self.truth))
        P, Q = self.pair
        strips = [slice(i, i + STRIP_ROWS) for i in range(0, len(P), STRIP_ROWS)]
        squares = [np.sum(np.abs(P[strip] @ Q.conj().T - self.truth[strip]) ** 2) for strip in strips]
        size, difference = float(np.linalg.norm(self.truth)), math.sqrt(float(np.sum(squares)))
        return difference / size if size else difference

    @cached_property
    def distance(self) -> float | None:
        """The relative distance to the alternative solution of the certificate, if there is one."""
        other = self.certificate.alternative
        if other is None:
            return None
        (P, Q), (P2, Q2) = self.pair, self.solution.parametrization.pair(other)
        apart = float(np.linalg.norm(svd_of_product(np.hstack([P, P2]), np.hstack([Q, -Q2]))[1]))
        return apart / self.size if self.size else apart

    @cached_property
    def truth_values(self) -> Array | None:
        """The nonzero singular values of the whitened true matrix; None if it is unknown or too large."""
        truth, (D1, D2) = self.truth, self.problem.metric
        if self.power != 1:
            D1, D2 = D1.tempered(self.power), D2.tempered(self.power)
        if truth is None or (truth.ndim > 1 and min(truth.shape) > LARGEST_TRUTH):
            return None
        if truth.ndim == 1:
            values = np.atleast_1d(np.linalg.norm(D1 @ truth) * np.linalg.norm(D2 @ truth))
        else:
            values = np.linalg.svd(D1 @ truth @ D2, compute_uv=False)
        return np.asarray(values[values > 1e-10 * max(values[0], 1e-300)])
