"""Test cases for trace estimators: operators and models whose trace is known in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flatmin.families import matrix_sensing, quadratic_network
from flatmin.families.base import Instance
from flatmin.nn.estimators.base import Operator
from flatmin.nn.factored import FactoredModel
from flatmin.nn.operators.curvature import Curvature

__all__ = ["TraceCase", "trace_cases"]


@dataclass(frozen=True)
class TraceCase:
    """A symmetric operator (n, n), for instance a dense tensor, and its trace, known in closed form."""

    name: str
    operator: Operator
    trace: float


def trace_cases(n: int = 150, seed: int = 0) -> tuple[TraceCase, ...]:
    """Return dense cases in double precision: matrices of many spectra, and Hessians of models with closed formulas.

    Matrices are ``Q diag(λ) Qᵀ`` with a random rotation Q, and their trace is ``Σ λ_i``. The Hessian of a linear model
    with `torch.nn.MSELoss` and N samples has the trace ``(2/N) Σ_i (‖x_i‖² + 1)``. Factored models are taken far from a
    minimum, where their Hessian is indefinite; the traces are computed by `flatmin.flatness`.

    Parameters
    ----------
    n, seed : int
        Dimension of the matrices (models have 88 to 96 parameters), and seed of rotations, models and data.

    Examples
    --------
    >>> case = trace_cases()[0]
    >>> case.name, case.trace, abs(case.operator.trace().item() - 150) < 1e-9
    ('similar', 150.0, True)
    """
    generator = torch.Generator().manual_seed(seed)
    matrices = []
    for name, eigenvalues in _spectra(n):
        Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
        matrices.append(TraceCase(name, _symmetrized((Q * eigenvalues) @ Q.mT), eigenvalues.sum().item()))
    return (*matrices, _linear(generator), *_factored(seed))


def _spectra(n: int) -> Iterator[tuple[str, Tensor]]:
    i = torch.arange(1, n + 1, dtype=torch.float64)
    bulk = torch.linspace(-1, 1, n, dtype=torch.float64)
    yield "similar", 1 + bulk / 2
    yield "power law 1/i", 1 / i
    yield "power law 1/i²", 1 / i**2
    yield "geometric", 0.8**i
    yield "rank one", (i == 1).double()
    yield "low rank", (i <= 4).double() * (5 - i)
    yield "spikes on a bulk", 1 + bulk / 10 + (i <= 3) * 30 / i
    yield "both signs, similar", bulk + 0.1
    yield "both signs, decaying", -((-1) ** i) / i
    yield "both signs, spikes", bulk / 10 + (i == 1) * 10 - (i == 2) * 8


def _symmetrized(H: Tensor) -> Tensor:
    return (H + H.mT) / 2


def _linear(generator: torch.Generator) -> TraceCase:
    x = torch.randn(60, 29, generator=generator, dtype=torch.float64) * torch.logspace(0, -1.5, 29, dtype=torch.float64)
    data = (x, torch.randn(60, 3, generator=generator, dtype=torch.float64))
    H = _dense(nn.Linear(29, 3, dtype=torch.float64), data)
    return TraceCase("linear model", H, 2 * ((x**2).sum(1) + 1).mean().item())


def _factored(seed: int) -> Iterator[TraceCase]:
    """Yield factored models at random weights, where the residual contributes to the Hessian."""
    instances: dict[str, tuple[Instance, int]] = {
        "product of factors": (matrix_sensing.sample((12, 10), 2, 90, seed=seed), 4),
        "quadratic network": (quadratic_network.sample(12, (1, 1), 90, seed=seed), 8),
    }
    for name, (instance, rank) in instances.items():
        model = FactoredModel(instance.problem, rank, seed=seed, scale=0.5)
        b = torch.from_numpy(instance.problem.data)
        yield TraceCase(name, _dense(model, (torch.arange(len(b)), b)), model.flatness().hessian_trace)


def _dense(model: nn.Module, data: tuple[Tensor, Tensor]) -> Tensor:
    curvature = Curvature(model, nn.MSELoss(), data)
    return _symmetrized(curvature @ torch.eye(curvature.shape[0], dtype=torch.float64))
