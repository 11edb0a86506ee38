"""Proofs that a solution is flattest: lower bounds that hold for any dual vector at all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.metric import Array, Metric
from flatmin.operator_norm import top_spectrum
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.uniqueness import uniqueness

__all__ = [
    "LARGEST_GAP",
    "LARGEST_RESIDUAL",
    "Certificate",
    "certificate_of",
    "check_strength",
    "measurement_sizes",
    "whiten",
]

#: A certificate holds up to this relative duality gap …
LARGEST_GAP = 1e-6
#: … and this relative residual, whatever the tolerance of the solver.
LARGEST_RESIDUAL = 1e-8
#: A residual in units of the measurements' own sizes beyond this one could hide a part of the matrix.
LARGEST_WHITENED_RESIDUAL = 1e-7
#: Sensing matrices whose sizes differ by less than this factor need not be told apart.
ALIKE = 100.0


@dataclass(frozen=True, eq=False)
class Certificate:
    """What a dual vector proves about a solution.

    For a product, any dual vector λ bounds the flattest value from below by ``4⟨b, λ⟩ / max(1, ‖D1⁻¹A*(λ)D2⁻¹‖)``. A
    poor λ can fail to certify; it can never lie.

    Attributes
    ----------
    holds : bool
        Whether relative_gap (in size) ≤ 1e-6, relative_residual ≤ 1e-8 and whitened_residual ≤ 1e-7 (only where data
        must be fitted), and the operator norm is bounded rigorously.
    objective : str
        "interpolating" or "penalised".
    value : float
        The objective of the solution: ``4‖D1 X D2‖_*``, plus the loss if penalised (then times alpha).
    lower_bound : float
        No solution has a smaller value.
    relative_gap : float
        ``(value − lower_bound) / value``, 0 when the value is 0; slightly negative when the fit is not exact.
    relative_residual : float
        ``‖A(X) − b‖ / ‖b‖``.
    whitened_residual : float
        The same with every measurement divided by the size of its whitened sensing matrix, over ``‖D1 X D2‖``: no
        measurement is too small to count.
    dual : ndarray, shape (m,)
        The dual vector λ.
    dual_norm : float
        A bound on ``‖D1⁻¹ A*(λ) D2⁻¹‖_op``.
    bound_kind : str
        What proves ``dual_norm``: "dense", "cholesky", "proven", "probabilistic", or "estimated" (nothing).
    unique : bool or None
        Whether the solution is the only flattest one; False only with another one in hand, None if undecided.
    uniqueness_dual : ndarray or None
        A separate proof of uniqueness, where a family needs one.
    q, injectivity, margin
        What decides uniqueness, see `flatmin.uniqueness.Uniqueness`; None where the certificate does not hold.
    radius : float or None
        How far any other solution can be, where known.
    alternative : tuple of ndarray or None
        The factors of another flat minimum, where ``unique`` is False.
    """

    holds: bool
    objective: str
    value: float
    lower_bound: float
    relative_gap: float
    relative_residual: float
    whitened_residual: float
    dual: Array
    dual_norm: float
    bound_kind: str
    unique: bool | None = None
    uniqueness_dual: Array | None = None
    q: int | None = None
    injectivity: float | None = None
    margin: float | None = None
    radius: float | None = None
    alternative: Factors | None = None
    ARRAYS: ClassVar[tuple[str, ...]] = ("dual", "uniqueness_dual", "alternative")

    def scalars(self) -> dict[str, Any]:
        """Return every field that is not an array."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.ARRAYS}


def whiten(problem: Problem, metric_power: float = 1.0) -> tuple[Measurement, tuple[Metric, Metric]]:
    """Return the map ``B(Z) = A(D1⁻¹ Z D2⁻¹)`` and the pair (D1, D2) it was made with."""
    if metric_power == 1:
        return problem.whitened, problem.metric
    D1, D2 = (D.tempered(metric_power) for D in problem.metric)
    return problem.measurement.congruence(D1.power(-1), D2.power(-1)), (D1, D2)


def measurement_sizes(problem: Problem, whitened: Measurement, metric: tuple[Metric, Metric]) -> Array:
    """Return the Frobenius norms of the whitened sensing matrices, roughly where they are of similar size.

    They make residuals comparable: a measurement of tiny scale can carry half of the matrix.
    """
    plain = problem.measurement.norms()
    seen = plain[plain > 0]
    if len(seen) and seen.max() / seen.min() * metric[0].condition * metric[1].condition <= ALIKE:
        typical = [np.sqrt(D.values.max()) * np.sqrt(D.values[D.values > 0].min()) for D in metric]
        return np.asarray(plain / typical[0] / typical[1])
    return whitened.norms()


def certificate_of(
    problem: Problem,
    factors: Factors,
    dual: Array,
    *,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    seed: int = 0,
    look_further: bool = True,
) -> Certificate:
    """Return what ``dual`` proves about ``factors``.

    Parameters
    ----------
    problem : Problem
        The model and its data.
    factors : tuple of ndarray
        The solution; only the matrix it makes matters.
    dual : ndarray, shape (m,)
        Any vector.
    alpha : float
        Strength of the scaled trace in ``loss + alpha · trace``; 0 stands for exact fit.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``: 1 is flat, 0 the nuclear norm.
    seed : int
        Starts the Lanczos iterations that choose a subspace.
    look_further : bool
        Whether to look at other flat minima as well.
    """
    alpha, metric_power = check_strength(alpha, metric_power)
    dual = numeric(dual, "the dual")
    m = problem.measurement.size
    if dual.shape != (m,):
        raise InputError(f"the dual has shape {dual.shape}, expected ({m},): one value a measurement")
    whitened, metric = whiten(problem, metric_power)
    U, s, V = problem.parametrization.singular(factors, metric)
    keep = s > 1e-13 * s[0] if len(s) else np.zeros(0, bool)
    Z = U[:, keep], s[keep], V[:, keep]
    residual = problem.residual(factors)
    sizes = measurement_sizes(problem, whitened, metric)
    comparable = np.divide(residual, sizes, out=np.zeros_like(residual), where=sizes > 0)
    misfit = _ratio(float(np.linalg.norm(residual)), float(np.linalg.norm(problem.data)))
    whitened_misfit = _ratio(float(np.linalg.norm(comparable)), float(np.linalg.norm(s)))
    spectrum = top_spectrum(whitened.adjoint_operator(dual), Z[0], Z[2], unit=1 - 1e-4, seed=seed)
    scaled = dual / max(1.0, spectrum.norm)
    value, lower = 4 * float(s.sum()), 4 * float(problem.data @ scaled)
    if alpha > 0:
        value = problem.loss.value(residual) + alpha * value
        lower = alpha * lower - 4 * m * alpha**2 * float(scaled @ scaled)
    gap = _ratio(value - lower, value)
    fits = alpha > 0 or (misfit <= LARGEST_RESIDUAL and whitened_misfit <= LARGEST_WHITENED_RESIDUAL)
    holds = bool(abs(gap) <= LARGEST_GAP and fits and spectrum.kind != "estimated")
    proof = Certificate(
        holds=holds,
        objective="penalised" if alpha > 0 else "interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=misfit,
        whitened_residual=whitened_misfit,
        dual=dual,
        dual_norm=spectrum.norm,
        bound_kind=spectrum.kind,
    )
    if not (holds and look_further):
        return proof
    found = uniqueness(whitened, Z, spectrum.scaled(1 / max(1.0, spectrum.norm)), gap, sizes)
    proof = replace(proof, unique=found.unique, q=found.q, injectivity=found.injectivity, margin=found.margin)
    if found.alternative is None:
        return proof
    other = problem.parametrization.unwhiten(*found.alternative, metric)
    judged = certificate_of(problem, other, dual, alpha=alpha, metric_power=metric_power, seed=seed, look_further=False)
    return replace(proof, alternative=other) if judged.holds else replace(proof, unique=None)


def check_strength(alpha: float, metric_power: float) -> tuple[float, float]:
    """Return both as floats, or raise `InputError` unless alpha ≥ 0 is finite and metric_power lies in [0, 1]."""
    for name, value, high in (("alpha", alpha, np.inf), ("metric_power", metric_power, 1.0)):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or not 0 <= value <= high:
            upper = "a finite number of at least 0" if high == np.inf else f"a number from 0 to {high:g}"
            raise InputError(f"{name} is {value!r}, expected {upper}")
    return float(alpha), float(metric_power)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else numerator
