"""FactoredTask: train the factors of a problem and judge them by its certified flattest value."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.families import find
from flatmin.lab.race.tasks.task import POWER_ITERATIONS, Objective, Observation, Task
from flatmin.linalg.metric import svd_of_product
from flatmin.measurements import Measurement
from flatmin.nn.factored import FactoredModel, SquaredDistance
from flatmin.nn.penalty import HessianTracePenalty
from flatmin.parametrizations import Gram, Hadamard
from flatmin.problem import Problem
from flatmin.solvers.flattest import Flattest

__all__ = ["FactoredTask"]

#: The rank counts singular values above this share of the largest one.
RANK_TOLERANCE = 0.01
#: A run fits the data if its loss is at most this share of the loss of the zero prediction.
FIT_SHARE = 0.01


class FactoredTask(Task):
    """The factors of a problem as a task.

    Parameters
    ----------
    problem : Problem
        A problem of any family. A problem with weighted gross errors is trained in the equivalent form with limit τ.
    truth : ndarray, optional
        The matrix, or the signal of phase retrieval up to its phase. Errors are relative to it.
    rank : int, optional
        The number of columns of the factors. None for the smaller dimension.
    fresh : Problem, optional
        Other measurements of the same unknown. Without a truth, the error is the relative residual on ``fresh``.
    flattest : Flattest, optional
        The flattest solution of the problem. None solves for it.

    Raises
    ------
    InputError
        If the data are all zero, or truth or fresh measurements do not fit the problem.
    """

    #: Sizes of the initial weights, in units of `weight_scale`; "small" ones show the implicit bias of small weights.
    sizes = {"small": 0.01, "medium": 1.7, "large": 4.2, "usual": 4.2}  # noqa: RUF012
    budget = 6000

    def __init__(
        self,
        problem: Problem,
        truth: Any = None,
        rank: int | None = None,
        *,
        fresh: Problem | None = None,
        flattest: Flattest | None = None,
    ) -> None:
        self.flattest = flattest or Flattest.from_problem(problem)
        self.problem, self.rank = self.flattest.problem, rank
        self.truth = None if truth is None else _checked(truth, problem)
        if fresh is not None and fresh.shape != problem.shape:
            raise InputError(f"the fresh measurements have the shape {fresh.shape}, expected {problem.shape}")
        self.fresh = fresh
        loss = self.problem.loss
        self.has_batches = not loss.has_gross_errors
        self.loss = SquaredDistance(float(loss.tau or 0.0)) if loss.has_gross_errors else nn.MSELoss()
        self.inputs, self.targets = None, torch.from_numpy(self.problem.data)
        self.label_scale = float(np.sqrt(np.mean(self.problem.data**2)))
        if self.label_scale == 0:
            raise InputError("the data b are all zero, expected something to learn")
        self.zero_loss = loss.value(self.problem.data)
        self.fit_loss = self.good_score = FIT_SHARE * self.zero_loss
        self.weight_scale = self._weight_scale()
        self.weight_norm = self.weight_scale * sum(p.numel() for p in self.model(0).parameters()) ** 0.5

    def model(self, seed: int, size: str | float = "usual") -> FactoredModel:
        """Return a model whose factors have Gaussian entries."""
        factor = self.sizes[size] if isinstance(size, str) else size
        return FactoredModel(self.problem, self.rank, seed, scale=self.weight_scale * factor)

    def penalised(self, model: nn.Module, loss: nn.Module, seed: int) -> Objective:
        """Return loss + strength · trace: in closed form, but estimated for `Hadamard` and `Chain` models."""
        assert isinstance(model, FactoredModel)
        if not self.problem.parametrization.has_cone_norm:
            return HessianTracePenalty(model, loss, seed=seed).objective
        return lambda x, y, strength: loss(model(x), y) + strength * model.scaled_trace()

    def observe(self, model: nn.Module) -> Observation:
        """Return loss, scaled trace, certified gap and error of the factors."""
        assert isinstance(model, FactoredModel)
        factors = model.factors()
        error = None if self.truth is None and self.fresh is None else np.inf
        if not all(np.isfinite(F).all() for F in factors):
            return Observation(np.inf, np.inf, np.inf, error)
        problem = self.problem
        with np.errstate(over="ignore", invalid="ignore"):
            loss = problem.loss.value(problem.residual(factors))
            trace = problem.parametrization.scaled_trace(factors, problem.measurement, problem.metric)
            gap = self.flattest.gap(factors)
            if error is not None:
                error = self.error(factors)
        return Observation(loss, trace, gap, error)

    @property
    def flattest_error(self) -> float | None:
        """The error of the certified flattest solution."""
        known = self.truth is not None or self.fresh is not None
        return float(self.error(self.flattest.solution.factors)) if known else None

    def rank_and_balance(self, model: nn.Module) -> tuple[int | None, float | None]:
        """Return the numerical rank of the matrix (of a product of vectors, its large entries), and the balance."""
        assert isinstance(model, FactoredModel)
        factors, parametrization = model.factors(), self.problem.parametrization
        P, Q = parametrization.pair(factors)
        sizes = np.abs(P) if isinstance(parametrization, Hadamard) else svd_of_product(P, Q)[1]
        return int(np.sum(sizes > RANK_TOLERANCE * np.max(sizes, initial=0.0))), parametrization.balance(factors)

    def trace(self, model: nn.Module) -> float:
        """Return the Gauss-Newton trace."""
        assert isinstance(model, FactoredModel)
        problem = self.problem
        return problem.parametrization.gauss_newton_trace(model.factors(), problem.measurement, problem.metric)

    @cached_property
    def matrix_curvature(self) -> float:
        """The largest eigenvalue of the Hessian of the loss as a function of the matrix."""
        measurement = self.problem.measurement
        X = np.random.default_rng(0).standard_normal(self.problem.shape)
        for _ in range(POWER_ITERATIONS):
            X = measurement.adjoint(measurement.forward(X / np.linalg.norm(X)))
        return 2 * float(np.linalg.norm(X)) / (measurement.size if self.has_batches else 1)

    def facts(self) -> Iterator[Any]:
        """Yield the data, the parts of the measurement, and the truth."""
        problem = self.problem
        yield from (repr(problem), problem.loss, problem.data, self.rank, *_facts(problem.measurement), self.truth)
        if self.fresh is not None:
            yield from (self.fresh.data, *_facts(self.fresh.measurement))

    def error(self, factors: tuple[Array, ...]) -> float:
        """Return the relative error of factors against the truth, or on fresh measurements."""
        if self.truth is None:
            assert self.fresh is not None
            return float(np.linalg.norm(self.fresh.residual(factors)) / np.linalg.norm(self.fresh.data))
        family = find("matrix-sensing" if self.truth.shape == self.problem.shape else "phase-retrieval")
        found = replace(self.flattest.solution, factors=factors, parts={})
        return family.relative_error(self.problem, found, self.truth)

    def _weight_scale(self) -> float:
        """Return the standard deviation at which data of random factors have the size of the problem's data."""
        sizes = []
        for scale in (1.0, 2.0):
            with torch.no_grad():
                sizes.append(float(FactoredModel(self.problem, self.rank, 0, scale=scale)().square().mean().sqrt()))
        degree = np.log2(sizes[1] / sizes[0])
        return float((self.label_scale / sizes[0]) ** (1 / degree))


def _checked(truth: Any, problem: Problem) -> Array:
    """Return a truth as a matrix of the problem's shape or, for semidefinite matrices, as a signal."""
    array: Array = np.asarray(truth)
    if array.shape == problem.shape:
        return array
    if isinstance(problem.parametrization, Gram) and array.size == problem.shape[0]:
        return array.reshape(-1)
    raise InputError(f"the truth has shape {array.shape}, expected {problem.shape}, or a signal where there is one")


def _facts(measurement: Measurement) -> Iterator[Any]:
    """Yield the arrays and numbers that define a measurement, or its matrices if it has parts of other kinds."""
    parts = [value for name, value in sorted(vars(measurement).items()) if not name.startswith("_")]
    yield type(measurement).__name__
    if not all(isinstance(part, np.ndarray | Measurement | tuple | int | np.dtype | None) for part in parts):
        yield measurement.matrices()
        return
    for part in parts:
        if isinstance(part, Measurement):
            yield from _facts(part)
        else:
            yield part
