"""The Hessian of a loss, and its Gauss-Newton part, as linear operators on the weights of a network."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

from flatmin.errors import InputError
from flatmin.nn.estimators.base import Operator
from flatmin.nn.operators.output_hessian import lean_loss, output_hessian
from flatmin.nn.operators.pieces import Pieces, nearly_equal
from flatmin.nn.operators.processes import ProcessGroup
from flatmin.nn.operators.products import (
    Product,
    forward_product,
    gauss_newton_product,
    hessian_product,
    peer_operator,
)
from flatmin.nn.operators.state import FAILURES, MODES, ModelWeights, fixed_randomness, in_mode, plain_attention
from flatmin.nn.operators.streaming import Batch, Batches, Loss
from flatmin.nn.operators.token_loss import OwnLoss, own_loss

__all__ = ["KINDS", "Curvature", "CurvatureOptions", "check_options", "shows_options", "symmetric_operator"]

#: The matrices that a `Curvature` can be.
KINDS = ("hessian", "gauss_newton")
#: Vectors are multiplied in one batched pass if vectors × parameters × samples is at most this number.
_BATCHED_WORK = 4_000_000
#: Smallest number of vectors for which curvlinops is faster than reverse mode on models too large for a batched pass.
_MIN_PEER_VECTORS = 8
#: J v is computed in forward mode, which needs less memory, for more parameters or for more outputs of a batch. With
#: more outputs, cross entropies are differentiated in few copies of the logits.
_LARGE_MODEL, _LARGE_OUTPUTS = 1 << 25, 1 << 22
#: A function of a model and of the leaf tensors that stand for its weights.
_Function = Callable[[nn.Module, list[Tensor]], Any]

_log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class CurvatureOptions(TypedDict, total=False):
    """Keyword arguments of `Curvature`; every function that measures a network accepts them."""

    of: str
    parameters: Iterable[str | nn.Parameter] | None
    mode: str
    distributed: Any


class Curvature:
    r"""The Hessian of ``loss(model(x), y)``, averaged over all samples of a data set, as a symmetric linear operator.

    For samples i = 1…N with outputs ``f_i(θ)`` and losses ``ℓ_i(f_i(θ))`` the operator is one of

    .. math::
        H = \frac1N \sum_i \nabla^2_\theta\, \ell_i(f_i(\theta)), \qquad
        G = \frac1N \sum_i J_i^T\, \nabla^2\ell_i(f_i)\, J_i, \qquad J_i = \partial f_i / \partial\theta.

    A product reads all data, batch by batch, and needs the memory of one batch. A product differentiates twice in
    reverse mode. The model is not changed, nor are its gradients, buffers and training mode, nor the global random
    generators. All computations use the dtype of the parameters, with or without autocast.

    Products of G with several vectors use curvlinops, in forward mode, if the model is large, the loss is a module, and
    x, y and the outputs are tensors. As a test, the first vector is multiplied in reverse mode and by curvlinops. If
    the results differ, as they do with dropout, curvlinops is not used. curvlinops is not used for single vectors, for
    which it is slower, nor for H: its results are wrong for layer normalization (3.0.1 on PyTorch 2.13), and it cannot
    differentiate SiLU twice.

    Parameters
    ----------
    model : torch.nn.Module
        The network, called as ``model(x)`` with any type of x, or as ``model(**batch)`` for batches that are mappings.
    loss : callable or None
        Module or function that maps outputs and targets to their mean loss over samples. Class weights and ignored
        targets are accounted for in `torch.nn.CrossEntropyLoss`, `torch.nn.NLLLoss` and `TokenCrossEntropy`. If the
        outputs are an object with ``logits``, losses of tensors are given the logits, and functions the whole object.
        None stands for the loss that the model itself computes from the labels in a mapping; it is recognised from its
        value and gradient, see `flatmin.nn.operators.token_loss.own_loss`.
    data : tuple, mapping or iterable
        One pair (x, y), one mapping, or an iterable of these that can be read repeatedly, such as a DataLoader; x and y
        are tensors, or nested tuples, lists and dicts of them. A sample is an entry of y along its first axis. A
        mapping is a batch of a trainer: its entry ``"labels"`` is y, and the other entries are the model's keywords.
    of : {"hessian", "gauss_newton"}
        Which of the two matrices. Both matrices are equal if the outputs are linear in the weights, or if the loss is
        linear in the outputs.
    parameters : iterable of str or Parameter, optional
        The parameters to which rows and columns belong. If None, all parameters that require a gradient, in the order
        of ``model.named_parameters()``.
    mode : {"eval", "train", "as_is"}
        The behaviour of batch norm and dropout. ``"eval"``: as at test time. ``"train"``: batch norm uses the
        statistics of each batch, and dropout one fixed mask for each batch; the operator is then the Hessian of the
        *batch* function and depends on the batches. ``"as_is"``: as each submodule is set at present.
    distributed : bool or torch.distributed.ProcessGroup
        With True or a group, every process holds a share of the data, possibly empty, and multiplies the same vectors.
        All processes get the average over all samples.

    Attributes
    ----------
    shape, dtype, device
        (n, n) for n parameters, and the dtype and device of parameters and vectors.
    products : int
        Number of vectors multiplied so far, each with all data.

    Raises
    ------
    InputError
        If an argument cannot be used; in products, if the model fails, or the loss is not finite or not an average.

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
        loss: Loss | None,
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
        self.of, self.mode = of, mode
        self._act_on(ModelWeights(model, parameters))
        self.processes = ProcessGroup(distributed, self.device)
        with self.processes.collective():
            self.batches = self._batches_of(data, loss)
            self.loss: Loss = self.batches.loss
        self.processes.check_same(self.weights.tensors)
        self._checked = self.batches.is_one and self.processes.count == 1
        self._pieces = Pieces(self.loss)

    @classmethod
    def from_arguments(
        cls,
        model: nn.Module | Curvature,
        loss: Loss | None = None,
        data: Any = None,
        **options: Unpack[CurvatureOptions],
    ) -> Curvature:
        """Return the curvature of a model, loss and data, or the `Curvature` that stands in their place."""
        operator = symmetric_operator(model, loss, data, **options)
        if not isinstance(operator, Curvature):
            raise InputError(f"the first argument is a {type(model).__name__}, expected a torch module or a Curvature")
        return operator

    def on(self, weights: ModelWeights) -> Curvature:
        """Return the curvature of the same loss and data on other weights: those of a copy of the model, or fewer."""
        out = copy.copy(self)
        out._act_on(weights)
        return out

    def _batches_of(self, data: Any, loss: Loss | None) -> Batches:
        """Return the data with their loss, by default that of the model itself."""
        if loss is not None:
            return Batches(data, loss, self.device)
        batches = Batches(data, OwnLoss(), self.device)
        with (
            fixed_randomness(0, self.device),
            in_mode(self.weights.model, self.mode),
            torch.enable_grad(),
            closing(batches.mappings()) as mappings,
        ):
            found, needs_labels = own_loss(self.weights.model, mappings)
        return Batches(data, found, self.device, needs_labels=needs_labels)

    def _act_on(self, weights: ModelWeights) -> None:
        """Make this the curvature with respect to these weights; forget what was found out about other weights."""
        self.weights, self.shape = weights, (weights.size, weights.size)
        self.dtype, self.device = weights.dtype, weights.device
        self.products, self._can_batch, self._can_push = 0, True, True
        self._peer: bool | None = None  # whether curvlinops gives the same products; None until it has been tried

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return the product with vectors, (n,) or (n, k), in the operator's own dtype."""
        n = self.shape[0]
        if not isinstance(vectors, Tensor) or vectors.ndim not in (1, 2) or len(vectors) != n or vectors.is_complex():
            found = f"{vectors.dtype} {tuple(vectors.shape)}" if isinstance(vectors, Tensor) else type(vectors).__name__
            raise InputError(f"the vectors are {found}, expected a real tensor of shape ({n},) or ({n}, k)")
        rows = vectors.detach().to(self.device, self.dtype).reshape(n, -1).T
        self.products += len(rows)
        total = torch.zeros_like(rows)
        if not len(rows):
            return total.T
        weight = 0.0
        with self.processes.collective(), self.evaluations() as evaluations:
            for batch, run in evaluations:
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

    @contextmanager
    def evaluations(self) -> Iterator[Iterator[tuple[Batch, Callable[[_Function], Any]]]]:
        """Yield an iterator over the batches of positive weight, or their pieces, each with a runner for functions.

        At the end of the block, also after an error or an interrupt, the mode of the model and the random generators
        are as before.
        """
        with (
            fixed_randomness(0, self.device),
            in_mode(self.weights.model, self.mode),
            closing(self._evaluations()) as evaluations,
        ):
            yield evaluations

    def _evaluations(self) -> Generator[tuple[Batch, Callable[[_Function], Any]]]:
        for i, batch in enumerate(self.batches):
            if batch.weight:
                run = partial(self._run, i)
                for piece in self._pieces(i, batch, run):
                    yield piece, run

    def _run(self, index: int, function: _Function) -> Any:
        """Return a function of the model and its weights; every call draws the same random numbers."""
        with (
            fixed_randomness(index + 1, self.device),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(self.device.type, enabled=False),
            plain_attention(),
            _failures_named(index),
        ):
            return self.weights.evaluate(function)

    def loss_of(self, batch: Batch, outputs: Any) -> Tensor:
        """Return the loss of a batch; raise `InputError` unless it is a finite scalar and an average over samples."""
        self.batches.check_targets(batch, tree_map(_detached, outputs))
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
        large = len(rows) >= _MIN_PEER_VECTORS and work > _BATCHED_WORK // 2
        peer = self.of == "gauss_newton" and self._peer is not False and large
        if peer and self._peer:
            found = self._peer_batch(batch, rows, model, leaves)
            if found is not None:
                return found
        outputs = batch.outputs(model, self.loss)
        numbers = sum(t.numel() for t in tree_leaves(outputs) if isinstance(t, Tensor))
        width = _BATCHED_WORK // max(work, numbers) if self._can_batch else 1
        value_of = partial(self.loss_of, batch)
        if self.of == "hessian":
            value = lean_loss(self.loss, value_of, outputs, batch.y) if numbers > _LARGE_OUTPUTS else None
            value = value_of(outputs) if value is None else value
            return self._multiplied(hessian_product(value, leaves), rows, width)
        bend = output_hessian(self.loss, value_of, outputs, batch.y)
        if self._can_push and (self.shape[0] > _LARGE_MODEL or numbers > _LARGE_OUTPUTS):
            product = forward_product(bend, outputs, leaves, partial(self._evaluate, batch, model))
            try:
                return self._multiplied(product, rows, 1)
            except RuntimeError as error:  # an operation without forward mode; reverse mode needs more memory
                _log.info("J v is computed in reverse mode, since forward mode fails: %s", error)
                self._can_push = False
        found = self._multiplied(gauss_newton_product(bend, outputs, leaves), rows, width)
        if peer and self._peer is None:
            again = None if numbers > _LARGE_OUTPUTS else self._peer_batch(batch, rows[:1], model, leaves)
            self._peer = again is not None and nearly_equal(again, found[:1])
        return found

    def _evaluate(self, batch: Batch, model: nn.Module, weights: list[Tensor]) -> Any:
        """Return the outputs of a batch at other weights than those of the model."""
        named = dict(zip(self.weights.names, weights, strict=True))
        return batch.outputs(lambda *args, **keywords: functional_call(model, named, args, keywords), self.loss)

    def _peer_batch(self, batch: Batch, rows: Tensor, model: nn.Module, leaves: list[Tensor]) -> Tensor | None:
        """Return the products by curvlinops; None, and never try again, if it cannot compute them."""
        if not self._checked:
            with torch.no_grad():
                self.loss_of(batch, batch.outputs(model, self.loss))
        try:
            operator = peer_operator(model, self.loss, batch.x, batch.y, leaves)
            if operator is not None:
                width = max(_MIN_PEER_VECTORS, 6 * _BATCHED_WORK // (self.shape[0] * batch.size))
                return torch.cat([operator @ chunk for chunk in torch.split(rows.T, width, dim=1)], 1).T
        except (*FAILURES, ImportError) as error:  # it supports fewer models than reverse mode, which serves them all
            _log.info("curvlinops cannot multiply with this model, reverse mode does: %s", error)
        self._peer = False
        return None

    def _multiplied(self, product: Product, rows: Tensor, width: int) -> Tensor:
        """Return the products with the rows of a block, ``width`` rows in one pass if the model allows it."""
        if width > 1 and len(rows) > 1:
            try:
                return torch.cat([self._flat(product, chunk, True) for chunk in torch.split(rows, width)])
            except RuntimeError as error:  # an operation without a batching rule; single vectors need none
                _log.info("vectors are multiplied one by one, since the model cannot be batched: %s", error)
                self._can_batch = False
        return torch.cat([self._flat(product, row, False) for row in torch.split(rows, 1)])

    def _flat(self, product: Product, rows: Tensor, batched: bool) -> Tensor:
        vectors = self.weights.vectors(rows)
        out = product(vectors if batched else [v[0] for v in vectors], batched)
        sized = zip(out, self.weights.numbers, strict=True)
        return torch.cat([rows.new_zeros(len(rows), n) if t is None else t.reshape(len(rows), n) for t, n in sized], 1)


def shows_options(function: F) -> F:
    """Let `help` show the options of `Curvature` for a function with ``**options``, which refuses all others."""
    own, options = inspect.signature(function), inspect.signature(Curvature).parameters.values()
    named = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
    shown = own.replace(parameters=[*named, *(p for p in options if p.kind is p.KEYWORD_ONLY)])

    @wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        check_options(checked, keywords)
        return function(*args, **keywords)

    checked.__signature__ = shown  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


def check_options(function: Callable[..., Any], options: Iterable[str]) -> None:
    """Raise `InputError` if a function has no argument of one of some names."""
    known = inspect.signature(function).parameters
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, 1)
            expected = f"did you mean {close[0]!r}" if close else f"expected one of {', '.join(known)}"
            raise InputError(f"{function.__name__} has no option {name!r}, {expected}")


def symmetric_operator(
    model: nn.Module | Operator, loss: Loss | None = None, data: Any = None, **options: Unpack[CurvatureOptions]
) -> Operator:
    """Return the curvature of a model, loss and data, or the symmetric operator that stands in their place."""
    if not isinstance(model, nn.Module) and hasattr(model, "shape") and hasattr(model, "__matmul__"):
        for name, value in {"loss": loss, "data": data, **options}.items():
            if value is not None:
                raise InputError(f"{name} was given with a {type(model).__name__}, expected none with an operator")
        return model
    if data is None:
        missing = "loss" if loss is None else "data"
        raise InputError(f"{missing} is missing, expected (model, loss, data) or a Curvature")
    return Curvature(model, loss, data, **options)  # type: ignore[arg-type]  # which refuses what is no module


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


@contextmanager
def _failures_named(index: int) -> Iterator[None]:
    """Turn an exception of a model or a loss into an `InputError` of one sentence that names the batch."""
    try:
        yield
    except InputError as error:
        raise InputError(f"batch {index}: {error}") from error
    except FAILURES as error:
        message = " ".join(str(error).split())
        raise InputError(
            f"batch {index}: the model or loss raised {type(error).__name__} ({message}), expected loss(model(x), y)"
        ) from error
