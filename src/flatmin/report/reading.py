"""What a report reads off a solution: each quantity once, and none that needs a matrix too large to form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import svd_of_product
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.report.voices import Voice, voice_of
from flatmin.solution import Solution

if TYPE_CHECKING:
    from flatmin.report.context import ReportContext

__all__ = ["LARGEST_TRUTH", "Reading"]

#: The singular values of the truth are computed up to this smaller dimension.
LARGEST_TRUTH = 600
#: Rows of the matrix that are compared with the truth at a time.
STRIP = 500


@dataclass(frozen=True, eq=False)
class Reading:
    """A report's context, and what follows from it.

    Parameters
    ----------
    context : ReportContext
        What the report is made of.
    """

    context: ReportContext

    @property
    def problem(self) -> Problem:
        """What was solved."""
        return self.context.problem

    @property
    def solution(self) -> Solution:
        """What came out."""
        return self.context.solution

    @property
    def certificate(self) -> Certificate:
        """What is proved about it."""
        return self.context.solution.certificate

    @property
    def power(self) -> float:
        """The metric power: 1 is the flat norm."""
        return float(self.solution.settings.get("metric_power", 1.0))

    @property
    def is_complex(self) -> bool:
        """Whether the measurements, and with them the unknown, are complex."""
        return bool(np.issubdtype(self.problem.measurement.dtype, np.complexfloating))

    @cached_property
    def voice(self) -> Voice:
        """How the model is spoken of."""
        return voice_of(self.problem, self.certificate, self.power)

    @cached_property
    def pair(self) -> tuple[Array, Array]:
        """Factors (P, Q) with ``X = P Q*``."""
        return self.solution.parametrization.pair(self.solution.factors)

    @cached_property
    def size(self) -> float:
        """``‖X‖_F``."""
        return float(np.linalg.norm(svd_of_product(*self.pair)[1]))

    @cached_property
    def free(self) -> int:
        """The degrees of freedom of matrices of this kind and rank."""
        cone = self.solution.parametrization.cone
        return cone.degrees_of_freedom(self.problem.shape, self.solution.rank, self.is_complex)

    @cached_property
    def errors(self) -> int:
        """How many gross errors a split has."""
        return int(np.count_nonzero(self.solution.parts["sparse"])) if "sparse" in self.solution.parts else 0

    @cached_property
    def truth(self) -> Array | None:
        """What is behind the data, checked: a matrix, or the signal of phase retrieval; None if it does not fit."""
        truth, check = self.context.truth, self.context.family.check_truth
        if truth is None or check is not None:
            return None if truth is None or check is None else check(truth, self.problem)
        return truth if truth.shape == self.problem.shape else None

    @cached_property
    def error(self) -> float | None:
        """The relative error against the truth, from the summary or computed."""
        given = self.context.summary.get("relative_error")
        if given is not None or self.truth is None:
            return None if given is None else float(given)
        if self.truth.shape != self.problem.shape:
            return float(self.context.family.relative_error(self.problem, self.solution, self.truth))
        P, Q = self.pair
        strips = [slice(i, i + STRIP) for i in range(0, len(P), STRIP)]
        squares = [np.sum(np.abs(P[strip] @ Q.conj().T - self.truth[strip]) ** 2) for strip in strips]
        size, difference = float(np.linalg.norm(self.truth)), math.sqrt(float(np.sum(squares)))
        return difference / size if size else difference

    @cached_property
    def distance(self) -> float | None:
        """How far the other solution is, relatively, where one is in hand."""
        other = self.certificate.alternative
        if other is None:
            return None
        (P, Q), (P2, Q2) = self.pair, self.solution.parametrization.pair(other)
        apart = float(np.linalg.norm(svd_of_product(np.hstack([P, P2]), np.hstack([Q, -Q2]))[1]))
        return apart / self.size if self.size else apart

    @cached_property
    def truth_values(self) -> Array | None:
        """The singular values of the whitened truth, as far as they can be had, without zeros."""
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
