"""Traces of the Hessian of a loss, or of its Gauss-Newton part, for any network and any data."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from flatmin._core.validation import seed_number
from flatmin.errors import InputError
from flatmin.nn.estimate import TraceEstimate
from flatmin.nn.estimators import ESTIMATORS, exact
from flatmin.nn.estimators._auto import auto
from flatmin.nn.estimators.base import PRODUCTS, Blocks, Operator, check, packed
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions
from flatmin.nn.operators.output_trace import output_traces
from flatmin.nn.operators.streaming import Loss

__all__ = ["METHODS", "hessian_trace", "labelled", "operator_trace"]

#: Names of the methods.
METHODS = ("auto", *ESTIMATORS)


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
        As for `Curvature`: ``of="hessian"`` or ``"gauss_newton"``, ``parameters``, ``mode`` and ``distributed``. Or a
        `Curvature` in place of all of them. The model is not changed.
    method : {"auto", "exact", "hutchinson", "hutch++", "xtrace"}
        ``"exact"``: n products for n parameters, or, for the Gauss-Newton matrix of separate samples, one gradient for
        each output of each sample, whatever n. ``"auto"``: exact if that takes no more products than allowed;
        otherwise Hutch++ if few directions hold much of the matrix, with a smaller subspace if they hold only some of
        it, and Hutchinson's estimator if no eigenvalues stand out. The result says which.
    max_products : int, optional
        Largest number of products with the whole data set, each of which costs about two gradients. The default is 100,
        and no limit if there is a target.
    target_std_error : float, optional
        The standard error at which to stop, in the units of the trace.
    groups : {"parameter", "module"} or mapping, optional
        Diagonal blocks whose traces are wanted as well: one for each parameter, one for each module with parameters of
        its own, or a mapping of names to names of parameters. If the groups hold every parameter once, their values add
        up to the total.
    seed : int
        Seed of the random vectors; the same in every process.

    Returns
    -------
    TraceEstimate
        Value, standard error, 95 % interval, number of products, and ``groups``.

    Raises
    ------
    InputError
        If an argument cannot be used, or the loss is not finite or not an average over samples.

    References
    ----------
    Ding, Drusvyatskiy, Fazel, Harchaoui, "Flat minima generalize for low-rank matrix recovery", 2024. For each method,
    see the functions in `flatmin.nn.estimators`.

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
    _check_choice(method, seed)
    curvature = Curvature.from_arguments(model, loss, data, **options)
    named = _groups(groups, curvature.weights.names)
    n = check(curvature, max_products, target_std_error, 1)
    if curvature.of == "gauss_newton" and method in ("auto", "exact"):
        limit = PRODUCTS if method == "auto" else n
        found = output_traces(curvature, min(n, max_products or limit))
        if found is not None:
            return labelled(_added(*found, named), curvature.of)
    estimate = operator_trace(
        curvature,
        method=method,
        max_products=max_products,
        target_std_error=target_std_error,
        blocks=_rows(named, curvature.weights.numbers),
        seed=seed,
    )
    return labelled(estimate, curvature.of)


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
        As for `hessian_trace`.
    blocks : mapping of str to index, optional
        Rows of each diagonal block whose trace is wanted: a slice or a tensor of row numbers.

    Raises
    ------
    InputError
        If an argument is out of range, or a product not finite.

    Examples
    --------
    >>> import torch
    >>> found = operator_trace(torch.diag(torch.tensor([1.0, 2.0, 4.0])), blocks={"last": slice(2, 3)})
    >>> found.value, found.groups["last"].value
    (7.0, 4.0)
    """
    _check_choice(method, seed)
    n = check(operator, max_products, target_std_error, 1)
    if method == "auto":
        estimator = exact if n <= (max_products or PRODUCTS) else auto
        max_products = max_products or (PRODUCTS if target_std_error is None else None)
    else:
        estimator = ESTIMATORS[method]
    return estimator(
        operator,
        generator=torch.Generator().manual_seed(int(seed)),
        max_products=max_products,
        target_std_error=target_std_error,
        blocks=blocks,
    )


def _check_choice(method: str, seed: int) -> None:
    if method not in METHODS:
        raise InputError(f"method is {method!r}, expected one of {', '.join(METHODS)}")
    seed_number(seed)


def labelled(estimate: TraceEstimate, of: str) -> TraceEstimate:
    """Return an estimate and its groups with the name of the operator."""
    parts = estimate.groups and {name: replace(part, of=of) for name, part in estimate.groups.items()}
    return replace(estimate, of=of, groups=parts)


def _added(traces: Tensor, passes: int, groups: dict[str, list[int]] | None) -> TraceEstimate:
    """Return the exact result from the traces of all parameters."""

    def statistics(chosen: Any) -> tuple[float, float, tuple[float, float]]:
        value = traces[chosen].sum().item()
        return value, 0.0, (value, value)

    return packed("exact", passes, groups, statistics)


def _groups(groups: str | Mapping[str, Iterable[str]] | None, names: list[str]) -> dict[str, list[int]] | None:
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


def _rows(groups: dict[str, list[int]] | None, numbers: list[int]) -> Blocks | None:
    """Return the rows of the operator that belong to each group."""
    if groups is None:
        return None
    parts = torch.split(torch.arange(sum(numbers)), numbers)
    return {group: torch.cat([parts[i] for i in chosen]) for group, chosen in groups.items()}
