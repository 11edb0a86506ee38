"""Flatness of low-rank adapters: traces in the factors and in the weights, and the flattest factors."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn

from flatmin._core.validation import seed_number, shown, whole_number
from flatmin.errors import InputError
from flatmin.nn.adapters.fibre import flattest_factors, smallest_trace
from flatmin.nn.adapters.layers import Adapter, find_adapters
from flatmin.nn.adapters.probing import MIN_PROBES, Forms, Traces, exact_traces, probed_traces
from flatmin.nn.adapters.ranks import DataParts, RankEvidence, find_ranks
from flatmin.nn.estimators.base import PRODUCTS, TraceEstimate
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions
from flatmin.nn.operators.streaming import Loss

__all__ = ["AdapterFlatness", "MeasuredAdapter", "adapter_flatness", "rebalance_"]

#: The methods of `adapter_flatness`.
_METHODS = ("auto", "exact", "hutchinson")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MeasuredAdapter:
    """An adapter with the partial traces P and Q, (r, r), of the curvature in A and in B, and its factors then."""

    adapter: Adapter
    P: Tensor
    Q: Tensor
    factors: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class AdapterFlatness:
    """The flatness of the adapters of a model, with a 95 % interval for each number.

    The first four fields are each a `TraceEstimate` for all adapters, whose ``groups`` are the adapters by name.

    Attributes
    ----------
    trace
        The trace of the Gauss-Newton matrix in the factors A and B.
    weight_trace
        The trace in the adapted weights W, as if all their entries were trained.
    fibre_minimum
        The smallest trace in the factors among all factors with the same products ``B A``, see `rebalance_`.
    excess
        The difference ``trace - fibre_minimum``.
    adapters
        The adapters by name, with the curvature that `rebalance_` uses.
    ranks
        The rank that each adapter needs, with its evidence, see `RankEvidence`.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> adapter = nn.LowRankAdapter(torch.nn.Linear(6, 4), rank=2)
    >>> adapter.B.data += 1.0
    >>> x, y = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(50, 4)
    >>> found = nn.adapter_flatness(adapter, torch.nn.MSELoss(), (x, y))
    >>> found.trace.value > found.fibre_minimum.value, found.rank_pattern
    (True, {'model': 1})
    """

    trace: TraceEstimate
    weight_trace: TraceEstimate
    fibre_minimum: TraceEstimate
    excess: TraceEstimate
    adapters: Mapping[str, MeasuredAdapter]
    ranks: Mapping[str, RankEvidence]

    def patterns(self, label: str | None = None) -> dict[str, dict[str, Any]]:
        """Return the ranks found, at least 1, as the arguments of PEFT's ``LoraConfig``: `get_peft_model` then keeps s.

        PEFT scales an adapter by ``lora_alpha / r``, so another rank changes s unless alpha is changed too.

        Parameters
        ----------
        label : str, optional
            The name of one of PEFT's adapters, needed if several are active.

        Returns
        -------
        dict
            ``rank_pattern`` and ``alpha_pattern``, each with one number for each adapted layer. Longer names come
            first, because PEFT takes the first name that is the end of a layer's path.

        Examples
        --------
        >>> settings = peft.LoraConfig(target_modules=targets, **found.patterns())  # doctest: +SKIP
        """
        labels = list(dict.fromkeys(self.adapters[name].adapter.label for name in self.ranks))
        if label is None and len(labels) > 1:
            raise InputError(
                f"the adapters {', '.join(map(str, labels))} are active, expected one; call patterns(name)"
            )
        if label is not None and label not in labels:
            raise InputError(f"label is {shown(label)}, expected one of {', '.join(map(str, labels)) or 'no adapters'}")
        ranks = {self.adapters[name].adapter: max(evidence.rank, 1) for name, evidence in self.ranks.items()}
        chosen = {a: rank for a, rank in ranks.items() if label is None or a.label == label}
        chosen = dict(sorted(chosen.items(), key=lambda pair: -pair[0].layer.count(".")))
        return {
            "rank_pattern": {a.layer: rank for a, rank in chosen.items()},
            "alpha_pattern": {a.layer: a.alpha(rank) for a, rank in chosen.items()},
        }

    @property
    def rank_pattern(self) -> dict[str, int]:
        """The ranks found, at least 1, as the argument ``rank_pattern`` of PEFT's ``LoraConfig``, see `patterns`."""
        return self.patterns()["rank_pattern"]

    @property
    def alpha_pattern(self) -> dict[str, float]:
        """The values of ``lora_alpha`` with which the ranks found have the scales of now, see `patterns`."""
        return self.patterns()["alpha_pattern"]

    def __str__(self) -> str:
        columns = {
            "trace": self.trace,
            "least": self.fibre_minimum,
            "excess": self.excess,
            "trace in W": self.weight_trace,
        }
        width = max(len(name) for name in [*self.adapters, "all adapters"])
        lines = [" " * width + "".join(f"{title:>24}" for title in columns)]
        for name in [*self.adapters, "all adapters"]:
            cells = [e if name == "all adapters" else (e.groups or {})[name] for e in columns.values()]
            lines.append(f"{name:{width}}" + "".join(f"{_shown(e):>24}" for e in cells))
        return "\n".join(lines)


def adapter_flatness(
    model: nn.Module,
    loss: Loss | None,
    data: Any,
    *,
    method: str = "auto",
    max_products: int | None = None,
    ranks: bool = True,
    mode: str = "eval",
    distributed: Any = False,
    seed: int = 0,
) -> AdapterFlatness:
    r"""Return how flat a loss is in the low-rank adapters ``W = W0 + s B A`` of a model.

    For each adapter the result has the trace of the Gauss-Newton matrix in (A, B) and in W, and the smallest trace in
    (A, B) over all factors of the same product. With the partial traces ``M_l`` and ``M_r`` of the matrix in W over
    columns and rows,

    .. math::
        \operatorname{tr}_{(A,B)} = s^2 (\operatorname{tr} B^T M_l B + \operatorname{tr} A M_r A^T)
        \;\ge\; 2 s^2 \|M_l^{1/2} B A M_r^{1/2}\|_*.

    ``rank_pattern`` of the result has the rank that each adapter needs, by a test against the noise between samples.

    The model is not changed. In layers with DoRA the norm of the weights counts as constant, as in PEFT's gradients.

    Parameters
    ----------
    model : torch.nn.Module
        A model with adapters of PEFT, `LowRankAdapter` layers, or others that `find_adapters` recognizes.
    loss, data, mode, distributed
        As for `Curvature`. The loss needs a root, see `loss_root`, unless the method is exact.
    method : {"auto", "exact", "hutchinson"}
        ``"exact"`` takes one gradient for each output of each sample, which must not interact. ``"hutchinson"`` takes
        random probes ``Jᵀ S v``, one gradient of all data each. ``"auto"`` is exact if a sample has no more than
        ``max_products`` outputs.
    max_products : int, optional
        The number of probes, and for ``"auto"`` the largest number of outputs; 100 by default.
    ranks : bool
        Whether ranks are tested as well, which takes a forward pass for each rank of each adapter.
    seed : int
        Seed of the probes.

    Returns
    -------
    AdapterFlatness
        Intervals are from the jackknife over probes, which also removes the leading bias of ``fibre_minimum``. An
        interrupt (Ctrl-C) after 16 probes returns the numbers of the probes up to then; one in the test of ranks
        returns them without ranks.

    Raises
    ------
    InputError
        If an argument cannot be used, the model has no adapter, or an adapter does not act as ``W0 + s B A``.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", arXiv 2203.03756. Hu et
    al., "LoRA: low-rank adaptation of large language models", arXiv 2106.09685.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> adapter = nn.LowRankAdapter(torch.nn.Linear(6, 4), rank=2)
    >>> adapter.B.data += 1.0
    >>> x, y = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(50, 4)
    >>> before = adapter_flatness(adapter, torch.nn.MSELoss(), (x, y))
    >>> rebalance_(before)
    >>> after = adapter_flatness(adapter, torch.nn.MSELoss(), (x, y))
    >>> abs(after.trace.value / before.fibre_minimum.value - 1) < 1e-3
    True
    """
    if method not in _METHODS:
        raise InputError(f"method is {method!r}, expected one of {', '.join(_METHODS)}")
    limit = PRODUCTS if max_products is None else whole_number(max_products, "max_products", 1)
    adapters = find_adapters(model)
    parameters = list(dict.fromkeys(p for adapter in adapters for p in adapter.parameters))
    options: CurvatureOptions = {"of": "gauss_newton", "parameters": parameters, "mode": mode}
    options["distributed"] = distributed
    curvature = Curvature(model, loss, data, **options)
    forms = Forms.from_curvature(adapters, curvature)
    forms.check(curvature)
    found = None
    if method != "hutchinson":
        found = exact_traces(forms, curvature, limit if method == "auto" else curvature.shape[0])
    if found is None and method == "exact":
        raise InputError("method is 'exact' for samples that interact or have too many outputs, expected 'hutchinson'")
    if found is None and limit < MIN_PROBES:
        raise InputError(f"max_products is {limit}, expected at least {MIN_PROBES}; fewer give no reliable interval")
    if found is not None:
        traces, count, name = *found, "exact"
    else:
        traces, name = probed_traces(forms, curvature, limit, seed_number(seed)), "hutchinson"
        count = len(traces[0].P)  # an interrupt leaves fewer
    means = traces if name == "exact" else [Traces(*(t.mean(0) for t in one)) for one in traces]
    parts = Curvature(model, loss, DataParts(curvature.batches.data), **options)
    return AdapterFlatness(
        **_estimates(adapters, traces, name, count),
        adapters={adapter.name: _measured(adapter, one) for adapter, one in zip(adapters, means, strict=True)},
        ranks=_ranks(adapters, means, parts, seed_number(seed)) if ranks else {},
    )


def _ranks(
    adapters: Sequence[Adapter], traces: Sequence[Traces], curvature: Curvature, seed: int
) -> dict[str, RankEvidence]:
    """Return the evidence for the rank of each adapter; an interrupt of a single process ends the test without any."""
    try:
        return find_ranks(adapters, traces, curvature, seed)
    except KeyboardInterrupt:
        if curvature.processes.count > 1:
            raise
        _log.warning("interrupted in the test of ranks; the traces are returned without ranks")
        return {}


def rebalance_(adapter: AdapterFlatness | MeasuredAdapter | nn.Module) -> None:
    """Replace the factors of adapters in place by the flattest factors (B G, G⁻¹ A) of the same products ``B A``.

    The function that the model computes does not change, up to rounding. The columns of the new B and the rows of the
    new A are sorted by their share of the trace, and the traces in A and in B are equal. Adapters with a zero factor
    are left as they are: their flattest factors are zero, where gradients vanish. Momenta of optimizers belong to the
    old factors, so reset the optimizer.

    Parameters
    ----------
    adapter : AdapterFlatness or MeasuredAdapter or torch.nn.Module
        A result of `adapter_flatness`, or one entry of its ``adapters``. For a model or an adapted layer the curvature
        is not known, and the new factors are those of least norm, which are flattest if the curvature in W is a
        multiple of the identity in rows and in columns.

    Raises
    ------
    InputError
        If the argument is none of these, or a factor has changed since it was measured.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> adapter = nn.LowRankAdapter(torch.nn.Linear(6, 4), rank=2)
    >>> torch.nn.init.normal_(adapter.B, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([4, 2])
    >>> rebalance_(adapter)
    >>> torch.allclose(adapter.B.T @ adapter.B, adapter.A @ adapter.A.T, atol=1e-5)
    True
    """
    if isinstance(adapter, AdapterFlatness):
        measured = list(adapter.adapters.values())
    elif isinstance(adapter, MeasuredAdapter):
        measured = [adapter]
    elif isinstance(adapter, nn.Module):
        measured = [_isotropic(one) for one in find_adapters(adapter)]
    else:
        raise InputError(f"adapter is a {type(adapter).__name__}, expected a model or a result of adapter_flatness")
    for one in measured:
        present = one.adapter.A, one.adapter.B
        if not all(bool(torch.isfinite(p).all()) for p in present):
            raise InputError(f"the factors of {one.adapter.name} have NaN or infinity, expected finite numbers")
        if not all(torch.equal(p.detach(), t) for p, t in zip(present, one.factors, strict=True)):
            raise InputError(f"{one.adapter.name} has changed since it was measured, expected the same factors")
    for one in measured:
        _move(one)


def _isotropic(adapter: Adapter) -> MeasuredAdapter:
    """Return an adapter with the curvature of the identity in W, up to a factor."""
    A, B = adapter.A.detach(), adapter.B.detach()
    left, right = B.double().movedim(1, 0).flatten(1), A.double().flatten(1)
    return MeasuredAdapter(adapter, left @ left.mT, right @ right.mT, (A.clone(), B.clone()))


@torch.no_grad()
def _move(measured: MeasuredAdapter) -> None:
    A, B = measured.adapter.A, measured.adapter.B
    if bool(measured.P.any()) and bool(measured.Q.any()):
        first, second = flattest_factors(A, B, measured.P, measured.Q)
        A.copy_(first)
        B.copy_(second)


def _measured(adapter: Adapter, traces: Traces) -> MeasuredAdapter:
    return MeasuredAdapter(adapter, traces.P, traces.Q, (adapter.A.detach().clone(), adapter.B.detach().clone()))


def _estimates(adapters: Sequence[Adapter], traces: list[Traces], method: str, count: int) -> dict[str, TraceEstimate]:
    """Return the four numbers for exact partial traces, or for one estimate of them for each probe."""
    rows: dict[str, list[Tensor]] = {"trace": [], "weight_trace": [], "fibre_minimum": [], "excess": []}
    for one in traces:
        both = one if method != "exact" else Traces(*(t[None] for t in one))
        if method != "exact":  # the mean over all probes, and then the means without one of them
            means = [t.mean(0, keepdim=True) for t in one]
            pairs = zip(means, one, strict=True)
            both = Traces(*(torch.cat([mean, (count * mean - t) / (count - 1)]) for mean, t in pairs))
        least = smallest_trace(both.P, both.Q)
        for key, value in zip(rows, (both.trace, both.weight, least, both.trace - least), strict=True):
            rows[key].append(value)
    names, found = [adapter.name for adapter in adapters], {}
    for key, values in rows.items():
        estimate = partial(_estimate, method=method, count=count, skewed=key != "excess")
        parts = {name: estimate(v) for name, v in zip(names, values, strict=True)}
        found[key] = replace(estimate(torch.stack(values).sum(0)), groups=parts)
    return found


def _estimate(values: Tensor, method: str, count: int, *, skewed: bool) -> TraceEstimate:
    """Return the jackknife estimate from the value for all probes and the values without one of them.

    The interval is Student's. Positive sums of squares have a skewed distribution, for which the interval is symmetric
    in the logarithm.
    """
    whole, without = values[0], values[1:]
    if method == "exact":
        value = float(whole)
        return TraceEstimate(value, 0.0, (value, value), count, method, "gauss_newton")
    mean = without.mean()
    value = float(count * whole - (count - 1) * mean)
    error = float(((count - 1) / count * (without - mean).square().sum()).sqrt())
    half = float(stdtrit(count - 1, 0.975)) * error
    if skewed and value > 0:
        factor = math.exp(min(half / value, 100.0))
        interval = value / factor, value * factor
    else:
        interval = value - half, value + half
    return TraceEstimate(value, error, interval, count, method, "gauss_newton")


def _shown(estimate: TraceEstimate) -> str:
    if estimate.method == "exact":
        return f"{estimate.value:.4g}"
    low, high = estimate.interval
    return f"{estimate.value:.3g} [{low:.3g}, {high:.3g}]"
