"""A factored model, with any measurement and parametrization, as a PyTorch module."""

import inspect
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import Array, on_host
from flatmin._core.validation import nonnegative, whole_number
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.losses import clip_level
from flatmin.measurements import Measurement
from flatmin.problem import Problem
from flatmin.proofs.flatness import Flatness, flatness

__all__ = ["FactoredModel", "SquaredDistance", "contraction"]


class _Contraction(torch.autograd.Function):
    """The partial derivative of ``T(y, P, Q) = Re⟨y, A(P Q*)⟩`` in one argument, whose number is ``slot``.

    The derivative is ``A(P Q*)`` in y (slot 0), ``A*(y) Q`` in P (slot 1), and ``A*(y)* P`` in Q (slot 2). Because T is
    linear in each argument, all higher derivatives are again of these three kinds.
    """

    @staticmethod
    def forward(measurement: Measurement, slot: int, first: Tensor, second: Tensor) -> Tensor:
        a, b = on_host(first), on_host(second)
        if slot == 0:
            out = measurement.forward_factors(a, b)
        else:
            S = measurement.adjoint_operator(a)
            out = S @ b if slot == 1 else S.conj().T @ b
        return _like(out, first)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.measurement, ctx.slot, *both = inputs
        ctx.save_for_backward(*both)
        ctx.save_for_forward(*both)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[None, None, Tensor | None, Tensor | None]:
        if ctx.slot == 0 and not torch.is_grad_enabled():
            # Without further derivatives one matrix A*(y) serves both; a batched cotangent has no array and raises.
            with suppress(RuntimeError):
                P, Q = ctx.saved_tensors
                S = ctx.measurement.adjoint_operator(on_host(cotangent))
                both = (S @ on_host(Q), S.conj().T @ on_host(P))
                return None, None, *(_as(_like(g, t), t) for g, t in zip(both, (P, Q), strict=True))  # type: ignore[return-value]
        arguments = list(ctx.saved_tensors)
        arguments.insert(ctx.slot, cotangent)
        others = [slot for slot in range(3) if slot != ctx.slot]
        gradients = [
            contraction(ctx.measurement, slot, *(arguments[other] for other in range(3) if other != slot))
            if needed
            else None
            for slot, needed in zip(others, ctx.needs_input_grad[2:], strict=True)
        ]
        like = [_as(g, t) for g, t in zip(gradients, ctx.saved_tensors, strict=True)]
        return None, None, like[0], like[1]

    @staticmethod
    def jvp(ctx: Any, _measurement: None, _slot: None, first: Tensor | None, second: Tensor | None) -> Tensor:
        a, b = ctx.saved_tensors
        terms = [] if first is None else [contraction(ctx.measurement, ctx.slot, first, b)]
        terms += [] if second is None else [contraction(ctx.measurement, ctx.slot, a, second)]
        return torch.stack(terms).sum(0)

    @staticmethod
    def vmap(info: Any, in_dims: Any, measurement: Measurement, slot: int, first: Tensor, second: Tensor) -> Any:
        pairs = [
            [t if dim is None else t.select(dim, i) for t, dim in zip((first, second), in_dims[2:], strict=True)]
            for i in range(info.batch_size)
        ]
        return torch.stack([contraction(measurement, slot, a, b) for a, b in pairs]), 0


#: torch reads the signature at every call, which takes a third of the time of a small product unless it is stored.
_Contraction.forward.__signature__ = inspect.signature(_Contraction.forward)  # type: ignore[attr-defined]


def contraction(measurement: Measurement, slot: int, first: Tensor, second: Tensor) -> Tensor:
    """Return ``A(P Q*)`` of P and Q (slot 0), ``A*(y) Q`` of y and Q (slot 1), or ``A*(y)* P`` of y and P (slot 2).

    The result is computed by the measurement itself. The result can be differentiated any number of times, in forward
    and in reverse mode, and works under `torch.func.vmap`.
    """
    out: Tensor = _Contraction.apply(measurement, slot, first, second)  # type: ignore[no-untyped-call]
    return out


def _like(array: Array, t: Tensor) -> Tensor:
    """Return an array as a tensor on the device of another tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(t.device)


def _as(gradient: Tensor | None, argument: Tensor) -> Tensor | None:
    """Return a gradient, without its imaginary part if the argument is real."""
    if gradient is not None and gradient.is_complex() and not argument.is_complex():
        return gradient.real
    return gradient


class FactoredModel(nn.Module):
    """The factors of a problem as trainable parameters, for any measurement and parametrization.

    ``model()`` returns all predictions ``A(X(θ))``, ``model(index)`` some of them, and ``model.loss()`` the loss of the
    problem, all differentiable to any order. The parameters are real float64 tensors, one for each factor, with its
    shape. If the sensing matrices are complex, the real part is above the imaginary part, (2d, k).

    Parameters
    ----------
    problem : Problem
        The model and its data.
    rank : int, optional
        Number k of columns of the factors; for a signed Gram model, of both signs together. By default it is the rank
        of the parametrization or, if that is not set, enough columns for every matrix. Hadamard and chain models have
        widths of their own.
    seed : int
        Seed of the random factors.
    scale : float
        Standard deviation of the entries of the random factors, in the units of the factors.

    Raises
    ------
    InputError
        If an argument is out of range.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.families.matrix_sensing.sample((5, 4), 1, 20).problem
    >>> model = fm.nn.FactoredModel(problem, rank=3)
    >>> model.loss().backward()
    >>> [tuple(p.grad.shape) for p in model.parameters()]
    [(5, 3), (4, 3)]
    """

    def __init__(self, problem: Problem, rank: int | None = None, seed: int = 0, *, scale: float = 0.1) -> None:
        super().__init__()
        if not isinstance(problem, Problem):
            raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
        if rank is not None:
            whole_number(rank, "rank", 1)
        whole_number(seed, "seed", 0)
        nonnegative(scale, "scale")
        self.problem = problem
        self.is_complex = np.issubdtype(problem.measurement.dtype, np.complexfloating)
        parametrization = problem.parametrization
        width = rank or getattr(parametrization, "rank", None) or parametrization.cone.max_width(problem.shape)
        rng = np.random.default_rng(seed)
        factors = parametrization.random(problem.shape, int(width), rng)
        if self.is_complex:
            imaginary = parametrization.random(problem.shape, int(width), rng)
            factors = tuple((F + 1j * G) / np.sqrt(2) for F, G in zip(factors, imaginary, strict=True))
        for name, F in zip(parametrization.names, factors, strict=True):
            self.register_parameter(name, nn.Parameter(torch.from_numpy(self._stacked(scale * F))))
        self._metric = [_tensor(D) for D in problem.metric]

    def weights(self) -> tuple[Tensor, ...]:
        """Return the factors as differentiable functions of the parameters, complex if the model is complex."""
        stacked = (getattr(self, name) for name in self.problem.parametrization.names)
        return tuple(torch.complex(*p.chunk(2)) if self.is_complex else p for p in stacked)

    def factors(self) -> tuple[Array, ...]:
        """Return the factors as arrays, as `flatmin.flatness` and `flatmin.certify` take them."""
        return tuple(on_host(F).copy() for F in self.weights())

    @torch.no_grad()
    def set_factors(self, factors: Any) -> None:
        """Copy factors into the parameters; raise `InputError` unless their shapes are those of the model."""
        checked = self.problem.check(factors)
        for name, F in zip(self.problem.parametrization.names, checked, strict=True):
            parameter, new = getattr(self, name), torch.from_numpy(self._stacked(F))
            if new.shape != parameter.shape:
                raise InputError(f"{name} has {F.shape[1]} columns, expected {parameter.shape[1]} as in the model")
            parameter.copy_(new)

    def pair(self) -> tuple[Tensor, Tensor]:
        """Return (P, Q) with ``X = P Q*``."""
        return self.problem.parametrization.pair(self.weights())  # type: ignore[arg-type, return-value]

    def matrix(self) -> Array:
        """Return X as an array."""
        return self.problem.parametrization.matrix(self.factors())

    def forward(self, index: Tensor | None = None) -> Tensor:
        """Return the predictions ``A(X)``, shape (m,), or only those at the positions ``index``."""
        measurement = self.problem.measurement
        if index is None:
            return contraction(measurement, 0, *self.pair())
        try:
            wanted = index.cpu().numpy()
        except RuntimeError:  # one index for each of the models under torch.func.vmap
            return contraction(measurement, 0, *self.pair())[index]
        return contraction(measurement.take(wanted), 0, *self.pair())

    def loss(self, index: Tensor | None = None) -> Tensor:
        """Return the loss of the problem, a scalar tensor; with ``index`` the squared loss of some measurements.

        For the loss `Absolute` with a limit τ, the result is the squared distance of the residual from ``‖S‖_1 ≤ τ``,
        see `SquaredDistance`. `Absolute` without a limit, or with an index, raises `InputError`.
        """
        loss, target = self.problem.loss, torch.from_numpy(self.problem.data)
        if loss.has_gross_errors:
            if loss.tau is None or index is not None:
                raise InputError("the loss Absolute was found, expected one with a limit tau, and no index")
            return torch.as_tensor(SquaredDistance(loss.tau)(self(), target.to(self._device)))
        target = (target if index is None else target[index.cpu()]).to(self._device)
        return torch.mean((self(index) - target) ** 2)

    def scaled_trace(self) -> Tensor:
        """Return the scaled trace ``(c/2) (‖D1 P‖² + ‖D2 Q‖²)`` with the trace factor c, as a scalar tensor.

        Hadamard and chain models raise `InputError`; for them `HessianTracePenalty` estimates the trace.
        """
        model = self.problem.parametrization
        if not model.has_cone_norm:
            raise InputError(f"the trace of {model!r} has no such form; use nn.HessianTracePenalty")
        total = sum((_times(D, F).abs() ** 2).sum() for D, F in zip(self._metric, self.pair(), strict=True))
        return torch.as_tensor(model.trace_factor / 2 * total)

    def flatness(self) -> Flatness:
        """Return the exact flatness of the present weights."""
        return flatness(self.problem, self.factors())

    def extra_repr(self) -> str:
        """Return the problem, for ``print(model)``."""
        return repr(self.problem)

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def _stacked(self, F: Array) -> Array:
        return np.concatenate([F.real, F.imag]) if self.is_complex else np.array(F, dtype=float)


class SquaredDistance(nn.Module):
    """The loss `Absolute` of outputs and targets: the squared distance of their residual from the ball ``‖S‖_1 ≤ τ``.

    The derivative treats the nearest point of the ball as constant, which is exact for projections onto convex sets.

    Examples
    --------
    >>> SquaredDistance(2.0)(torch.tensor([5.0, 1.0]), torch.tensor([1.0, 0.0]))  # the nearest point is (2, 0)
    tensor(5.)
    """

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the squared distance, a scalar tensor."""
        residual = outputs - targets
        sizes = residual.detach().abs()
        level = clip_level(sizes.cpu().numpy(), self.tau)
        nearest = residual.detach().sign() * (sizes - level).clamp(min=0)
        return torch.sum((residual - nearest) ** 2)


def _tensor(D: Metric) -> Tensor:
    """Return a metric as a tensor: its diagonal as a column, or the whole matrix."""
    return torch.from_numpy(np.array(D.values[:, None] if D.is_diagonal else D.dense))


def _times(D: Tensor, F: Tensor) -> Tensor:
    """Return the product of a metric from `_tensor` with a factor."""
    return D.to(F.device) * F if D.shape[1] == 1 else D.to(F) @ F
