r"""The fibre of an adapter: all factors (B G, G⁻¹ A) of one product, and the flattest of them.

Let H be the curvature of the loss in the weight ``W = W0 + s B A``, a positive semidefinite matrix, with the partial
traces ``M_l`` over the columns and ``M_r`` over the rows of W. Since W is linear in each factor, the trace of the
curvature in (A, B) is

    ``tr P + tr Q``    with  ``P = s² Bᵀ M_l B``  and  ``Q = s² A M_r Aᵀ``,  both (r, r).

P and Q are partial traces of the curvature in A and in B. The factors (B G, G⁻¹ A) have ``Gᵀ P G`` and ``G⁻¹ Q G⁻ᵀ``.
The smallest trace over all invertible G is ``2 ‖P^½ Q^½‖_* = 2 s² ‖M_l^½ B A M_r^½‖_*`` (nuclear norms). With the
singular value decomposition ``P^½ Q^½ = U Λ Vᵀ``, it is attained by ``G = P^-½ U Λ^½``, for which both become Λ.
The second derivative of ``B A`` lies in blocks off the diagonal, so the trace of the whole Hessian has the same form,
and the same smallest value if its P and Q are positive semidefinite. If one of them has a negative eigenvalue and the
other is not zero, the trace of the whole Hessian has no lower bound on the fibre.
"""

import torch
from torch import Tensor

__all__ = ["flattest_factors", "flattest_move", "smallest_trace"]

#: Eigenvalues and singular values below this share of the largest one are raised to it, so that G is invertible.
FLOOR = 1e-10


def smallest_trace(P: Tensor, Q: Tensor) -> Tensor:
    """Return ``2 ‖P^½ Q^½‖_*`` for positive semidefinite P and Q, (..., r, r).

    Examples
    --------
    >>> smallest_trace(torch.diag(torch.tensor([4.0, 1.0])), torch.diag(torch.tensor([1.0, 9.0])))
    tensor(10.)
    """
    least: Tensor = 2 * torch.linalg.svdvals(_power(P, 0.5) @ _power(Q, 0.5)).sum(-1)
    return least


def flattest_move(P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Return G and its inverse, so that (B G, G⁻¹ A) are the flattest factors.

    If P or Q is singular the smallest trace may not be attained. Then small eigenvalues are replaced by `FLOOR`, and G
    comes close.

    Examples
    --------
    >>> P, Q = torch.diag(torch.tensor([4.0, 1.0])).double(), torch.diag(torch.tensor([1.0, 9.0])).double()
    >>> G, inverse = flattest_move(P, Q)
    >>> [(G.T @ P @ G).diagonal().round(decimals=9).tolist(), (inverse @ Q @ inverse.T).diagonal().round().tolist()]
    [[3.0, 2.0], [3.0, 2.0]]
    """
    U, s, _ = torch.linalg.svd(_power(P, 0.5, FLOOR) @ _power(Q, 0.5, FLOOR))
    root = s.clamp(min=FLOOR * s.max()).sqrt()
    return _power(P, -0.5, FLOOR) @ U * root, (U / root).mT @ _power(P, 0.5, FLOOR)


def flattest_factors(A: Tensor, B: Tensor, P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Return (G⁻¹ A, B G) for A, (r, ...), and B, (outputs, r, ...); their components descend by trace."""
    G, inverse = (M.to(A.device) for M in flattest_move(P, Q))
    left = torch.tensordot(B.detach().double(), G, ([1], [0])).movedim(-1, 1)
    return torch.tensordot(inverse, A.detach().double(), 1).to(A), left.to(B)


def _power(P: Tensor, exponent: float, floor: float = 0.0) -> Tensor:
    """Return a power of a positive semidefinite matrix whose eigenvalues are at least ``floor`` times the largest."""
    values, vectors = torch.linalg.eigh((P + P.mT) / 2)
    least = floor * values[..., -1:].clamp(min=0)
    powered: Tensor = vectors * values.clamp(min=least).pow(exponent).unsqueeze(-2) @ vectors.mT
    return powered
