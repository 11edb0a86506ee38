"""The Hessian of a loss, and its Gauss-Newton part, as linear operators on the weights of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError
from flatmin.nn.processes import Processes
from flatmin.nn.state import MODES, Weights, fixed_randomness, in_mode
from flatmin.nn.streaming import Batch, Batches, Loss

__all__ = ["KINDS", "Curvature"]

#: What may be measured.
KINDS = ("hessian", "gauss_newton")

#: Below this many (parameters × samples), vectors are multiplied together: one is too little work to be done alone.
_TOGETHER = 4_000_000

#: A function of a model and of the leaves that stand for its weights.
_Function = Callable[[nn.Module, list[Tensor]], Any]

#: Takes vectors in the shapes of the parameters to their product with the matrix of a batch; together or singly.
_Product = Callable[[list[Tensor], bool], list[Tensor | None]]


class Curvature:
    r"""The Hessian of ``loss(model(x), y)``, averaged over all samples of a data set, as a symmetric linear operator.

    For samples i = 1…N with outputs ``f_i(θ)`` and losses ``ℓ_i(f_i(θ))`` the operator is one of

    .. math::
        H = \frac1N \sum_i \nabla^2_\theta\, \ell_i(f_i(\theta)), \qquad
        G = \frac1N \sum_i J_i^T\, \nabla^2\ell_i(f_i)\, J_i, \qquad J_i = \partial f_i / \partial\theta.

    Products are made by differentiating twice in reverse mode, batch by batch: the memory is that of one batch. A
    product reads all data. The model is left as it was: parameters, their gradients, buffers, training mode, and the
    global random numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(x)``, whatever x is.
    loss : callable
        Module or function that takes outputs and targets to their mean loss over samples. Class weights and ignored
        targets are accounted for in `torch.nn.CrossEntropyLoss` and `torch.nn.NLLLoss`.
    data : tuple or iterable
        One pair (x, y), or an iterable of pairs that can be read again and again, such as a DataLoader; x and y are
        tensors, or nested tuples, lists and dicts of them. A sample is an entry of y along its first axis.
    of : {"hessian", "gauss_newton"}
        Which of the two matrices. They agree where the outputs are linear in the weights or the loss in the outputs.
    parameters : iterable of str or Parameter, optional
        Rows and columns; all that require a gradient if None, in the order of ``model.named_parameters()``.
    mode : {"eval", "train", "as_is"}
        How batch norm and dropout act. ``"eval"``: as at test time, so that the answer depends on weights and data
        only. ``"train"``: batch norm by the statistics of each batch, which couples its samples: this is the Hessian
        of the *batch* function, and depends on how the data are cut; dropout by one fixed mask for each batch.
        ``"as_is"``: as each submodule is set at the moment.
    distributed : bool or torch.distributed.ProcessGroup
        True, or a group: every process holds a share of the data and calls with the same vectors, and gets the
        average over all samples. A share may be empty.

    Attributes
    ----------
    shape, dtype, device
        (n, n) for n parameters; type and place of the vectors.
    products : int
        Vectors that were multiplied so far, each with all data.

    Raises
    ------
    InputError
        If an argument cannot be used; in products: if the model fails, or the loss is not finite or no average.

    References
    ----------
    Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6(1), 1994.
    Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent", 2002.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x, y = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 1)
    >>> H = Curvature(model, torch.nn.MSELoss(), (x, y))
    >>> H @ torch.eye(2)
    tensor([[1., 0.],
            [0., 4.]])
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        of: str = "hessian",
        parameters: Iterable[str | nn.Parameter] | None = None,
        mode: str = "eval",
        distributed: Any = False,
    ) -> None:
        if of not in KINDS:
            raise InputError(f"of is {of!r}, expected one of {', '.join(KINDS)}")
        if mode not in MODES:
            raise InputError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
        self.of, self.mode, self.loss = of, mode, loss
        self.weights = Weights(model, parameters)
        self.processes = Processes(distributed, self.weights.device)
        with self.processes.together():
            self.batches = Batches(data, loss, self.weights.device)
        self.processes.check_same(self.weights.tensors)
        self.shape = (self.weights.size, self.weights.size)
        self.dtype, self.device = self.weights.dtype, self.weights.device
        self.products = 0
        self._checked = self.batches.is_one and self.processes.count == 1
        self._can_batch = True

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors, (n,) or (n, k), in the operator's own type."""
        n = self.shape[0]
        if not isinstance(vectors, Tensor) or vectors.ndim not in (1, 2) or len(vectors) != n or vectors.is_complex():
            found = f"{vectors.dtype} {tuple(vectors.shape)}" if isinstance(vectors, Tensor) else type(vectors).__name__
            raise InputError(f"the vectors are {found}, expected a real tensor of shape ({n},) or ({n}, k)")
        rows = vectors.detach().to(self.device, self.dtype).reshape(n, -1).T
        self.products += len(rows)
        total = torch.zeros_like(rows)
        with self.processes.together():
            weight = 0.0
            for batch, run in self.evaluations():
                total.add_(run(partial(self._batch, batch, rows)), alpha=batch.weight)
                weight += batch.weight
        total, weight = self.processes.sums(total, weight)
        if not weight:
            raise InputError("data holds no samples, expected at least one")
        total /= weight
        if not bool(torch.isfinite(total).all()):
            raise InputError("a product with the curvature is not finite, expected weights and losses of usual size")
        self._checked = True
        return total.T.reshape(vectors.shape)

    def evaluations(self) -> Iterator[tuple[Batch, Callable[[_Function], Any]]]:
        """Yield each batch that counts, with a runner for functions of the model and of its weights there."""
        with fixed_randomness(0, self.device), in_mode(self.weights.model, self.mode):
            for i, batch in enumerate(self.batches):
                if batch.weight:
                    yield batch, partial(self._run, i)

    def _run(self, index: int, function: _Function) -> Any:
        """Return a function of the model and its weights, the same random numbers drawn in it at every call."""
        with (
            fixed_randomness(index + 1, self.device),
            torch.inference_mode(False),
            torch.enable_grad(),
            sdpa_kernel(SDPBackend.MATH),  # fused attention has no second derivative
            _one_sentence(index),
        ):
            return self.weights.evaluate(function)

    def loss_of(self, batch: Batch, outputs: Any) -> Tensor:
        """Return the loss of a batch, a finite scalar that is an average."""
        value = self.loss(outputs, batch.y)
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
            found = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"the loss is {found}, expected a scalar tensor: the mean over the samples")
        if not bool(torch.isfinite(value)):
            raise InputError(f"the loss is {value.item()}, expected a finite number")
        if not self._checked:
            with torch.no_grad():
                self.batches.check_average(batch, tree_map(_detached, outputs))
        return value.reshape(())

    def _batch(self, batch: Batch, rows: Tensor, model: nn.Module, leaves: list[Tensor]) -> Tensor:
        """Return the products of one batch with the rows of a (k, n) block."""
        make = self._hessian if self.of == "hessian" else self._gauss_newton
        product = make(batch, model(batch.x), leaves)
        width = max(1, _TOGETHER // (self.shape[0] * batch.size)) if self._can_batch else 1
        if width > 1 and len(rows) > 1:
            try:
                return torch.cat([self._flat(product, chunk, True) for chunk in torch.split(rows, width)])
            except RuntimeError:
                # Some operation of the model cannot be done for several vectors at once; singly all can.
                self._can_batch = False
        return torch.cat([self._flat(product, row, False) for row in torch.split(rows, 1)])

    def _flat(self, product: _Product, rows: Tensor, together: bool) -> Tensor:
        vectors = self.weights.vectors(rows)
        out = product(vectors if together else [v[0] for v in vectors], together)
        parts = [rows.new_zeros(len(rows), n) if t is None else t.reshape(len(rows), n) for t, n in self._sized(out)]
        return torch.cat(parts, 1)

    def _sized(self, tensors: Sequence[Tensor | None]) -> Iterator[tuple[Tensor | None, int]]:
        return zip(tensors, self.weights.numbers, strict=True)

    def _hessian(self, batch: Batch, outputs: Any, leaves: list[Tensor]) -> _Product:
        slope = _gradient([self.loss_of(batch, outputs)], leaves, [None], create_graph=True)
        return lambda vectors, together: _gradient(slope, leaves, vectors, together)

    def _gauss_newton(self, batch: Batch, outputs: Any, leaves: list[Tensor]) -> _Product:
        bases = [t.detach().requires_grad_() if _has_slope(t) else t for t in tree_leaves(outputs)]
        free = iter(bases)
        value = self.loss_of(batch, tree_map(lambda _: next(free), outputs))
        ends = [t for t in tree_leaves(outputs) if _has_slope(t)]
        bases = [t for t in bases if _has_slope(t)]
        if not ends:
            raise InputError("the outputs do not depend on the parameters, expected a model that does not detach them")
        slope = _gradient([value], bases, [None], create_graph=True)
        # Jᵀu is linear in u, so its derivative along v with respect to u is J v, wherever u is.
        u = [torch.zeros_like(t, requires_grad=True) for t in ends]
        pulled = _gradient(ends, leaves, u, create_graph=True)

        def product(vectors: list[Tensor], together: bool) -> list[Tensor | None]:
            pushed = _gradient(pulled, u, vectors, together)
            bent = _gradient(slope, bases, pushed, together)
            return _gradient(ends, leaves, bent, together)

        return product


def _gradient(
    outputs: Sequence[Tensor | None],
    inputs: list[Tensor],
    cotangents: Sequence[Tensor | None],
    together: bool = False,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Return the cotangents pulled back to the inputs; None stands for zero, among outputs for a constant."""
    pairs = [
        (out, c)
        for out, c in zip(outputs, cotangents, strict=True)
        if out is not None and out.requires_grad and (c is not None or create_graph)
    ]
    if not pairs:
        return [None] * len(inputs)
    ends, along = zip(*pairs, strict=True)
    return list(
        torch.autograd.grad(
            ends,
            inputs,
            along,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=together,
        )
    )


def _has_slope(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


@contextmanager
def _one_sentence(index: int) -> Iterator[None]:
    """Turn what a model or a loss raises into one sentence that names the batch."""
    try:
        yield
    except InputError as error:
        raise InputError(f"batch {index}: {error}") from error
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        told = " ".join(str(error).split())
        raise InputError(
            f"batch {index}: the model or the loss raised {type(error).__name__} ({told}), expected loss(model(x), y)"
        ) from error
