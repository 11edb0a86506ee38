"""Witness of a split ``Y = X + S``: a dual matrix with the entry ± weight at every gross error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements import Entries
from flatmin.parametrizations.base import Factors
from flatmin.proofs.exact.duals import aligned, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.integers import exact_fit
from flatmin.proofs.exact.point import PolishedPoint, polished
from flatmin.proofs.exact.strict_duals import outside_norm
from flatmin.proofs.exact.witness import CLAIMED, Witness

__all__ = ["robust_witness"]

#: Residuals below this share of the largest datum are not counted as gross errors.
NO_ERROR = 1e-8


@dataclass(frozen=True, eq=False)
class _Clean:
    """The problem of the observed cells without gross errors, and the mask (m,) of the cells with gross errors."""

    explicit: ExplicitProblem
    wrong: Array

    @classmethod
    def from_factors(cls, explicit: ExplicitProblem, factors: Factors) -> _Clean:
        """Return the cells that factors fit."""
        problem, A = explicit.problem, explicit.problem.measurement
        assert isinstance(A, Entries)
        wrong = np.abs(problem.residual(factors)) > NO_ERROR * float(np.max(np.abs(problem.data)))
        if wrong.all():
            return cls(explicit, np.zeros_like(wrong))
        cells = Entries(A.rows[~wrong], A.cols[~wrong], A.shape)
        clean = replace(problem, measurement=cells, data=problem.data[~wrong])
        return cls(replace(explicit, problem=clean), wrong)


def robust_witness(explicit: ExplicitProblem, given: Factors, dual: Array) -> Witness | None:
    """Return the witness for a split, None if its low-rank part is zero."""
    problem, clean = explicit.problem, _Clean.from_factors(explicit, given)
    A, wrong, weight = problem.measurement, clean.wrong, float(explicit.weight or 0.0)
    points = [polished(clean.explicit, given, moves=moves) for moves in (True, False)]
    point = min((p for p in points if p is not None), key=lambda point: _cost(explicit, point), default=None)
    if point is None:
        return None
    assert isinstance(A, Entries)
    tangent, whole = point.tangent, exact_fit(clean.explicit, point)
    factors = {"L": point.L, "C": point.C, "R": point.R} if whole is None else whole
    X = (factors["L"] @ factors["C"] @ factors["R"].T)[A.rows, A.cols]
    errors = np.where(wrong, problem.data - X, 0.0)
    fixed = weight * np.sign(errors)
    on_errors = np.zeros(A.shape)
    on_errors[A.rows, A.cols] = fixed
    P, Q = tangent.P, tangent.Q
    target = np.concatenate([P - on_errors @ Q, Q - on_errors.T @ P]).T.reshape(-1)
    near = fixed.copy()
    near[~wrong] = aligned(tangent, dual[~wrong], target)
    witness = Witness(
        point=factors,
        duals={"value": value_dual(explicit, candidates := [dual, near]), "uniqueness": near},
        constants={"core": CLAIMED * float(np.min(np.diagonal(point.C))), "g1": 1.0, "g2": 1.0},
        sparse=None if not wrong.any() else {"rows": A.rows[wrong], "cols": A.cols[wrong], "values": errors[wrong]},
        candidates=candidates,
    )
    kappa = CLAIMED * (weight - float(np.max(np.abs(near[~wrong]), initial=0.0)))
    delta = CLAIMED * (1 - outside_norm(A.adjoint_operator(near), P, Q))
    if min(kappa, delta) <= 0:
        witness.absent["B"] = "the dual matrix reaches a limit in further places, so other splits may be as good"
    elif tangent.obstacle:
        witness.absent["B"] = tangent.obstacle
    else:
        found = {"kappa": kappa, "delta": delta, "sigma2": tangent.injectivity * (1 - 1e-6), "gamma": tangent.penalty}
        witness.constants.update(found)
    return witness


def _cost(explicit: ExplicitProblem, point: PolishedPoint) -> float:
    """Return the cost of the split with this low-rank part."""
    problem, A = explicit.problem, explicit.problem.measurement
    assert isinstance(A, Entries)
    errors = problem.data - A.forward_factors(point.L @ point.C, point.R)
    return point.norm + float(explicit.weight or 0.0) * float(np.abs(errors).sum())
