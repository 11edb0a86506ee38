"""The trace of the Hessian as a differentiable penalty for training."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves

from flatmin._core.validation import real_number, shown, whole_number
from flatmin.errors import InputError
from flatmin.nn.operators.per_example import PerExample, widened
from flatmin.nn.operators.pieces import Pieces, mean_over
from flatmin.nn.operators.square_root import known_loss, loss_root
from flatmin.nn.operators.state import check_values, unwrapped
from flatmin.nn.operators.streaming import Batch
from flatmin.nn.operators.token_loss import LABELS, OwnLoss, own_loss
from flatmin.nn.targets import check_targets

__all__ = ["HessianTracePenalty", "twice_differentiable"]

Of = Literal["gauss_newton", "hessian"]
Probe = Literal["auto", "vjp", "per_example"]


class HessianTracePenalty:
    r"""An unbiased, differentiable estimate of the trace of the Hessian, to be added to the loss.

    Let J be the Jacobian of the outputs of a batch with respect to the trainable parameters, and S Sᵀ the Hessian of
    the loss with respect to the outputs (`loss_root`). The Gauss-Newton part of the Hessian is ``Jᵀ S Sᵀ J``, and for a
    vector v of random signs

        ``E |Jᵀ S v|² = tr(Jᵀ S Sᵀ J)``.

    S is differentiated too, and v does not depend on the weights. So the gradient of the estimate is unbiased as well,
    unlike the gradient of estimates with sampled labels. If the loss is an average over examples, the average of the
    penalty over batches is the trace for the whole loss.

    Parameters
    ----------
    model : nn.Module
        The trace is over the parameters that require a gradient.
    loss : module or function
        ``loss(outputs, targets)``. For the Gauss-Newton part it needs a root, see `loss_root` and `register_root`; for
        the Hessian any loss can be used. None stands for the loss that the model computes from the labels in a
        trainer's batch, see `Curvature`.
    of : {"gauss_newton", "hessian"}
        The Gauss-Newton part ``Jᵀ S Sᵀ J``, which costs one additional reverse pass, or the whole Hessian H, estimated
        by ``vᵀ H v``, which costs two.
    probe : {"auto", "vjp", "per_example"}
        ``"vjp"`` works for any model. ``"per_example"`` is ``Σ_i |J_iᵀ S_i v_i|²``, without the products of different
        examples, whose mean is zero. ``"per_example"`` has 2 to 40 times less noise than ``"vjp"``; a step is cheaper
        for a perceptron and more expensive for a convolutional network (``benchmarks/nn/penalty_cost.py``).
        ``"per_example"`` requires that all trainable parameters are in linear layers, convolutions, layer or group
        normalizations, each called once, that no parameter has another use, as tied weights do, and that examples do
        not interact, as they do in batch normalization. Interactions are looked for at batches 1, 2, 3, 5, 9, ..., and
        again from batch 1 on whenever other parameters are trained. ``"auto"`` uses ``"per_example"`` where possible,
        unless there is a convolution.
    probes : int
        Number of vectors v to average over.
    every : int
        At calls 1, 1 + every, 1 + 2 every, ... the result is ``every`` times the penalty. At other calls the result is
        0 and costs nothing. With small or decreasing step sizes training ends at the same weights as with ``every=1``.
    seed : int, optional
        Seed of the vectors v; None for an arbitrary seed. The global random generators are not used.

    Raises
    ------
    InputError
        If an argument is out of range; when called, if the loss has no root, the batch is empty or does not suit the
        loss, the batch or all outputs are NaN, the outputs are not a real tensor, parameters are complex or float16, no
        parameter requires a gradient, or the model has reentrant checkpoints.

    Notes
    -----
    *Batch normalization* in training mode makes the loss a function of the whole batch; the result is the trace for
    this function. Running statistics change only in `objective`. *Dropout.* A penalty with its own forward pass draws
    its own mask; with ``outputs=`` or `objective` the mask is that of the loss. *Mixed precision.* Under autocast,
    matrix products use autocast's dtype, roots use float32 or more, and squares are summed in the dtype of the
    parameters. Prefer bfloat16 to float16, in which squared gradients underflow. *Under* `torch.no_grad` a call only
    returns the trace: it keeps no graph and ignores ``every``. *Fused attention and compiled models* are evaluated
    without fusion and compilation, which have no second derivative; outputs passed as ``outputs=`` must have been
    evaluated in this way, too.

    References
    ----------
    Hutchinson, "A stochastic estimator of the trace of the influence matrix", Communications in Statistics 19(2), 1990.
    Martens, Sutskever, Swersky, "Estimating the Hessian by back-propagating curvature", ICML 2012.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    >>> loss = torch.nn.CrossEntropyLoss()
    >>> penalty = nn.HessianTracePenalty(model, loss, seed=0)
    >>> x, y = torch.randn(16, 3), torch.randint(2, (16,))
    >>> (loss(model(x), y) + 0.1 * penalty(x, y)).backward()
    >>> penalty.objective(x, y, alpha=0.1).backward()  # the same with one forward pass in place of two
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any = None,
        *,
        of: Of = "gauss_newton",
        probe: Probe = "auto",
        probes: int = 1,
        every: int = 1,
        seed: int | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
        if loss is not None and not callable(loss):
            raise InputError(f"loss is {loss!r}, expected a function of outputs and targets")
        for name, value, choices in (("of", of, get_args(Of)), ("probe", probe, get_args(Probe))):
            if value not in choices:
                raise InputError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
        if of == "hessian" and probe == "per_example":
            raise InputError("probe is 'per_example' for the whole Hessian, expected 'auto' or 'vjp'")
        self.model, self.loss, self.of, self.probe = model, OwnLoss() if loss is None else loss, of, probe
        self._pieces = Pieces(self.loss, repeatable=True)
        self._needs_labels = False  # whether the model needs the labels of a mapping for its logits
        self.probes, self.every = whole_number(probes, "probes", 1), whole_number(every, "every", 1)
        self.calls = 0
        # By training modes and trained parameters, and apart for batches of one example: how many batches agreed with
        # their full gradients, or -1 if one did not.
        self._agreed: dict[str, int] = {}
        self.generator = torch.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(whole_number(seed, "seed", 0))

    def __call__(self, x: Any, y: Any = None, *, outputs: Any = None) -> Tensor:
        """Return the penalty of a batch, a scalar tensor; the batch is x and y, or a mapping x with labels.

        ``outputs`` is ``model(x)`` with its graph, which saves a forward pass; it is not allowed with
        ``probe="per_example"``.
        """
        if not self._is_due():
            return torch.zeros((), requires_grad=True)
        batch = self._batch(x, y)
        if outputs is None:
            return self._mean(batch, self._of_piece)
        if self.probe == "per_example":
            raise InputError("outputs were given with probe='per_example', expected none; use penalty.objective(x, y)")
        return self._value(self._suited(getattr(outputs, "logits", outputs), batch), batch.y, None)

    def objective(self, x: Any, y: Any = None, alpha: float = 1.0) -> Tensor:
        """Return ``loss(model(x), y) + alpha * penalty(x, y)`` from a single forward pass, a scalar tensor."""
        if not (isinstance(alpha, Tensor) or math.isfinite(real_number(alpha))):
            raise InputError(f"alpha is {shown(alpha)}, expected a finite number")
        batch = self._batch(x, y)
        if not self._is_due():
            return torch.as_tensor(self.loss(batch.outputs(self.model, self.loss), batch.y))
        return self._mean(batch, partial(self._objective_of_piece, alpha))

    def _of_piece(self, batch: Batch) -> Tensor:
        with twice_differentiable(self.model), self._recording() as layers, self._untouched() as model:
            outputs = self._suited(batch.outputs(model, self.loss), batch)
        return self._value(outputs, batch.y, layers)

    def _objective_of_piece(self, alpha: float, batch: Batch) -> Tensor:
        with twice_differentiable(self.model), self._recording() as layers:
            outputs = self._suited(batch.outputs(self.model, self.loss), batch)
        total: Tensor = self.loss(outputs, batch.y) + alpha * self._value(outputs, batch.y, layers)
        return total

    def _suited(self, outputs: Any, batch: Batch) -> Any:
        """Return the outputs of a batch; raise `InputError` if they do not suit the loss, or weights are NaN."""
        check_targets(known_loss(self.loss) or self.loss, outputs, batch.y)
        if isinstance(outputs, Tensor) and bool(outputs.isnan().all()):
            for name, p in self.model.named_parameters():
                if not bool(torch.isfinite(p).all()):
                    raise InputError(
                        f"the parameter {name} is not finite, expected finite weights; reduce the step size"
                    )
        return outputs

    def _mean(self, batch: Batch, function: Callable[[Batch], Tensor]) -> Tensor:
        """Return the mean of a function over the pieces of a batch, which is divided only if it would not fit."""

        def run(evaluated: Callable[[nn.Module, list[Tensor]], Any]) -> Any:
            with twice_differentiable(self.model), self._untouched() as model:
                return evaluated(model, [*parameters])

        parameters = [p for p in self.model.parameters() if p.requires_grad]
        pieces = list(self._pieces(0, batch, run)) if parameters else [batch]
        return mean_over(pieces, function, parameters, torch.is_grad_enabled())

    def _batch(self, x: Any, y: Any) -> Batch:
        """Return a batch; the first trainer's batch shows the model's own loss if no loss was given."""
        check_values(self.model.parameters())
        if any(p.dtype == torch.float16 for p in self.model.parameters()):
            raise InputError(
                "the parameters are float16, in which squared gradients underflow, expected float32; use torch.autocast"
            )
        batch = self._unchecked(x, y)
        if not batch.size:
            raise InputError("the batch is empty, expected at least one sample")
        numbers = (t for t in tree_leaves((batch.x, batch.y)) if isinstance(t, Tensor) and t.is_floating_point())
        if any(bool(t.isnan().any()) for t in numbers):
            raise InputError("the batch has NaN, expected numbers; remove these samples")
        return batch

    def _unchecked(self, x: Any, y: Any) -> Batch:
        if y is not None or not isinstance(x, Mapping):
            if isinstance(self.loss, OwnLoss):
                raise InputError(f"loss is missing, expected one, or batches that are mappings with {LABELS!r}")
            return Batch.from_pair(x, y, self.loss)
        if isinstance(self.loss, OwnLoss):
            with torch.enable_grad(), self._untouched() as model:
                self.loss, self._needs_labels = own_loss(model, [x])
            self._pieces.loss = self.loss
        return Batch.from_mapping(x, self.loss, self._needs_labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of calls, the state of the generator, and the test results for separate examples."""
        return {"calls": self.calls, "generator": self.generator.get_state(), "agreed": dict(self._agreed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        for key in ("calls", "generator"):
            if key not in state:
                raise InputError(f"the state has no {key!r}, expected one that state_dict() of a penalty returned")
        self.calls = int(state["calls"])
        self.generator.set_state(state["generator"].cpu())
        self._agreed = dict(state.get("agreed", {}))

    def _is_due(self) -> bool:
        """Count a call of the training loop, and return whether the penalty is computed in it."""
        if not torch.is_grad_enabled():
            return True
        self.calls += 1
        return (self.calls - 1) % self.every == 0

    @contextmanager
    def _recording(self) -> Iterator[PerExample | None]:
        """Yield a record of the forward pass if gradients may be squared example by example, otherwise None."""
        layers = PerExample(self.model)
        if self.probe == "vjp" or self.of == "hessian" or (self.probe == "auto" and layers.convolve):
            yield None
            return
        with layers.recording():
            yield layers

    def _separable(self, outputs: Tensor, layers: PerExample | None) -> PerExample | None:
        """Return the layers if gradients can be squared example by example; batches 1, 2, 3, 5, 9, ... test this."""
        if layers is None:
            return None
        obstacle = layers.obstacle(outputs)
        if obstacle is None and len(outputs):
            flags = [m.training for m in self.model.modules()] + [p.requires_grad for p in self.model.parameters()]
            case = "one:" * (len(outputs) == 1) + "".join("01"[flag] for flag in flags)
            good = self._agreed.get(case, 0)
            found = layers.agrees(outputs) if good >= 0 and not good & (good - 1) else good > 0
            if found is None and not good and self.probe == "auto":
                return None
            self._agreed[case] = -1 if found is False else good + 1
            if found is False:
                obstacle = "examples interact or a hook changes what a layer returns, expected neither"
        if obstacle is None:
            return layers
        if self.probe == "per_example":
            raise InputError(f"{obstacle}; use probe='vjp'")
        return None

    @contextmanager
    def _untouched(self) -> Iterator[Any]:
        """Yield a function that runs the model on copies of its buffers; random states are restored after the block."""
        model = unwrapped(self.model)
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
        with torch.random.fork_rng(list(devices)):
            yield (lambda *args, **keywords: functional_call(model, buffers, args, keywords)) if buffers else model

    def _value(self, outputs: Any, y: Any, layers: PerExample | None) -> Tensor:
        """Return the estimate for outputs with their graph."""
        outputs = _checked(outputs)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if any(p.is_complex() for p in parameters):
            raise InputError("the model has complex parameters, expected their real and imaginary parts as parameters")
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            layers = self._separable(outputs, layers)
            if self.of == "hessian":
                estimates = self._curvatures(outputs, y, parameters)
            else:
                estimates = self._squares(outputs, y, parameters, layers, differentiable)
            total = torch.stack(list(estimates)).mean()
        if not differentiable:
            return total.detach()
        return self.every * total if total.requires_grad else (self.every * total).requires_grad_()

    def _squares(
        self, outputs: Tensor, y: Tensor, parameters: list[nn.Parameter], layers: PerExample | None, graph: bool
    ) -> Iterator[Tensor]:
        for _ in range(self.probes):
            w = loss_root(self.loss, outputs, y, self._signs(outputs))
            if layers is not None:
                yield layers.square(outputs, w, differentiable=graph, signs=self._signs)
                continue
            gradients = torch.autograd.grad(
                outputs, parameters, w, create_graph=graph, retain_graph=True, allow_unused=True
            )
            yield _inner(gradients, gradients)

    def _curvatures(self, outputs: Tensor, y: Tensor, parameters: list[nn.Parameter]) -> Iterator[Tensor]:
        loss = self.loss(outputs, y)
        if loss.ndim:
            raise InputError(f"the loss has shape {tuple(loss.shape)}, expected a single number")
        gradients = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        for _ in range(self.probes):
            signs = [self._signs(p) for p in parameters]
            slope = _inner(gradients, signs)
            if not slope.requires_grad:
                yield slope.new_zeros(())
                continue
            products = torch.autograd.grad(slope, parameters, create_graph=True, allow_unused=True)
            yield _inner(products, signs)

    def _signs(self, like: Tensor) -> Tensor:
        """Return random signs, drawn on the CPU so that a seed gives the same signs on every device."""
        signs = torch.empty(like.shape, dtype=like.dtype).bernoulli_(0.5, generator=self.generator)
        return signs.mul_(2).sub_(1).to(like.device)


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Run a model without fused attention and compiled code, which have no second derivative."""
    compiled = any(hasattr(m, "_orig_mod") or m._compiled_call_impl is not None for m in model.modules())
    eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), eager:
        yield


def _checked(outputs: Any) -> Tensor:
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        found = f"a tensor of {outputs.dtype}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise InputError(f"the model returns {found}, expected a tensor of real floating point numbers")
    if not outputs.requires_grad:
        raise InputError("the outputs depend on no parameter that requires a gradient, expected at least one")
    if "CheckpointFunctionBackward" in _operations(outputs):
        raise InputError("the model has reentrant checkpoints, expected checkpoint(..., use_reentrant=False)")
    return widened(outputs)


def _operations(outputs: Tensor) -> set[str]:
    """Return the names of the operations in the graph of a tensor."""
    pending, seen = [outputs.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            pending.extend(following for following, _ in node.next_functions)
    return {node.name() for node in seen}


def _inner(first: Any, second: Any) -> Tensor:
    """Return the inner product of two lists of tensors; None counts as zero."""
    terms = [(a * b).sum() for a, b in zip(first, second, strict=True) if a is not None]
    return torch.stack(terms).sum()
