"""The Hessian of a loss, and its Gauss-Newton part, as linear operators on the weights of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError
from flatmin.nn.operators.processes import Processes
from flatmin.nn.operators.products import Product, gauss_newton_product, hessian_product, peer_operator
from flatmin.nn.operators.state import MODES, Weights, fixed_randomness, in_mode
from flatmin.nn.operators.streaming import Batch, Batches, Loss

__all__ = ["KINDS", "Curvature"]

#: What may be measured.
KINDS = ("hessian", "gauss_newton")

#: Below this many (parameters × samples), vectors are multiplied together: one is too little work to be done alone.
_TOGETHER = 4_000_000

#: Vectors from which curvlinops, which multiplies them together always, is the faster one for larger models.
_FEW = 8

#: A function of a model and of the leaves that stand for its weights.
_Function = Callable[[nn.Module, list[Tensor]], Any]


class Curvature:
    r"""The Hessian of ``loss(model(x), y)``, averaged over all samples of a data set, as a symmetric linear operator.

    For samples i = 1…N with outputs ``f_i(θ)`` and losses ``ℓ_i(f_i(θ))`` the operator is one of

    .. math::
        H = \frac1N \sum_i \nabla^2_\theta\, \ell_i(f_i(\theta)), \qquad
        G = \frac1N \sum_i J_i^T\, \nabla^2\ell_i(f_i)\, J_i, \qquad J_i = \partial f_i / \partial\theta.

    Products are made by differentiating twice in reverse mode, batch by batch: the memory is that of one batch. A
    product reads all data. The model is left as it was: parameters, their gradients, buffers, training mode, and the
    global random numbers. Everything is computed in the type of the parameters, autocast or not.

    Of larger models, several vectors at once are multiplied with G by curvlinops, in forward mode, if the loss is a
    module, x, y and the outputs are tensors, and a first vector gives the same there and here; so dropout, whose mask
    it would draw twice, is done here. So are single vectors, where it is slower, and H, which it differentiates
    wrongly for layer normalization (3.0.1 on PyTorch 2.13) and not at all for SiLU.

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
        self._peer: bool | None = None  # whether curvlinops gives the same; not known before it is tried
        self._repeatable = False

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
                    run = partial(self._run, i)
                    if not self._repeatable:
                        _check_repeatable(i, *(run(partial(_outputs, batch)) for _ in range(2)))
                        self._repeatable = True
                    yield batch, run

    def _run(self, index: int, function: _Function) -> Any:
        """Return a function of the model and its weights, the same random numbers drawn in it at every call."""
        with (
            fixed_randomness(index + 1, self.device),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(self.device.type, enabled=False),
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
        work = self.shape[0] * batch.size
        theirs = self.of == "gauss_newton" and self._peer is not False and len(rows) >= _FEW and work > _TOGETHER // 2
        if theirs and self._peer:
            found = self._peer_batch(batch, rows, model, leaves)
            if found is not None:
                return found
        outputs = model(batch.x)
        if self.of == "hessian":
            product = hessian_product(self.loss_of(batch, outputs), leaves)
        else:
            product = gauss_newton_product(partial(self.loss_of, batch), outputs, leaves)
        found = self._multiplied(product, rows, _TOGETHER // work if self._can_batch else 1)
        if theirs and self._peer is None:
            again = self._peer_batch(batch, rows[:1], model, leaves)
            self._peer = again is not None and _same(again, found[:1])
        return found

    def _peer_batch(self, batch: Batch, rows: Tensor, model: nn.Module, leaves: list[Tensor]) -> Tensor | None:
        """Return the products by curvlinops, or None, for ever, if it cannot make them."""
        if not self._checked:
            with torch.no_grad():
                self.loss_of(batch, model(batch.x))
        try:
            operator = peer_operator(model, self.loss, batch.x, batch.y, leaves)
            if operator is not None:
                width = max(_FEW, 6 * _TOGETHER // (self.shape[0] * batch.size))
                return torch.cat([operator @ chunk for chunk in torch.split(rows.T, width, dim=1)], 1).T
        except Exception:  # whatever it is, it is not for the user to mend
            pass
        self._peer = False
        return None

    def _multiplied(self, product: Product, rows: Tensor, width: int) -> Tensor:
        """Return the products with rows, ``width`` at once where that can be done."""
        if width > 1 and len(rows) > 1:
            try:
                return torch.cat([self._flat(product, chunk, True) for chunk in torch.split(rows, width)])
            except RuntimeError:
                # Some operation of the model cannot be done for several vectors at once; singly all can.
                self._can_batch = False
        return torch.cat([self._flat(product, row, False) for row in torch.split(rows, 1)])

    def _flat(self, product: Product, rows: Tensor, together: bool) -> Tensor:
        vectors = self.weights.vectors(rows)
        out = product(vectors if together else [v[0] for v in vectors], together)
        sized = zip(out, self.weights.numbers, strict=True)
        return torch.cat([rows.new_zeros(len(rows), n) if t is None else t.reshape(len(rows), n) for t, n in sized], 1)


def _same(found: Tensor, wanted: Tensor) -> bool:
    """Return whether two ways to compute the same agree up to rounding errors; numbers that are not finite do."""
    found, wanted = found.nan_to_num(0, 0, 0), wanted.nan_to_num(0, 0, 0)
    slack = torch.finfo(found.dtype).eps ** 0.5 * torch.linalg.vector_norm(wanted)
    return found.shape == wanted.shape and bool(torch.linalg.vector_norm(found - wanted) <= slack)


def _outputs(batch: Batch, model: nn.Module, leaves: list[Tensor]) -> Any:
    with torch.no_grad():
        return model(batch.x)


def _check_repeatable(index: int, first: Any, second: Any) -> None:
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    if not all(_same(b, a) for a, b in pairs if isinstance(a, Tensor) and a.is_floating_point()):
        raise InputError(
            f"batch {index}: the model gives other outputs when it is asked again, expected the same; PyTorch's global "
            "random numbers are repeated, others are not"
        )


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
