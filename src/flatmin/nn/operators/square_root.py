"""Square roots of the Hessian of a loss with respect to the outputs of a network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flatmin.errors import InputError
from flatmin.nn.operators.token_loss import TokenCrossEntropy
from flatmin.nn.targets import check_labels, check_targets

__all__ = ["check_root", "cross_entropy_mass", "known_loss", "loss_root", "register_root", "takes_logits"]

#: A function of (loss, outputs, targets, probe v) that returns ``S v``, where ``S Sᵀ`` is the Hessian of the loss.
Root = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
#: Module class of each loss function of `torch.nn.functional`; both take the same keywords.
_MODULES: dict[Any, Callable[..., nn.Module]] = {
    F.mse_loss: nn.MSELoss,
    F.cross_entropy: nn.CrossEntropyLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
    F.huber_loss: nn.HuberLoss,
    F.poisson_nll_loss: nn.PoissonNLLLoss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
}


def register_root(loss: Any) -> Callable[[Root], Root]:
    """Register the root of a loss for `loss_root`: decorates a function ``root(loss, outputs, targets, probe)``.

    The function returns ``S v``, a tensor with the shape of the outputs that is linear in the probe v, where ``S Sᵀ``
    is the Hessian of the loss with respect to the outputs. The function must not detach the outputs, since a penalty is
    differentiated through them. `check_root` compares the root with the Hessian.

    Parameters
    ----------
    loss : type or function
        A module class, or a function ``loss(outputs, targets)``. A subclass that overrides ``forward`` needs a root of
        its own.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> def quartic(outputs, targets):
    ...     return ((outputs - targets) ** 4).sum()
    >>> @nn.register_root(quartic)
    ... def root(loss, outputs, targets, probe):
    ...     return 12**0.5 * (outputs - targets) * probe
    >>> outputs, targets = torch.tensor([1.0, 2.0, -1.0]).double(), torch.zeros(3).double()
    >>> bool(nn.check_root(quartic, outputs, targets) < 1e-12)
    True
    """

    def add(root: Root) -> Root:
        _ROOTS[loss] = root
        return root

    return add


def loss_root(loss: Any, outputs: Tensor, targets: Tensor, probe: Tensor) -> Tensor:
    """Return ``w = S v`` where ``S Sᵀ`` is the Hessian of a loss with respect to the outputs.

    If the probe has independent entries of mean 0 and variance 1, ``E[w wᵀ]`` is the Hessian. Nothing is detached, so
    that derivatives of ``|Jᵀ w|²`` are unbiased too. For a batch of n examples and N output entries, the roots are

    - squared error: ``√(2/N) v``;
    - cross entropy, for an example of weight c (1/n in a plain mean): ``√c (√p∘v − p ⟨√p, v⟩)`` with the softmax p;
    - binary cross entropy of logits: ``√(c p(1 − p)/N) v``, where c = 1 without weights; of probabilities:
      ``√(c/N) √(y/p² + (1 − y)/(1 − p)²) v``;
    - Poisson: ``√(e^z/N) v``, or ``√(y/N) v / (z + ε)`` if the output is the rate itself;
    - Huber: ``v/√N`` in the quadratic region and 0 in the linear one; smooth L1: the same divided by √β.

    Class weights, label smoothing, ignored labels, class probabilities and both reductions are accounted for.

    Parameters
    ----------
    loss : module or function
        ``MSELoss``, ``CrossEntropyLoss``, `TokenCrossEntropy`, ``BCEWithLogitsLoss``, ``BCELoss``, ``PoissonNLLLoss``,
        ``HuberLoss``, ``SmoothL1Loss``, the functions of PyTorch's losses (also as `functools.partial` with keywords),
        or a loss given to `register_root`. Losses of log-probabilities are linear and have no root; let the loss
        include the softmax.
    outputs, targets, probe : Tensor
        Outputs and targets as the loss takes them; the probe v and the result w have the shape of the outputs.

    Raises
    ------
    InputError
        If the loss has no known root or another reduction, or the targets have the wrong shape.

    References
    ----------
    Martens, "New insights and perspectives on the natural gradient method", JMLR 21(146), 2020.

    Examples
    --------
    >>> import torch
    >>> outputs, targets = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> w = loss_root(torch.nn.CrossEntropyLoss(), outputs, targets, torch.tensor([[1.0, -1.0], [1.0, 1.0]]))
    >>> w.round(decimals=4)
    tensor([[ 0.5000, -0.5000],
            [ 0.0000,  0.0000]])
    """
    root, loss = _find(loss)
    check_targets(loss, outputs, targets)
    if probe.shape != outputs.shape:
        raise InputError(
            f"the probe has shape {tuple(probe.shape)}, expected that of the outputs, {tuple(outputs.shape)}"
        )
    return root(loss, outputs, targets, probe)


def check_root(loss: Any, outputs: Tensor, targets: Tensor) -> float:
    """Return ``‖S Sᵀ − H‖ / ‖H‖`` (Frobenius) for the root S of a loss and its Hessian H by automatic differentiation.

    The result is a rounding error for a correct root, and about 1 for a wrong one.

    Parameters
    ----------
    loss, outputs, targets
        As for `loss_root`, which raises the same errors; a small batch in float64, since S and H are formed, N×N for N
        output entries.

    Examples
    --------
    >>> import torch
    >>> outputs = torch.tensor([[0.5, -1.0, 2.0]]).double()
    >>> check_root(torch.nn.CrossEntropyLoss(), outputs, torch.tensor([1])) < 1e-14
    True
    """
    outputs, size = outputs.detach(), outputs.numel()
    probes = torch.eye(size, dtype=outputs.dtype, device=outputs.device).reshape(size, *outputs.shape)
    S = torch.stack([loss_root(loss, outputs, targets, probe).flatten() for probe in probes], 1)
    H = torch.autograd.functional.hessian(lambda z: loss(z, targets), outputs)  # type: ignore[no-untyped-call]
    H = H.reshape(size, size)
    error = torch.linalg.norm(S @ S.T - H) / torch.linalg.norm(H).clamp(min=torch.finfo(H.dtype).tiny)
    return float(error)


def known_loss(loss: Any) -> Any:
    """Return a loss with a known root as the module that its root expects, and None for all other losses."""
    try:
        return _find(loss)[1]
    except InputError:
        return None


def takes_logits(loss: Any) -> bool:
    """Return whether a loss is a function of a tensor of outputs, as all losses with a known root are."""
    return known_loss(loss) is not None or isinstance(loss, nn.NLLLoss)


def _find(loss: Any) -> tuple[Root, Any]:
    """Return the root of a loss, and the loss as the module that the root expects."""
    function, keywords = (loss.func, loss.keywords) if isinstance(loss, partial) and not loss.args else (loss, {})
    if function in _MODULES:
        try:
            loss = _MODULES[function](**keywords)
        except TypeError as error:
            raise InputError(
                f"the keywords of {function.__name__} are {keywords}, expected those of its module"
            ) from error
    if getattr(loss, "reduction", "mean") not in ("mean", "sum"):
        raise InputError(f"the loss has the reduction {loss.reduction!r}, expected 'mean' or 'sum'")
    for kind in _kinds(loss) if isinstance(loss, nn.Module) else [function]:
        if kind in _ROOTS:
            return _ROOTS[kind], loss
    known = ", ".join(sorted(kind.__name__ for kind in _ROOTS if isinstance(kind, type)))
    name = getattr(loss, "__name__", type(loss).__name__)
    raise InputError(f"the loss is {name}, expected {known}, or one given to register_root")


def _kinds(loss: nn.Module) -> list[type]:
    """Return the classes of a loss up to the one that defines ``forward``; further base classes are other losses."""
    kinds = type(loss).__mro__
    own = next(i for i, kind in enumerate(kinds) if "forward" in vars(kind))
    return list(kinds[: own + 1])


def _cross_entropy(loss: nn.CrossEntropyLoss, outputs: Tensor, targets: Tensor, probe: Tensor) -> Tensor:
    classes = min(outputs.ndim - 1, 1)
    root_p = (outputs.log_softmax(classes) / 2).exp()
    along = (root_p * probe).sum(classes, keepdim=True)
    root_mass = cross_entropy_mass(loss, outputs.detach(), targets, classes).sqrt().unsqueeze(classes)
    return root_mass * root_p * (probe - root_p * along)


def _token_cross_entropy(loss: TokenCrossEntropy, outputs: Tensor, targets: Tensor, probe: Tensor) -> Tensor:
    check_labels(outputs, targets, -1, loss.ignore_index)
    flat = (t.flatten(0, -2) for t in (outputs, probe))
    return _cross_entropy(loss, next(flat), loss.targets(targets).flatten(), next(flat)).reshape(outputs.shape)


def cross_entropy_mass(loss: nn.CrossEntropyLoss, outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the sum of the target probabilities of each example, including weights and the reduction.

    The loss of an example is ``−Σ_c t_c log p_c``, and its Hessian is ``(Σ_c t_c)(diag p − p pᵀ)`` for any t.
    """
    n_classes, one_each = outputs.shape[classes], outputs.select(classes, 0)
    weight = outputs.new_ones(n_classes) if loss.weight is None else loss.weight.to(outputs)
    smooth = loss.label_smoothing
    if targets.is_floating_point():
        certain = (targets.movedim(classes, -1) * weight).sum(-1)
        total: Tensor | int = one_each.numel()
        kept: Tensor | int = 1
    else:
        kept = targets != loss.ignore_index
        certain = weight[torch.where(kept, targets, 0)] * kept
        total = certain.sum().clamp(min=torch.finfo(certain.dtype).tiny)
    mass = (1 - smooth) * certain + smooth * weight.mean() * kept
    return mass / total if loss.reduction == "mean" else mass


def _binary_cross_entropy(loss: nn.BCEWithLogitsLoss, outputs: Tensor, targets: Tensor) -> Tensor:
    root = ((F.logsigmoid(outputs) + F.logsigmoid(-outputs)) / 2).exp()
    mass = outputs.new_ones(()) if loss.pos_weight is None else 1 - targets + targets * loss.pos_weight.to(outputs)
    return _weighted(loss, mass, outputs).sqrt() * root


def _binary_cross_entropy_of_probabilities(loss: nn.BCELoss, outputs: Tensor, targets: Tensor) -> Tensor:
    p = outputs.clamp(torch.finfo(outputs.dtype).tiny ** 0.25, 1 - torch.finfo(outputs.dtype).eps)
    root = (targets / p**2 + (1 - targets) / (1 - p) ** 2).sqrt()
    return _weighted(loss, outputs.new_ones(()), outputs).sqrt() * root


def _weighted(loss: nn.BCELoss | nn.BCEWithLogitsLoss, mass: Tensor, outputs: Tensor) -> Tensor:
    return mass if loss.weight is None else mass * loss.weight.to(outputs)


def _poisson(loss: nn.PoissonNLLLoss, outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs / 2).exp() if loss.log_input else targets.to(outputs).sqrt() / (outputs + loss.eps)


def _quadratic(outputs: Tensor, targets: Tensor, radius: float, curvature: float) -> Tensor:
    return float(curvature**0.5) * ((outputs - targets).abs() < radius).to(outputs)


def _entrywise(entry_root: Callable[[Any, Tensor, Tensor], Tensor | float]) -> Root:
    """Return the root of a loss that is a sum or mean over entries, from the roots of their second derivatives."""

    def root(loss: Any, outputs: Tensor, targets: Tensor, probe: Tensor) -> Tensor:
        divisor = outputs.numel() if loss.reduction == "mean" else 1
        return entry_root(loss, outputs, targets) * probe / float(divisor**0.5)

    return root


#: The known roots, by module class or function; `register_root` adds to them.
_ROOTS: dict[Any, Root] = {
    nn.CrossEntropyLoss: _cross_entropy,
    TokenCrossEntropy: _token_cross_entropy,
    nn.MSELoss: _entrywise(lambda loss, z, y: float(2**0.5)),
    nn.BCEWithLogitsLoss: _entrywise(_binary_cross_entropy),
    nn.BCELoss: _entrywise(_binary_cross_entropy_of_probabilities),
    nn.PoissonNLLLoss: _entrywise(_poisson),
    nn.HuberLoss: _entrywise(lambda loss, z, y: _quadratic(z, y, loss.delta, 1.0)),
    nn.SmoothL1Loss: _entrywise(lambda loss, z, y: _quadratic(z, y, loss.beta, 1 / (loss.beta or 1))),
}
