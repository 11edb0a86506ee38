"""Traces of the Hessian of a loss, or of its Gauss-Newton part, for any network and any data."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any, Unpack

import torch
from torch import nn

from flatmin._core.validation import seed_number
from flatmin.errors import InputError
from flatmin.nn.estimators import ESTIMATORS, TraceRequest
from flatmin.nn.estimators._auto import auto
from flatmin.nn.estimators._exact import exact_sum
from flatmin.nn.estimators.base import PRODUCTS, Operator, TraceEstimate, changed
from flatmin.nn.estimators.sample import Blocks
from flatmin.nn.estimators.spending import shown
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions, shows_options
from flatmin.nn.operators.output_trace import output_traces
from flatmin.nn.operators.streaming import Loss

__all__ = ["METHODS", "hessian_trace", "operator_trace"]

#: Names of the methods.
METHODS = ("auto", *ESTIMATORS)


@shows_options
def hessian_trace(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    method: str = "auto",
    max_products: int | None = None,
    target_std_error: float | None = None,
    groups: str | Mapping[str, Iterable[str]] | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> TraceEstimate:
    r"""Return the trace of the Hessian of a loss, averaged over all samples, or of its Gauss-Newton part.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`, or a `Curvature` in place of all of them. The model is not changed.
    method : {"auto", "exact", "hutchinson", "hutch++", "xtrace", "xnystrace"}
        ``"exact"`` takes n products for n parameters. For the Gauss-Newton matrix of separate samples it takes one
        gradient for each output of each sample, for any n. ``"auto"`` is exact if that takes no more products than
        allowed. Otherwise it is Hutch++ if few eigenvalues dominate, or else Hutchinson's estimator. The field
        ``method`` of the result has the choice. ``"xnystrace"`` is for the Gauss-Newton part only.
    max_products : int, optional
        Largest number of products, each of which reads all data and costs about two gradients. The default is 100, or
        no limit if there is a target.
    target_std_error : float, optional
        The standard error at which to stop, in the units of the trace.
    groups : {"parameter", "module"} or mapping, optional
        Diagonal blocks whose traces are wanted as well: one for each parameter, one for each module with parameters of
        its own, or a mapping of names to names of parameters.
    seed : int
        Seed of the random vectors; the same in every process.

    Raises
    ------
    InputError
        If an argument cannot be used, or the loss is not finite or not an average over samples.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", 2024. For each method,
    see its function in `flatmin.nn.estimators`.

    Examples
    --------
    The trace of a factored model agrees with its closed formula:

    >>> import torch, flatmin as fm
    >>> problem = fm.families.matrix_sensing.sample((5, 4), 1, 20).problem
    >>> model = fm.nn.FactoredModel(problem, rank=2)
    >>> data = torch.arange(20), torch.from_numpy(problem.data)
    >>> trace = hessian_trace(model, torch.nn.MSELoss(), data, groups="parameter")
    >>> abs(trace.value / model.flatness().hessian_trace - 1) < 1e-12
    True
    >>> trace.method, trace.n_products, list(trace.groups)
    ('exact', 18, ['L', 'R'])
    """
    generator = _generator(method, seed)
    curvature = Curvature.from_arguments(model, loss, data, **options)
    members = _members(groups, curvature.weights.names)
    rows = _rows(members, curvature.weights.numbers)
    request = TraceRequest(curvature, generator, max_products, target_std_error, rows)
    n = request.check(1)
    if curvature.of == "gauss_newton" and method in ("auto", "exact"):
        limit = PRODUCTS if method == "auto" else n
        found = output_traces(curvature, min(n, max_products or limit))
        if found is not None:
            return changed(exact_sum(*found, members), of=curvature.of)
    return changed(_estimated(request, method), of=curvature.of)


def operator_trace(
    operator: Operator,
    *,
    method: str = "auto",
    max_products: int | None = None,
    target_std_error: float | None = None,
    blocks: Blocks | None = None,
    seed: int = 0,
) -> TraceEstimate:
    """Return the trace of a symmetric operator and of its diagonal blocks.

    Parameters
    ----------
    operator : Operator
        Symmetric, (n, n), for instance a dense tensor.
    method, max_products, target_std_error, seed
        As for `hessian_trace`, which raises the same errors.
    blocks : mapping of str to index, optional
        Rows of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.

    Examples
    --------
    >>> import torch
    >>> found = operator_trace(torch.diag(torch.tensor([1.0, 2.0, 4.0])), blocks={"last": slice(2, 3)})
    >>> found.value, found.groups["last"].value
    (7.0, 4.0)
    """
    generator = _generator(method, seed)
    return _estimated(TraceRequest(operator, generator, max_products, target_std_error, blocks), method)


def _generator(method: str, seed: int) -> torch.Generator:
    """Return the generator of the random vectors; raise `InputError` for an unknown method or a bad seed."""
    if method not in METHODS:
        raise InputError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    return torch.Generator().manual_seed(seed_number(seed))


def _estimated(request: TraceRequest, method: str) -> TraceEstimate:
    n = request.check(1)
    limit = request.max_products or PRODUCTS
    if method == "auto" and n <= limit:
        method = "exact"
    unknown = request.target_std_error is not None and request.max_products is None
    total = n if method == "exact" else None if unknown else limit
    with shown(request.operator, total) as operator:
        return (auto if method == "auto" else ESTIMATORS[method])(replace(request, operator=operator))


def _members(groups: str | Mapping[str, Iterable[str]] | None, names: list[str]) -> dict[str, list[int]] | None:
    """Return the positions of the parameters in each group."""
    if groups is None:
        return None
    if isinstance(groups, str):
        if groups not in ("parameter", "module"):
            raise InputError(
                f"groups is {groups!r}, expected 'parameter', 'module' or a mapping of names to parameters"
            )
        found: dict[str, list[int]] = {}
        for i, name in enumerate(names):
            found.setdefault(name if groups == "parameter" else name.rpartition(".")[0] or "model", []).append(i)
        return found
    if not isinstance(groups, Mapping):
        raise InputError(f"groups is a {type(groups).__name__}, expected a mapping of names to names of parameters")
    found, position = {}, {name: i for i, name in enumerate(names)}
    for group, wanted in groups.items():
        if not isinstance(wanted, Iterable):
            raise InputError(f"the group {group!r} is a {type(wanted).__name__}, expected names of parameters")
        members = dict.fromkeys([wanted] if isinstance(wanted, str) else wanted)
        unknown = [name for name in members if name not in position]
        if unknown or not members:
            raise InputError(
                f"the group {group!r} has {unknown or 'no names'}, expected names among {', '.join(names)}"
            )
        found[group] = [position[name] for name in members]
    return found


def _rows(members: dict[str, list[int]] | None, numbers: list[int]) -> Blocks | None:
    """Return the rows of the operator that belong to each group: a slice where they are consecutive."""
    starts = [0, *accumulate(numbers)]

    def rows(chosen: list[int]) -> Any:
        if chosen == list(range(chosen[0], chosen[-1] + 1)):
            return slice(starts[chosen[0]], starts[chosen[-1] + 1])
        return torch.cat([torch.arange(starts[i], starts[i + 1]) for i in chosen])

    return members and {group: rows(chosen) for group, chosen in members.items()}
