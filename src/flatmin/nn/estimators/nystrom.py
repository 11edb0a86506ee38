"""Nyström approximation of a positive semidefinite operator, with and without single random vectors."""

import numpy as np
import torch
from torch import Tensor

from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.nn.estimators.base import Operator

__all__ = ["Nystrom"]

#: The shift that keeps the core matrix definite, in units of the rounding error of a product.
_SHIFT_UNITS = 4.0


class Nystrom:
    r"""The approximation ``Â = Y H⁻¹ Yᵀ`` from products ``Y = A Ω`` with m random vectors, ``H = Ωᵀ Y``.

    A is shifted by a multiple ν of the identity for stability. Let ``K = H⁻¹``, with columns ``z_i`` of ``Z = Y H⁻¹``.
    The approximation without vector i is ``Âᵢ = Â − z_i z_iᵀ / K_ii``, and ``(A − Âᵢ) ω_i = z_i / K_ii``. So every
    vector can sample the operator outside the others' approximation, without a further product. With
    ``M = (Ωᵀ Ω)⁻¹``, the part of ω_i that is orthogonal to all other vectors is ``Ω M e_i / M_ii``.

    Parameters
    ----------
    operator : Operator
        Positive semidefinite, (n, n); `InputError` is raised if H shows that it is not.
    vectors, products : Tensor, shape (n, m)
        The random vectors Ω and their products, which are overwritten.
    """

    def __init__(self, operator: Operator, vectors: Tensor, products: Tensor) -> None:
        n, m = vectors.shape
        require(3.0 * vectors.numel() * vectors.element_size(), f"keeping {3 * m} vectors of {n} numbers")
        unit = torch.finfo(operator.dtype).eps
        self.vectors, size = vectors, float(torch.linalg.vector_norm(products))
        if not np.isfinite(size):
            raise InputError("the operator gave products that are not finite, expected finite numbers")
        self.shift = _SHIFT_UNITS * unit * size / n**0.5
        Y = products.add_(vectors, alpha=self.shift)
        H = (vectors.mT @ Y).double().cpu()
        H = (H + H.mT) / 2
        factor, failed = torch.linalg.cholesky_ex(H)
        if failed and float(torch.linalg.eigvalsh(H)[0]) < -(unit**0.5) * float(H.diagonal().abs().max()):
            raise InputError(
                "the operator is not positive semidefinite, expected one that is, such as of='gauss_newton'"
            )
        if failed:  # rounding errors of the products exceed the shift
            lift = 1e-2 * unit**0.5 * float(H.diagonal().max()) / n + torch.finfo(torch.float64).tiny
            H.diagonal().add_(n * lift)
            factor = torch.linalg.cholesky(H)
        self.K = torch.cholesky_inverse(factor)
        self.Z = Y @ self.K.to(Y)
        #: Rows of ``Y C⁻¹`` with ``H = C Cᵀ``; their squared lengths are the diagonal of Â.
        self.half = torch.linalg.solve_triangular(factor.to(Y), Y.mT, upper=False).mT
        gram = (vectors.mT @ vectors).double().cpu()
        self.M = torch.linalg.inv(gram)
