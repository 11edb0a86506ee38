"""The certified flattest value of a problem, and the flatness gap of any point of its weight space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.problem import Problem
from flatmin.proofs.certificate import ratio
from flatmin.proofs.flatness import flatness
from flatmin.solution import Solution, Status
from flatmin.solvers import certify, flat_minimum

__all__ = ["Flattest", "flatness_gap"]

#: Negative gaps count as rounding errors up to this size, relative to the two terms whose difference is the gap.
ROUNDING_GAP = 1e-12


@dataclass(frozen=True, eq=False)
class Flattest:
    """The certified flattest value of a problem, and the flatness gap of any point, whether it fits the data or not.

    Attributes
    ----------
    problem : Problem
        The problem in a form that can be trained on: a loss `Absolute` with a weight is replaced by `Absolute` with the
        limit ``τ = ‖S‖_1`` of the solution.
    solution : Solution
        The flat minimum; its certificate is that of ``problem``.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.families.matrix_sensing.sample((6, 5), 1, 40).problem
    >>> flattest = fm.Flattest.from_problem(problem)
    >>> flattest.holds, flattest.gap(flattest.solution.factors) < 1e-9
    (True, True)
    >>> L, R = flattest.solution.factors
    >>> round(flattest.gap((2 * L, R / 2)), 6)  # fits as well, and is less flat: (4 + 1/4)/2 − 1
    1.125
    """

    problem: Problem
    solution: Solution

    @classmethod
    def from_problem(cls, problem: Problem, solution: Solution | None = None, **settings: Any) -> Flattest:
        """Return the flattest value of a problem.

        Parameters
        ----------
        problem : Problem
            The model and its data.
        solution : Solution, optional
            A known solution, which is certified again; by default the problem is solved.
        settings
            Arguments of `flat_minimum` without ``alpha`` and ``metric_power``, if there is no solution.

        Raises
        ------
        InputError
            If an argument is out of range, or no solver knows the flattest value of this model.
        """
        if not isinstance(problem, Problem):
            raise InputError(f"problem is a {type(problem).__name__}, expected a flatmin Problem")
        if solution is not None and not isinstance(solution, Solution):
            raise InputError(f"solution is a {type(solution).__name__}, expected a flatmin Solution or None")
        for name, default in (("alpha", 0.0), ("metric_power", 1.0)):
            if settings.get(name, default) != default:
                raise InputError(f"{name} is {settings[name]!r}, expected its default {default!r} for a flattest value")
        if solution is not None and settings:
            raise InputError(f"a solution and {', '.join(settings)} were given, expected one or the other")
        known, solution = solution is not None, solution or flat_minimum(problem, **settings)
        loss = problem.loss.with_limit(problem.residual(problem.check(solution.factors)))
        limited = problem if loss is problem.loss else replace(problem, loss=loss)
        if known or limited is not problem:
            dual, uniqueness_dual = solution.duals
            proof = certify(limited, solution.factors, dual, uniqueness_dual=uniqueness_dual)
            status = Status.proved(proof) or (Status.not_certified if known else solution.status)
            measured = flatness(limited, solution.factors)
            solution = replace(solution, status=status, certificate=proof, flatness=measured)
        return cls(limited, solution)

    @property
    def value(self) -> float:
        """The certified lower bound on the scaled trace of every point that fits; it is never negative."""
        factor = self.problem.loss.trace_factor(self.problem.parametrization)
        return factor * max(0.0, self.solution.checked_certificate.lower_bound)

    @property
    def holds(self) -> bool:
        """Whether the solution is certified to reach that value."""
        return self.solution.checked_certificate.holds

    def gap(self, factors: Any) -> float:
        """Return the flatness gap of a point: how much flatter another point with the same measurements could be.

        Let ``bound(b)`` be the lower bound that the dual vector of the certificate proves for data b. A point with
        matrix X fits the data ``b' = A(X)``, so

            gap = (scaled trace − bound(b')) / bound(b) ≥ 0

        holds everywhere. At points that fit the data of the problem, the gap is ``scaled trace / value − 1``, which is
        0 at the flat minimum. At other points, read the gap together with the loss: the gap of zero weights is 0 too.
        If the value is 0, as for zero data, the gap is the difference ``scaled trace − bound(b')`` itself.

        Parameters
        ----------
        factors : tuple of ndarray
            The weights, of any width that the model allows.

        Returns
        -------
        float
            The gap. It is infinite for weights that are not finite or so large that their squares overflow. Negative
            rounding errors are reported as 0. A more negative gap is possible only if ``bound_kind`` of the certificate
            is "estimated" (then ``holds`` is False).

        Raises
        ------
        InputError
            If the factors do not fit the problem.

        References
        ----------
        docs/theory/flatness.md, "The flatness gap".
        """
        problem, model = self.problem, self.problem.parametrization
        weights = tuple(np.asarray(F) for F in (factors if isinstance(factors, tuple | list) else (factors,)))
        if not all(np.isfinite(F).all() for F in weights if F.dtype.kind in "fc"):
            problem.check(tuple(np.nan_to_num(F, posinf=0.0, neginf=0.0) for F in weights))
            return np.inf
        weights = problem.check(weights)
        with np.errstate(over="ignore", invalid="ignore"):
            trace = float(model.scaled_trace(weights, problem.measurement, problem.metric))
            if self.value == 0:
                return trace if np.isfinite(trace) else np.inf
            fitted = problem.data + problem.loss.misfit(problem.residual(weights))
            pairing, dual = problem.loss.pairing, self.solution.checked_certificate.dual
            share = pairing(fitted, dual) / pairing(problem.data, dual)  # the bound is a power of it
            height = ratio(trace, self.value)
            gap = height - float(np.sign(share) * np.abs(share) ** getattr(model, "power", 1.0))
        if not np.isfinite(gap):
            return np.inf
        return float(max(gap, 0.0) if gap >= -ROUNDING_GAP * (1 + height) else gap)


def flatness_gap(problem: Problem, factors: Any) -> float:
    """Return how far the scaled trace at a point is above the certified flattest value, relative to that value.

    This function solves the problem. `Flattest` solves it once for many points, and `Flattest.gap` has the formula.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors : tuple of ndarray
        The point; it need not fit the data.

    Returns
    -------
    float
        0 at a flat minimum, positive elsewhere; infinite for weights that are not finite.

    Raises
    ------
    InputError
        If the factors do not fit the problem, or no solver knows the flattest value of this model.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((6, 5), 1, 40)
    >>> L, R = fm.flat_minimum(instance.problem).factors
    >>> flatness_gap(instance.problem, (L, R)) < 1e-9, round(flatness_gap(instance.problem, (2 * L, R / 2)), 6)
    (True, 1.125)
    """
    return Flattest.from_problem(problem).gap(factors)
