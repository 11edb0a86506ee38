"""Scaled gradient descent: the gradient of each factor is preconditioned by the Gram matrix of the other."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin._core.validation import nonnegative
from flatmin.errors import InputError
from flatmin.nn.factored import FactoredModel
from flatmin.nn.operators.state import unwrapped
from flatmin.nn.optimizers.base import Seeker
from flatmin.parametrizations import Gram, Product, SignedGram

__all__ = ["ScaledGradient"]


class ScaledGradient(Seeker):
    """Multiply the gradients of factors by inverse Gram matrices, so that the condition number of X does not matter.

    For ``X = L R*`` the gradients become ``∇_L f (R* R + εI)⁻¹`` and ``∇_R f (L* L + εI)⁻¹``. For ``U U*``, and for
    each sign of a signed Gram model, the gradient becomes ``∇_U f (U* U + εI)⁻¹``. With ε = 0 a step of gradient
    descent changes X by ``−lr (S P_R + P_L S)`` to first order, for any factors of the same X. Here S is the gradient
    with respect to X, and P_L and P_R are the projections onto the column spaces of L and R.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`; the model is a `FactoredModel` of a `Product`, `Gram` or `SignedGram`, possibly in
        `torch.nn.parallel.DistributedDataParallel`, whose mean gradient is then scaled.
    damping : float
        The number ε, in the units of X. ε must be positive if the factors have more columns than the rank of X. A good
        value is the smallest singular value that shall be recovered.

    Raises
    ------
    InputError
        If the model is of another class or parametrization; in `step`, if a Gram matrix is singular and ``damping`` is
        0.

    References
    ----------
    Tong, Ma, Chi 2021, arXiv 2005.08898; with ε, Xu, Shen, Chi, Ma 2023, arXiv 2302.01186.

    Examples
    --------
    >>> import torch
    >>> import flatmin as fm
    >>> model = fm.nn.FactoredModel(fm.families.matrix_sensing.sample((5, 4), 1, 20).problem, rank=1)
    >>> loss = torch.nn.MSELoss()
    >>> optimizer = fm.nn.ScaledGradient(torch.optim.SGD(model.parameters(), lr=0.5), model, loss)
    """

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, damping: float = 1e-3) -> None:
        super().__init__(base, model, loss)
        factored = unwrapped(model)
        found = factored.problem.parametrization if isinstance(factored, FactoredModel) else factored
        if not isinstance(found, Product | Gram | SignedGram):
            raise InputError(
                f"the model is a {type(found).__name__}, expected a FactoredModel of a Product, Gram or SignedGram"
            )
        self.damping = nonnegative(damping, "damping")

    @torch.no_grad()
    def seek(self) -> None:
        """Replace the gradient by the scaled gradient."""
        model = unwrapped(self.model)
        assert isinstance(model, FactoredModel)
        names, weights = model.problem.parametrization.names, model.weights()
        partners = weights[::-1] if isinstance(model.problem.parametrization, Product) else weights
        for name, partner in zip(names, partners, strict=True):
            parameter = getattr(model, name)
            if parameter.grad is not None:
                parameter.grad = self._scaled(parameter.grad, partner, name)

    def _scaled(self, gradient: Tensor, partner: Tensor, name: str) -> Tensor:
        """Return ``G (Q* Q + εI)⁻¹``; for a complex model, G holds the real part above the imaginary part."""
        gram = partner.mH @ partner
        gram = gram + self.damping * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        stacked = partner.is_complex()
        G = torch.complex(*gradient.chunk(2)) if stacked else gradient
        scaled, failed = torch.linalg.solve_ex(gram, G, left=False)
        if failed:
            raise InputError(
                f"the Gram matrix that scales the gradient of {name} is singular, expected a damping above 0"
            )
        return torch.cat([scaled.real, scaled.imag]) if stacked else scaled
