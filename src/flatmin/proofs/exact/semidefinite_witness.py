"""Witness of a positive semidefinite solution: a matrix W that vanishes on its range and is positive elsewhere."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import as_array
from flatmin.proofs.exact.duals import aligned, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.tangent_equations import TangentEquations
from flatmin.proofs.exact.witness import CLAIMED, Witness

__all__ = ["semidefinite_witness"]


def semidefinite_witness(
    explicit: ExplicitProblem, U: Array, whole: dict[str, Array] | None, dual: Array, other: Array | None
) -> Witness:
    """Return the witness for ``X = U U*`` from the dual vector and the one for uniqueness.

    ``whole`` is the point as integer factors, if they fit the data exactly; they may have a core C, ``X = U C U*``.

    The matrix is ``W = A*(λ)`` if the data determine the trace, and ``W = G − A*(λ)`` otherwise.
    """
    problem, determined = explicit.problem, explicit.trace_is_determined
    if explicit.objective == "penalised":
        return Witness({"U": U}, {"value": value_dual(explicit, [dual])}, {}, candidates=[dual])
    point = {"U": U} if whole is None else whole
    U = point["U"]
    tangent = TangentEquations(problem.measurement, U, U, hermitian=True)
    G = explicit.squares[0]
    metric = np.zeros((len(U), len(U))) if determined else np.diag(G) if G.ndim == 1 else G
    witness = Witness(point, {}, {}, candidates=[] if determined else [dual])
    if not determined:
        witness.duals["value"] = value_dual(explicit, [dual])
    start = other if determined else dual
    if start is None:
        witness.absent["B"] = "the solution has no dual vector for uniqueness"
        return witness
    near = aligned(tangent, start, tangent.vector(2 * metric @ U))
    W = as_array(problem.measurement.adjoint_operator(near))
    W = W if determined else metric - W
    seen = (G if G.ndim == 1 else np.diagonal(G).real) > 0
    u = float(np.linalg.eigvalsh(U.conj().T @ U)[0])
    c = float(np.linalg.norm(W, 2)) / u
    t = float(np.linalg.eigvalsh((W + c * (U @ U.conj().T))[np.ix_(seen, seen)])[0])
    if t <= 0:
        witness.absent["B"] = "the dual matrix vanishes in further directions, so other matrices may fit as well"
    elif tangent.normal is None:
        witness.absent["B"] = f"the tangent space has {tangent.size} dimensions, too many for a proof of uniqueness"
    elif tangent.injectivity <= 0:
        witness.absent["B"] = "the measurements do not tell all tangent directions apart, so others may fit"
    else:
        sigma2 = tangent.injectivity / (4 * float(np.linalg.norm(U) ** 2)) * (1 - 1e-6)
        found = {"t": CLAIMED * t, "c": c, "u": CLAIMED * u, "sigma2": sigma2, "gamma": tangent.penalty}
        witness.constants.update(found)
        witness.duals["uniqueness"] = near
    return witness
