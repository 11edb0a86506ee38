"""Certificates: proofs from a dual vector that a solution is flattest, and their assembly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.facts import as_html, as_text, at_most
from flatmin._core.validation import nonnegative, numeric, shown
from flatmin.errors import InputError
from flatmin.linalg.forward_error import inner_product
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.radius import Stability, Uniqueness

__all__ = [
    "CONTRADICTED",
    "LARGEST_ALPHA",
    "LARGEST_CHANCE",
    "LARGEST_GAP",
    "LARGEST_RESIDUAL",
    "LARGEST_WHITENED_RESIDUAL",
    "OVERLOOKED",
    "Bound",
    "Certificate",
    "Fit",
    "check_alpha",
    "check_dual",
    "check_strength",
    "ratio",
    "union_bound",
]

#: Largest relative duality gap with which a certificate holds.
LARGEST_GAP = 1e-6
#: Largest relative residual with which a certificate holds, whatever the tolerance of the solver.
LARGEST_RESIDUAL = 1e-8
#: The largest whitened residual for which a certificate holds: a larger one could hide a part of the matrix.
LARGEST_WHITENED_RESIDUAL = 1e-7
#: Singular values of the stacked sensing matrices below this share of the largest belong to unseen directions.
OVERLOOKED = 1e-12
#: The probability that some bound of a certificate is wrong is at most this.
LARGEST_CHANCE = 1e-10
#: The largest alpha that is accepted; stronger penalties overflow, and their solution is zero.
LARGEST_ALPHA = 1e152
#: Powers of ten between which alpha must lie, relative to the value that balances loss and penalty.
WEAKEST, STRONGEST = -100, 155
#: Relative excess of a lower bound over the value that is never taken for a contradiction, and the multiple of what
#: misfit and rounding explain that is not either.
SMALL_EXCESS, SAFETY = 1e-11, 4.0
#: The reason why a certificate with such a bound does not hold.
CONTRADICTED = "the lower bound exceeds the value, so the measurement computes too inaccurately"
#: A dual vector with larger entries is scaled down to this largest entry, so that nothing overflows.
LARGEST_DUAL = 1e100


@dataclass(frozen=True, eq=False)
class Certificate:
    """The proof that a solution is flattest, from a dual vector.

    Any dual vector λ bounds the flattest value from below, see docs/theory/flatness.md; a poor λ gives a poor bound,
    never a wrong one. Uniqueness is proved separately. For positive semidefinite matrices and measurements of rank one,
    all solutions that fit are equally flat. Uniqueness is then proved by ``uniqueness_dual``, a vector λ for which
    ``A*(λ)`` is positive semidefinite and has the range of X as its null space.

    Attributes
    ----------
    holds : bool
        Whether the absolute value of relative_gap is at most 1e-6, the bound on the operator norm is proved, and, if
        the data must be fitted, relative_residual ≤ 1e-8, whitened_residual ≤ 1e-7 and residual_reach ≤ 1e-6. A lower
        bound above the value by more than misfit and rounding allow does not hold either.
    objective : str
        "interpolating" or "penalised".
    value, lower_bound : float
        The objective of the solution: the smallest scaled trace of its matrix (for a product ``4‖D1 X D2‖_*``), or, if
        penalised, the loss plus alpha times that trace. The lower bound holds for the objective of all matrices of the
        model; if the data must be fitted, of all that fit them exactly.
    relative_gap : float
        ``(value − lower_bound) / value``, or the difference if the value is 0. It can be slightly negative if the fit
        is inexact.
    relative_residual : float
        ``‖A(X) − b‖ / ‖b‖``.
    whitened_residual : float
        The norm of the residual after each entry is divided by the norm of its whitened sensing matrix, relative to
        ``‖D1 X D2‖_F``. So measurements of every scale count.
    residual_reach : float
        ``‖λ‖ ‖A(X) − b‖ / |⟨b, λ⟩|``: the relative error of the bound for matrices that fit only as well as X.
    rounding : float
        The part of relative_gap that only covers rounding errors; it is large where the metric is nearly singular.
    dual, uniqueness_dual : ndarray, shape (m,)
        The dual vector λ, and the one for uniqueness or None.
    dual_norm, bound_kind : float and str
        A bound on ``‖D1⁻¹ A*(λ) D2⁻¹‖_op``, and what proves it: "dense", "cholesky", "proven", "probabilistic",
        "estimated" (nothing is proved), or "exact" (`flatmin.prove`).
    unseen : int
        The number of directions of rows and columns that the measurements see by less than 1e-12, relatively, or not at
        all; the unmeasured rows and columns of `Solution.undetermined` are among them. If ``holds``, what is proved
        compares matrices that vanish in these directions.
    unique : bool or None
        Whether the solution is the only flattest one; False only if another one is known, None if undecided.
    q, injectivity, margin, margin_kind
        Constants of `flatmin.proofs.radius.Uniqueness`, and what proves the margin, as for bound_kind; None if the
        certificate does not hold.
    failure_probability : float or None
        The probability, over random starts, that any "probabilistic" bound is wrong, at most 1e-10; None without such
        bounds.
    radius, stability : float or None, Stability or None
        The certified error radius and the constants behind it, or None if no bound follows. Consider the matrices of
        the model that vanish where nothing is measured, fit the data and are as flat as X (penalised: have as small an
        objective). All of them lie within this Frobenius distance of X. `error_radius` gives the radius for noisy data.
    alternative : tuple of ndarray or None
        The factors of another flat minimum, if ``unique`` is False.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.Problem(fm.measurements.Entries([0, 0, 1], [0, 1, 0], (2, 2)), [2.0, 4.0, 1.0])
    >>> proof = fm.flat_minimum(problem).certificate
    >>> proof.holds, proof.unique, proof.objective
    (True, True, 'interpolating')
    >>> round(proof.value, 6), abs(proof.relative_gap) < 1e-8
    (4.898979, True)
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
    residual_reach: float = 0.0
    rounding: float = 0.0
    unseen: int = 0
    unique: bool | None = None
    uniqueness_dual: Array | None = None
    q: int | None = None
    injectivity: float | None = None
    margin: float | None = None
    margin_kind: str | None = None
    failure_probability: float | None = None
    radius: float | None = None
    alternative: Factors | None = None
    stability: Stability | None = None
    PARTS: ClassVar[tuple[str, ...]] = ("dual", "uniqueness_dual", "alternative", "stability")

    @property
    def rigor(self) -> str:
        """How surely the claims are true, in falling order: "exact", "rounded", "probabilistic" or "estimated".

        "exact" claims are theorems in rational arithmetic, from `flatmin.prove` alone. "rounded" counts every rounding
        error; for a `FromLinearOperator` it assumes that products are accurate to 1000 ε. "probabilistic" claims count
        them too, but may be wrong with probability ``failure_probability``. "estimated" proves nothing, and then
        ``holds`` is False.
        """
        if self.bound_kind in ("exact", "estimated"):
            return self.bound_kind
        return "probabilistic" if "probabilistic" in (self.bound_kind, self.margin_kind) else "rounded"

    @property
    def scope(self) -> str:
        """The matrices that the certificate compares, if there are unseen directions; otherwise empty."""
        if not (self.holds and self.unseen):
            return ""
        directions = "1 direction" if self.unseen == 1 else f"{self.unseen} directions"
        return f"matrices that vanish in {directions}, which measurements see by less than {OVERLOOKED:g} or not at all"

    def facts(self) -> dict[str, str]:
        """Return what is proved, as a few words for each part."""
        verdict = {
            True: "yes, up to about 1 %",
            False: "no, another flat minimum is in `alternative`",
            None: "undecided",
        }[self.unique]
        bound = f"{self.bound_kind}, norm of the dual matrix at most {self.dual_norm:.10g}"
        if self.failure_probability is not None:
            bound += f", fails with probability {self.failure_probability:.1g}"
        proved = (
            "no solution has a smaller value" if self.objective == "interpolating" else "no matrix has a smaller value"
        )
        return {
            "proved": f"{proved}, up to a relative gap of {LARGEST_GAP:g}" if self.holds else self._nothing(),
            **({"among": self.scope} if self.scope else {}),
            "objective": self.objective,
            "value": f"{self.value:.10g}",
            "lower bound": f"{self.lower_bound:.10g} (relative gap {self.relative_gap:.1e})",
            "bound": bound,
            "rigor": self.rigor,
            "residual": f"{self.relative_residual:.1e}, relative",
            "unique": verdict,
            "radius": "none" if self.radius is None else f"any other such solution is within {at_most(self.radius)}",
        }

    @property
    def is_contradicted(self) -> bool:
        """Whether the lower bound exceeds the value by more than misfit and rounding allow.

        Rounding is counted in full, so this only happens if the measurement's products are less accurate than assumed.
        """
        return _contradicts(self.lower_bound, self.value, self.residual_reach, self.rounding)

    @property
    def is_hidden_by_rounding(self) -> bool:
        """Whether only rounding errors keep the relative gap above what a certificate allows."""
        return self.relative_gap - self.rounding <= LARGEST_GAP < max(self.relative_gap, self.rounding)

    def _nothing(self) -> str:
        """Return the words for a certificate that does not hold, with the reason if it is a rounding error."""
        if self.is_contradicted:
            return f"nothing: {CONTRADICTED}"
        if not self.is_hidden_by_rounding:
            return "nothing"
        return f"nothing: rounding hides {self.rounding:.0e} of the value, since the metric is nearly singular"

    def __repr__(self) -> str:
        return as_text("Certificate", self.facts())

    def _repr_html_(self) -> str:
        return as_html("Certificate", self.facts())

    def scalars(self) -> dict[str, Any]:
        """Return every field that is a number, a word or None, and the rigor."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.PARTS}
        return known | {"rigor": self.rigor}

    def sure(self) -> Certificate:
        """Return the certificate without bounds that fail with a small probability."""
        if "probabilistic" not in (self.bound_kind, self.margin_kind):
            return self
        proof = replace(self, failure_probability=None, unique=None, radius=None, stability=None, alternative=None)
        if self.margin_kind == "probabilistic":
            proof = replace(proof, margin_kind="estimated")
        return replace(proof, bound_kind="estimated", holds=False) if self.bound_kind == "probabilistic" else proof

    def with_uniqueness(self, found: Uniqueness, kind: str, chance: float | None = None) -> Certificate:
        """Return the certificate with a verdict on uniqueness.

        ``kind`` says how the margin of the verdict is proved, and ``chance`` is the probability that this proof fails.
        """
        names = ("unique", "q", "injectivity", "margin", "stability", "radius")
        known: dict[str, Any] = {name: getattr(found, name) for name in names}
        failure = union_bound(self.failure_probability, chance)
        return replace(self, margin_kind=kind, failure_probability=failure, **known)

    def confirmed(self, alternative: Factors | None, judge: Callable[[Factors], Certificate]) -> Certificate:
        """Return the certificate with another flat minimum, or undecided if ``judge`` does not certify that minimum."""
        if alternative is None:
            return self
        judged = judge(alternative)
        if not judged.holds:
            return replace(self, unique=None)
        chance = union_bound(self.failure_probability, judged.failure_probability)
        return replace(self, alternative=alternative, failure_probability=chance)

    def error_radius(self, noise: float = 0.0, excess: float = 0.0) -> float | None:
        """Return a bound on ``‖X' − X‖_F`` for all X' that fit within ``noise`` and are flat within ``excess``.

        Parameters
        ----------
        noise : float
            A bound on ``‖A(X') − b‖``, in the units of the data; for the true matrix, the size of the noise.
        excess : float
            X' is at most this much less flat than X, relatively: 0.1 stands for ten per cent. Use 0 for positive
            semidefinite matrices with measurements of rank one, since the data determine their trace.

        Returns
        -------
        float or None
            None if no bound follows, because uniqueness is undecided.
        """
        noise, excess = nonnegative(noise, "noise"), nonnegative(excess, "excess")
        return None if self.stability is None else self.stability.radius(noise, excess)


def _contradicts(lower: float, value: float, reach: float, rounding: float) -> bool:
    """Return whether a lower bound exceeds the value by more than misfit and rounding explain.

    ``reach`` is a share of the bound, and ``rounding`` one of the value.
    """
    explained = SAFETY * (reach * abs(lower) + rounding * abs(value)) + SMALL_EXCESS * max(abs(lower), abs(value))
    return bool(lower - value > explained)


@dataclass(frozen=True)
class Bound:
    """A lower bound on the objective of a problem, proved by a dual vector.

    No competing solution has an objective below ``lower``; the objective of the solution itself is ``value``. ``norm``
    is an upper bound on the norm of the dual matrix, proved by ``kind`` (see `Certificate.bound_kind`) except with
    probability ``failure``. ``rounding`` is the part of the relative gap that only covers rounding errors, and
    competing solutions vanish in ``unseen`` directions. If `is_penalised`, the objective contains the loss; otherwise
    competing solutions fit the data exactly.
    """

    value: float
    lower: float
    norm: float
    kind: str
    failure: float = 0.0
    is_penalised: bool = False
    rounding: float = 0.0
    unseen: int = 0

    @property
    def gap(self) -> float:
        """The relative duality gap."""
        return ratio(self.value - self.lower, self.value)

    def certificate(self, fit: Fit, dual: Array, must_fit: bool = False) -> Certificate:
        """Return a certificate without a verdict on uniqueness; ``must_fit`` asks for an exact fit in any case."""
        fits = fit.is_exact or (self.is_penalised and not must_fit)
        is_possible = not _contradicts(self.lower, self.value, fit.reach, self.rounding)
        return Certificate(
            holds=bool(abs(self.gap) <= LARGEST_GAP and is_possible and fits and self.kind != "estimated"),
            objective="penalised" if self.is_penalised else "interpolating",
            value=self.value,
            lower_bound=self.lower,
            relative_gap=self.gap,
            relative_residual=fit.misfit,
            whitened_residual=fit.whitened,
            residual_reach=fit.reach,
            rounding=self.rounding,
            unseen=self.unseen,
            dual=dual,
            dual_norm=self.norm,
            bound_kind=self.kind,
            failure_probability=union_bound(self.failure),
        )


@dataclass(frozen=True)
class Fit:
    """The measures of fit in a certificate: its relative_residual, whitened_residual and residual_reach."""

    misfit: float
    whitened: float = 0.0
    reach: float = 0.0

    @classmethod
    def from_residual(
        cls, data: Array, residual: Array, sizes: Array, norm: float, dual: Array, error: Array | None = None
    ) -> Fit:
        """Return the fit of ``A(X) − b`` to b, given the sizes of the whitened measurements and ``norm = ‖Z‖_F``.

        ``error`` (m,) bounds the rounding errors of the residual.
        """
        misses = (residual,) if error is None else (residual, error)
        comparable = [np.divide(miss, sizes, out=np.zeros_like(miss), where=sizes > 0) for miss in misses]
        size, scaled = (sum(float(np.linalg.norm(miss)) for miss in parts) for parts in (misses, comparable))
        moved = float(np.linalg.norm(dual)) * float(np.linalg.norm(residual))
        moved += 0.0 if error is None else float(np.abs(dual) @ error)
        pairing, rounding = inner_product(data, dual, enough=1e-3)
        least = abs(pairing) - rounding
        reach = (moved / least if least > 0 else float("inf")) if moved else 0.0
        return cls(misfit=ratio(size, float(np.linalg.norm(data))), whitened=ratio(scaled, norm), reach=reach)

    @property
    def is_exact(self) -> bool:
        """Whether the fit is good enough for a certificate of interpolation."""
        small = self.misfit <= LARGEST_RESIDUAL and self.whitened <= LARGEST_WHITENED_RESIDUAL
        return small and self.reach <= LARGEST_GAP


def check_dual(dual: Any, problem: Problem, name: str = "the dual") -> Array:
    """Return a dual vector as an array (m,), scaled down if it would overflow, or raise `InputError`."""
    checked, m = numeric(dual, name), problem.measurement.size
    if checked.shape != (m,):
        raise InputError(f"{name} has shape {checked.shape}, expected ({m},): one value a measurement")
    largest = float(np.max(np.abs(checked), initial=0.0))
    return checked * (LARGEST_DUAL / largest) if largest > LARGEST_DUAL else checked


def check_alpha(alpha: float, metric_power: float = 1.0) -> tuple[float, float]:
    """Return alpha and metric_power as floats; raise `InputError` unless they lie in [0, 1e152] and in [0, 1]."""
    checked = nonnegative(alpha, "alpha"), nonnegative(metric_power, "metric_power", maximum=1.0)
    if checked[0] > LARGEST_ALPHA:
        raise InputError(f"alpha is {shown(alpha)}, expected at most {LARGEST_ALPHA:g}")
    return checked


def check_strength(alpha: float, balanced: float, weakest: int = WEAKEST) -> None:
    """Raise `InputError` if a penalty is out of all proportion to the data.

    ``balanced`` is the alpha at which loss and penalty of a fit are about equal. The ratio of alpha to ``balanced``
    must lie between the powers of ten ``weakest`` and `STRONGEST`.
    """
    if not (alpha > 0 and balanced > 0):
        return
    power = math.log10(alpha) - math.log10(balanced)
    if not weakest < power < STRONGEST:
        raise InputError(
            f"alpha is 10^{power:.0f} times the value that balances loss and penalty, expected 10^{weakest} to "
            f"10^{STRONGEST}, or alpha = 0 for an exact fit"
        )


def union_bound(*chances: float | None) -> float | None:
    """Return a bound on the probability that any of several bounds is wrong, or None if all are certain."""
    return sum(chance or 0.0 for chance in chances) or None


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, or the numerator if the denominator is zero."""
    return numerator / denominator if denominator else numerator
