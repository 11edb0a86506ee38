"""Witness of a positive semidefinite solution: a matrix W that is 0 on its range and positive on the complement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import as_array
from flatmin.proofs.cone_certificate import trivial_dual
from flatmin.proofs.exact.duals import aligned, value_dual
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.strict_duals import Outside
from flatmin.proofs.exact.tangent_equations import TangentEquations
from flatmin.proofs.exact.witness import CLAIMED, Witness
from flatmin.proofs.whitening import whiten

__all__ = ["semidefinite_witness"]


def semidefinite_witness(
    explicit: ExplicitProblem, U: Array, whole: dict[str, Array] | None, dual: Array, other: Array | None
) -> Witness:
    """Return the witness for ``X = U U*`` from the dual vector and the dual vector for uniqueness.

    ``whole`` is the point as integer factors, if they fit the data exactly; they may have a core C, ``X = U C U*``.
    """
    point = {"U": U} if whole is None else whole
    determined = explicit.trace_is_determined and explicit.objective == "interpolating"
    witness = Witness(point, {}, {}, candidates=[] if determined else [dual], is_whole=whole is not None)
    if not determined:
        witness.duals["value"] = value_dual(explicit, [dual])
    if explicit.objective == "penalised":
        return witness
    range_ = _Range(explicit, TangentEquations(explicit.problem.measurement, point["U"], point["U"], hermitian=True))
    tangent = range_.tangent
    if tangent.obstacle:
        witness.absent["B"] = tangent.obstacle
    else:
        start = other if determined else dual
        near = None if start is None else range_.aligned(start)
        if near is None or range_.margins(near)["t"] <= 0:
            near = range_.aligned(range_.strict(start))
        found = range_.margins(near)
        if found["t"] <= 0:
            witness.absent["B"] = "no dual matrix was found that is positive outside of the range of the solution"
        sigma2 = tangent.injectivity / (4 * float(np.linalg.norm(point["U"]) ** 2)) * (1 - 1e-6)
        witness.constants.update(found, sigma2=sigma2, gamma=tangent.penalty)
        witness.duals["uniqueness"] = near
    return witness


@dataclass(frozen=True, eq=False)
class _Range:
    """The range of a solution, with the matrix ``W = A*(λ)`` if the data determine the trace, else ``G − A*(λ)``."""

    explicit: ExplicitProblem
    tangent: TangentEquations

    @property
    def metric(self) -> Array:
        """The part of W that does not depend on λ."""
        G = self.explicit.squares[0]
        G = np.diag(G) if G.ndim == 1 else G
        return np.zeros_like(G) if self.explicit.trace_is_determined else G

    def aligned(self, dual: Array) -> Array:
        """Return the nearest dual vector with ``W U = 0``."""
        target = 2 * (self.metric @ self.tangent.P).astype(self.tangent.P.dtype)
        return aligned(self.tangent, dual, self.tangent.vector(target))

    def margins(self, dual: Array) -> dict[str, float]:
        """Return the constants of the claims ``W + c U U* ⪰ t I``, on coordinates that are seen, and ``U* U ⪰ u I``."""
        U, G = self.tangent.P, self.explicit.squares[0]
        W = as_array(self.explicit.problem.measurement.adjoint_operator(dual))
        W = W if self.explicit.trace_is_determined else self.metric - W
        seen = (G if G.ndim == 1 else np.diagonal(G).real) > 0
        u = float(np.linalg.eigvalsh(U.conj().T @ U)[0])
        c = float(np.linalg.norm(W, 2)) / u
        t = float(np.linalg.eigvalsh((W + c * (U @ U.conj().T))[np.ix_(seen, seen)])[0])
        return {"t": CLAIMED * t, "c": c, "u": CLAIMED * u}

    def strict(self, dual: Array | None) -> Array:
        """Return a dual vector with W positive definite on the complement of the range, if one is found.

        In whitened coordinates ``W = I − Y``. Y is the dual matrix of λ or, if the data determine the trace, of the
        trivial dual vector minus λ. Y has to agree with the projection on the range of the solution, and to be below
        one on its complement.
        """
        problem, trivial = self.explicit.problem, np.zeros(self.explicit.problem.measurement.size)
        whitened, metric = whiten(problem, self.explicit.metric_power)
        P = np.linalg.qr(metric[0] @ self.tangent.P)[0]
        tangent = TangentEquations(whitened, P, P, hermitian=True)
        if self.explicit.trace_is_determined:
            trivial, dual = trivial_dual(problem), None
        start = aligned(tangent, trivial if dual is None else dual, tangent.vector(2 * P))
        found = Outside(tangent, P, P).strict(start)
        return trivial - found if self.explicit.trace_is_determined else found
