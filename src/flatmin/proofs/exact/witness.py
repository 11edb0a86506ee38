"""Witness: the numbers from which the checker proves statements about a solution, found in floating point."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements import Dense, RankOne
from flatmin.proofs.exact.duals import aligned, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import PolishedPoint
from flatmin.proofs.exact.strict_duals import Outside

__all__ = ["CLAIMED", "Witness", "rectangular_witness", "zero_witness"]

#: Share of an eigenvalue or a margin that is claimed, so that its proof has room for rounding.
CLAIMED = 0.99
#: Largest number of measurements for which the least eigenvalue of ``A A*`` is proved.
LARGEST_RANGE = 5000


@dataclass(frozen=True, eq=False)
class Witness:
    """A point, dual vectors and constants, with the reason for each statement that they cannot prove.

    ``point``, ``duals``, ``constants`` and the gross errors ``sparse`` of robust PCA are named as in the file of a
    proof. The point is None for the zero matrix that fits zero data. ``absent`` maps the letter of a statement to the
    reason. A multiple of one of the ``candidates`` is the dual vector "value". ``is_whole`` says that the point fits
    the data exactly, as far as floating point can tell.
    """

    point: dict[str, Array] | None
    duals: dict[str, Array]
    constants: dict[str, float]
    absent: dict[str, str] = field(default_factory=dict)
    sparse: dict[str, Array] | None = None
    candidates: list[Array] = field(default_factory=list)
    is_whole: bool = False

    def factors(self, shape: tuple[int, int]) -> tuple[Array, Array]:
        """Return factors (P, Q) of the point ``P Q*``, rounded, for its shape (d1, d2)."""
        point = self.point or {"L": np.zeros((shape[0], 1)), "R": np.zeros((shape[1], 1))}
        P, Q = (point["L"], point["R"]) if "L" in point else (point["U"], point["U"])
        return (P if "C" not in point else P @ point["C"]), Q

    def matrix(self, shape: tuple[int, int]) -> Array:
        """Return the point, rounded, for its shape (d1, d2)."""
        P, Q = self.factors(shape)
        return np.asarray(P @ Q.conj().T)


def zero_witness(explicit: ExplicitProblem, dual: Array) -> Witness:
    """Return the witness for the zero matrix."""
    if not np.any(explicit.problem.data):
        return Witness(None, {"value": np.zeros_like(explicit.problem.data)}, _least_eigenvalues(explicit))
    d1, d2 = explicit.shape
    one, left, right = np.ones((1, 1)), np.zeros((d1, 1)), np.zeros((d2, 1))
    points = {"rectangular": {"L": left, "C": one, "R": right}, "symmetric": {"U": left, "C": one}}
    absent = {"B": "the matrix is zero and does not fit the data, so it is no flat minimum for nearby data"}
    point = points.get(explicit.cone, {"U": left})
    candidates = [dual, explicit.problem.data]  # a multiple of the data is best where zero has the least objective
    return Witness(point, {"value": value_dual(explicit, candidates)}, {}, absent, candidates=candidates)


def rectangular_witness(
    explicit: ExplicitProblem, point: PolishedPoint, whole: dict[str, Array] | None, dual: Array
) -> Witness:
    """Return the witness for matrices of any shape or for symmetric ones, whose smallest trace is a nuclear norm.

    ``whole`` is the point as integer factors, if they fit the data exactly.
    """
    tangent, absent = point.tangent, {}
    hermitian = explicit.cone == "symmetric"
    signs = np.sign(np.diagonal(point.C).real)
    P, Q = tangent.P, tangent.P * signs if hermitian else tangent.Q
    unknowns = np.concatenate([P, Q]).T.reshape(-1) if not hermitian else 2 * Q.T.reshape(-1)
    near, outside = aligned(tangent, dual, unknowns), Outside(tangent, P, Q)
    constants = {"core": CLAIMED * float(np.min(np.abs(np.diagonal(point.C)))), **_least_eigenvalues(explicit)}
    if tangent.obstacle:
        absent["B"] = tangent.obstacle
    else:
        near = aligned(tangent, outside.strict(near), unknowns)
        sigma2 = tangent.injectivity / (4 if hermitian else 1) * (1 - 1e-6)
        constants |= {"delta": CLAIMED * (1 - outside.norm(near)), "sigma2": sigma2, "gamma": tangent.penalty}
    if constants.get("delta", 1) <= 0:
        absent["B"] = "the dual matrix has further singular values of 1, so other matrices may be as flat"
    if explicit.objective == "interpolating" and whole is None:
        constants |= _range(explicit, absent)
    candidates = [dual, near]
    value = value_dual(explicit, candidates)
    core = {"U": point.L, "C": point.C} if hermitian else {"L": point.L, "C": point.C, "R": point.R}
    duals = {"value": value, "uniqueness": near}
    core = core if whole is None else whole
    return Witness(core, duals, constants, absent, candidates=candidates, is_whole=whole is not None)


def _least_eigenvalues(explicit: ExplicitProblem) -> dict[str, float]:
    """Return claims for the least eigenvalues of the squared metrics on seen rows and columns.

    Let ``G = S G' S`` with ones on the diagonal of G'. The least eigenvalue of G is one over the norm of
    ``S⁻¹ G'⁻¹ S⁻¹``. Computed in this way, it is accurate for rows of any scale.
    """
    found = {}
    for name, G in zip(("g1", "g2"), explicit.squares, strict=True):
        if G.ndim == 1:
            least = float(np.min(G[G > 0], initial=np.inf))
        else:
            seen = np.diagonal(G).real > 0
            even = G[np.ix_(seen, seen)]
            scale = np.sqrt(np.diagonal(even).real)
            even = even / np.outer(scale, scale)
            regular = np.any(seen) and np.linalg.eigvalsh(even)[0] > 8 * len(even) * 2.0**-52
            least = 1 / float(np.linalg.norm(np.linalg.inv(even) / np.outer(scale, scale), 2)) if regular else 0.0
        found[name] = CLAIMED * least
    return found


def _range(explicit: ExplicitProblem, absent: dict[str, str]) -> dict[str, float]:
    """Return a claim for the least eigenvalue of ``A A*``, which bounds the least correction that fits the data."""
    measurement, m, (d1, d2) = explicit.problem.measurement, explicit.problem.measurement.size, explicit.shape
    reason = "more measurements than their matrices have independent directions: rounded data have no exact fit"
    if isinstance(measurement, Dense):
        if m > d1 * d2:
            absent["U"] = reason
            return {}
        cells = measurement.tensor.reshape(m, -1)
        count = d1 * d2 if explicit.cone != "rectangular" else min(d1 * d2, 2 * m)
        cells = cells[:, np.arange(count) * (d1 * d2) // count]
        if m <= LARGEST_RANGE:
            K = cells @ cells.T
    elif isinstance(measurement, RankOne):
        if m <= LARGEST_RANGE:
            K = (measurement.left @ measurement.left.T) * (measurement.right @ measurement.right.T)
    else:
        return {}
    if m > LARGEST_RANGE:
        absent["U"] = f"{m} measurements are too many for a proof that the data can be fitted exactly"
        return {}
    least = float(np.linalg.eigvalsh(K)[0]) - 8 * m * 2.0**-52 * float(np.max(np.diagonal(K)))
    if least <= 0:
        absent["U"] = reason
        return {}
    return {"range_g": 0.98 * least}
