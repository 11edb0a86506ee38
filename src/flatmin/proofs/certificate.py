"""Proofs that a solution is flattest: lower bounds that hold for any dual vector at all."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.linalg.random_starts import FAILURE
from flatmin.linalg.subspaces import EPS, as_array
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.margins import complement_margin
from flatmin.proofs.norms import TopSpectrum, top_spectrum
from flatmin.proofs.radius import Stability, spread_of
from flatmin.proofs.uniqueness import Evidence, uniqueness

__all__ = [
    "LARGEST_CHANCE",
    "LARGEST_GAP",
    "LARGEST_RESIDUAL",
    "Certificate",
    "Fit",
    "certificate_of",
    "check_dual",
    "check_strength",
    "measurement_sizes",
    "ratio",
    "trace_is_determined",
    "trivial_dual",
    "union_bound",
    "whiten",
]

#: A certificate holds up to this relative duality gap …
LARGEST_GAP = 1e-6
#: … and this relative residual, whatever the tolerance of the solver.
LARGEST_RESIDUAL = 1e-8
#: Bounds that rest on random numbers are wrong with at most this probability, all of a certificate together.
LARGEST_CHANCE = 1e-10
#: A residual in units of the measurements' own sizes beyond this one could hide a part of the matrix.
LARGEST_WHITENED_RESIDUAL = 1e-7
#: Stronger penalties make everything zero, and overflow.
LARGEST_STRENGTH = 1e152
#: Larger dual vectors prove what this multiple of them proves, and overflow.
LARGEST_DUAL = 1e100
#: Directions count as unseen only if no measurement sees more than this share of its size in them.
OVERLOOKED = 1e-9
#: Up to this dimension all eigenvalues of a matrix that proves uniqueness are computed.
LARGEST_WHOLE = 1000
#: Sensing matrices whose sizes differ by less than this factor need not be told apart.
ALIKE = 100.0


@dataclass(frozen=True, eq=False)
class Certificate:
    """What a dual vector proves about a solution.

    Any dual vector λ bounds the flattest value from below: by ``4⟨b, λ⟩ / max(1, ‖D1⁻¹A*(λ)D2⁻¹‖)`` for a product, and
    by ``8⟨b, λ⟩ / max(1, ·)`` for Hermitian models, with the largest eigenvalue (Gram) or the operator norm (signed
    Gram) of ``D^-½ A*(λ) D^-½``. A poor λ can fail to certify; it can never lie.

    Fit and uniqueness are two facts. For positive semidefinite matrices and measurements of rank one the trace is the
    same at every solution that fits; there ``dual`` proves little, and ``uniqueness_dual`` what matters: a vector λ
    with ``A*(λ) ⪰ 0`` whose null space is the range of X.

    Attributes
    ----------
    holds : bool
        Whether relative_gap (in size) ≤ 1e-6, the operator norm is not just estimated, and, where data must be fitted,
        relative_residual ≤ 1e-8, whitened_residual ≤ 1e-7 and residual_reach ≤ 1e-6.
    objective : str
        "interpolating" or "penalised".
    value : float
        The objective of the solution: the smallest scaled trace of its matrix (for a product ``4‖D1 X D2‖_*``), plus
        the loss if penalised (then times alpha).
    lower_bound : float
        No matrix that fits exactly (penalised: no matrix) has a smaller value.
    relative_gap : float
        ``(value − lower_bound) / value``, of a value of 0 the difference; slightly negative when the fit is not exact.
    relative_residual : float
        ``‖A(X) − b‖ / ‖b‖``.
    whitened_residual : float
        The same with every measurement divided by the size of its whitened sensing matrix, over ``‖D1 X D2‖``: no
        measurement is too small to count.
    residual_reach : float
        ``‖λ‖ ‖A(X) − b‖ / |⟨b, λ⟩|``: by how much, relatively, the bound may be lower for matrices that fit as well as
        X does and not exactly.
    dual : ndarray, shape (m,)
        The dual vector λ.
    dual_norm : float
        A bound on ``‖D1⁻¹ A*(λ) D2⁻¹‖_op``.
    bound_kind : str
        What proves ``dual_norm``: "dense", "cholesky", "proven", "probabilistic", or "estimated" (nothing).
    unique : bool or None
        Whether the solution is the only flattest one; False only with another one in hand, None if undecided.
    uniqueness_dual : ndarray or None
        A separate proof of uniqueness, where measurements of rank one need one.
    q, injectivity, margin
        What decides uniqueness, see `flatmin.proofs.uniqueness.Uniqueness`; None where the certificate does not hold.
    margin_kind : str or None
        What proves the margin, as for bound_kind; nothing does if it is "estimated".
    failure_probability : float or None
        The chance that the bounds called "probabilistic" are wrong, all of them together and at most 1e-10, over
        random numbers that were drawn for them; None where no bound is.
    radius : float or None
        Certified error radius: every other matrix of the model that fits the data and is as flat (penalised: has as
        small an objective) lies within this Frobenius distance of X, if it vanishes where nothing is measured. None
        where it does not follow. `error_radius` gives it for noisy data.
    alternative : tuple of ndarray or None
        The factors of another flat minimum, where ``unique`` is False.
    stability : Stability or None
        The constants behind the radius.
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

    def scalars(self) -> dict[str, Any]:
        """Return every field that is a number, a word or None."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.PARTS}

    def sure(self) -> Certificate:
        """Return what is left of the proof without bounds that fail with a small chance."""
        if "probabilistic" not in (self.bound_kind, self.margin_kind):
            return self
        proof = replace(self, failure_probability=None, unique=None, radius=None, stability=None, alternative=None)
        if self.margin_kind == "probabilistic":
            proof = replace(proof, margin_kind="estimated")
        return replace(proof, bound_kind="estimated", holds=False) if self.bound_kind == "probabilistic" else proof

    def error_radius(self, noise: float = 0.0, excess: float = 0.0) -> float | None:
        """Return how far from X, in the Frobenius norm, any matrix can be that explains noisy data as well.

        Parameters
        ----------
        noise : float
            A bound on ``‖A(X') − b‖``, in the units of the data: the size of the noise, for the truth behind them.
        excess : float
            X' is at most this much less flat than X, relatively: 0.1 stands for ten per cent. Positive semidefinite
            matrices with measurements of rank one need none, since the data determine their trace.

        Returns
        -------
        float or None
            None where no bound follows, because uniqueness is undecided.
        """
        for name, value in (("noise", noise), ("excess", excess)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value < np.inf:
                raise InputError(f"{name} is {value!r}, expected a finite number of at least 0")
        return None if self.stability is None else self.stability.radius(float(noise), float(excess))


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
    largest = plain.max(initial=0.0)
    smallest = plain.min(where=plain > 0, initial=np.inf)
    if largest > 0 and largest / smallest * metric[0].condition * metric[1].condition <= ALIKE:
        typical = [np.sqrt(D.values.max()) * np.sqrt(D.values[D.values > 0].min()) for D in metric]
        if plain.strides == (0,):  # all the same number
            return np.broadcast_to(plain[0] / typical[0] / typical[1], plain.shape)
        return np.asarray(plain / typical[0] / typical[1])
    return whitened.norms()


def certificate_of(
    problem: Problem,
    factors: Factors,
    dual: Array,
    *,
    uniqueness_dual: Array | None = None,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    seed: int = 0,
    look_further: bool = True,
    randomized: bool = True,
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
    uniqueness_dual : ndarray, shape (m,), optional
        Any vector: where all solutions are equally flat, what uniqueness is judged by.
    alpha : float
        Strength of the scaled trace in ``loss + alpha · trace``; 0 stands for exact fit.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``: 1 is flat, 0 the nuclear norm.
    seed : int
        Starts the Lanczos iterations that choose a subspace, and draws the starts of those that bound a norm.
    look_further : bool
        Whether to look at other flat minima as well.
    randomized : bool
        Whether bounds count that fail with a small chance over random numbers, `Certificate.failure_probability`.
    """
    alpha, metric_power = check_strength(alpha, metric_power)
    dual = check_dual(dual, problem)
    point = _Whitened.of(problem, factors, metric_power)
    spectrum = _spectrum(problem, point, dual, metric_power, seed, randomized)
    proof = _flatness_proof(problem, point, dual, spectrum, alpha)
    if not (proof.holds and look_further):
        return proof
    if point.determined and alpha == 0 and metric_power == 1:
        if uniqueness_dual is None:
            return proof
        other = check_dual(uniqueness_dual, problem, "the uniqueness dual")
        proof = replace(proof, uniqueness_dual=other)
        evidence = _complement_evidence(problem, point, other, seed, randomized)
        chance = evidence.spectrum.failure
    else:
        evidence, chance = _evidence(problem, point, proof, spectrum, alpha), None
    found = uniqueness(evidence)
    proved = evidence.spectrum.kind != "estimated" and not _overlooks(problem.measurement, point.metric)
    stability = found.stability if proved else None
    proof = replace(
        proof,
        unique=found.unique if proved else None,
        q=found.q,
        injectivity=found.injectivity,
        margin=found.margin,
        margin_kind=evidence.spectrum.kind,
        failure_probability=union_bound(proof.failure_probability, chance),
        stability=_fitting(problem, point, evidence, stability) if stability and alpha > 0 else stability,
        radius=stability.radius() if stability else None,
    )
    if found.alternative is None:
        return proof
    model = problem.parametrization
    alternative = model.flattest(*model.decompose(*found.alternative), point.metric)
    judged = certificate_of(
        problem,
        alternative,
        dual,
        alpha=alpha,
        metric_power=metric_power,
        seed=seed,
        look_further=False,
        randomized=randomized,
    )
    if not judged.holds:
        return replace(proof, unique=None)
    chance = union_bound(proof.failure_probability, judged.failure_probability)
    return replace(proof, alternative=alternative, failure_probability=chance)


def union_bound(*chances: float | None) -> float | None:
    """Return a bound on the chance that any of some bounds is wrong, or None if none of them can be."""
    return sum(chance or 0.0 for chance in chances) or None


@dataclass(frozen=True, eq=False)
class _Whitened:
    """A solution in whitened coordinates, and how well it fits."""

    whitened: Measurement
    metric: tuple[Metric, Metric]
    Z: tuple[Array, Array, Array]
    residual: Array
    sizes: Array
    determined: bool

    @classmethod
    def of(cls, problem: Problem, factors: Factors, metric_power: float) -> _Whitened:
        whitened, metric = whiten(problem, metric_power)
        U, s, V = problem.parametrization.singular(factors, metric)
        keep = s > 1e-13 * s[0] if len(s) else np.zeros(0, bool)
        return cls(
            whitened=whitened,
            metric=metric,
            Z=(U[:, keep], s[keep], V[:, keep]),
            residual=problem.residual(factors),
            sizes=measurement_sizes(problem, whitened, metric),
            determined=trace_is_determined(problem),
        )

    @property
    def norm(self) -> float:
        return float(self.Z[1].sum())

    @property
    def size(self) -> float:
        """The Frobenius norm of X."""
        U, s, V = self.Z
        P, Q = self.metric[0].power(-1) @ (U * s), self.metric[1].power(-1) @ V
        return float(np.sqrt(abs(np.sum((P.conj().T @ P) * (Q.conj().T @ Q).conj()))))

    def evidence(
        self, problem: Problem, spectrum: TopSpectrum, dual: Array, gap: float, misfit: float, growth: float = 0.0
    ) -> Evidence:
        """Return what uniqueness is judged by."""
        hermitian = problem.parametrization.cone != "rectangular"
        return Evidence(
            model=problem.parametrization,
            whitened=self.whitened,
            Z=self.Z,
            spectrum=spectrum,
            dual=dual,
            gap=gap,
            sizes=self.sizes,
            blind=(self.metric[0].blind, self.metric[1].blind),
            misfit=misfit,
            spread=spread_of(problem.measurement.size, problem.metric, self.metric, hermitian),
            unwhiten=float(np.prod([np.max(D.power(-1).values, initial=0.0) for D in self.metric])),
            size=self.size,
            growth=growth,
        )


def _overlooks(measurement: Measurement, metric: tuple[Metric, Metric]) -> bool:
    """Return whether some measurement, in units of its own size, sees directions that the metric counts as unseen.

    That happens where sizes differ so much that rounding hides the smaller ones; nothing is said about uniqueness then.
    """
    if all(D.is_diagonal for D in metric):  # sums of squares, exactly zero where nothing is seen
        return False
    blind = metric[0].blind, metric[1].blind
    sides = [measurement.products(blind[1])] if blind[1].shape[1] else []
    if blind[0].shape[1] and metric[0] is not metric[1]:
        nothing = np.zeros((measurement.shape[1], blind[0].shape[1]))
        J = measurement.jacobian(blind[0], nothing)
        sides.append(None if J is None else J[..., measurement.shape[0] :])
    known = [np.linalg.norm(side, axis=(1, 2)) for side in sides if side is not None]
    if not known:
        return False
    sizes = measurement.norms()
    return bool(np.max(known) > 0 and np.max(np.max(known, axis=0) / np.where(sizes > 0, sizes, 1)) > OVERLOOKED)


def trace_is_determined(problem: Problem) -> bool:
    """Return whether the data determine the trace: all positive semidefinite solutions are then equally flat.

    For ``A_i = x_i x_i*``, ``tr(D X) = (1/m) Σ |x_i|² ⟨A_i, X⟩ = (1/m) Σ |x_i|² b_i``.
    """
    return problem.parametrization.cone == "semidefinite" and problem.measurement.is_rank_one


def trivial_dual(problem: Problem) -> Array:
    """Return ``λ_i = tr A_i / m``, for which ``A*(λ) = D`` where the measurements have rank one."""
    return np.asarray(problem.measurement.traces() / problem.measurement.size)


def check_dual(dual: Any, problem: Problem, name: str = "the dual") -> Array:
    """Return a dual vector as an array (m,), or raise `InputError`; beyond all use, its size does not matter."""
    checked, m = numeric(dual, name), problem.measurement.size
    if checked.shape != (m,):
        raise InputError(f"{name} has shape {checked.shape}, expected ({m},): one value a measurement")
    largest = float(np.max(np.abs(checked), initial=0.0))
    return checked * (LARGEST_DUAL / largest) if largest > LARGEST_DUAL else checked


def _spectrum(
    problem: Problem, point: _Whitened, dual: Array, metric_power: float, seed: int, randomized: bool
) -> TopSpectrum:
    """Return the spectrum of the dual matrix; of the trivial one it is known without looking."""
    if point.determined and metric_power == 1:
        trivial = trivial_dual(problem)
        share = float(dual @ trivial) / float(trivial @ trivial) if np.any(trivial) else 0.0
        if np.max(np.abs(dual - share * trivial)) <= 8 * EPS * float(np.max(np.abs(dual))):
            U, top = point.Z[0], max(0.0, share) * (1 + 16 * EPS)
            return TopSpectrum(U, np.full(U.shape[1], top), U, top, top, "proven")
    S = point.whitened.adjoint_operator(dual)
    cone, (U, _, V) = problem.parametrization.cone, point.Z
    return top_spectrum(S, U, V, unit=1 - 1e-4, seed=seed, cone=cone, randomized=randomized)


def _complement_spectrum(problem: Problem, point: _Whitened, dual: Array, seed: int, randomized: bool) -> TopSpectrum:
    """Return the spectrum of ``I − W``, ``W = B*(λ)``: ones on the range of Z, below one on its complement."""
    W, U = point.whitened.adjoint_operator(dual), point.Z[0]
    d, seen = len(U), point.metric[0].power(0)
    if d <= LARGEST_WHOLE:
        return top_spectrum(seen.dense - as_array(W), U, U, unit=1 - 1e-4, seed=seed, cone="semidefinite")
    margin, kind = complement_margin(W, U, seen, seed=seed, randomized=randomized)
    slack = float(np.linalg.norm(W @ U))
    failure = FAILURE if kind == "probabilistic" else 0.0
    return TopSpectrum(U, np.ones(U.shape[1]), U, 1.0 + slack, 1.0 - margin, kind, slack, failure)


def _evidence(problem: Problem, point: _Whitened, proof: Certificate, spectrum: TopSpectrum, alpha: float) -> Evidence:
    """Return what uniqueness is judged by, with the dual vector scaled to norm at most one.

    In a penalised problem others with as small an objective, up to a surplus, have ``‖Z'‖_* − ⟨Y, Z'⟩`` below the
    surplus over alpha · factor, and measurements that differ by at most ``2 (m · surplus)^½``.
    """
    scale = max(1.0, spectrum.norm)
    gap, misfit = proof.relative_gap, float(np.linalg.norm(point.residual))
    if alpha > 0:
        surplus = proof.value * max(gap, 10 * EPS * sum(problem.shape))
        gap = ratio(surplus / (alpha * problem.parametrization.trace_factor), point.norm)
        misfit = 2 * float(np.sqrt(problem.measurement.size * surplus))
    return point.evidence(problem, spectrum.scaled(1 / scale), proof.dual / scale, gap, misfit)


def _fitting(problem: Problem, point: _Whitened, evidence: Evidence, found: Stability) -> Stability:
    """Return the constants for matrices that fit the data, in place of those that solve a penalised problem."""
    allowance = found.gap - evidence.gap * point.norm + 10 * EPS * sum(problem.shape) * point.norm
    gap = point.norm - float(problem.data @ evidence.dual) + allowance
    return replace(found, gap=gap, misfit=float(np.linalg.norm(point.residual)))


def _complement_evidence(problem: Problem, point: _Whitened, dual: Array, seed: int, randomized: bool) -> Evidence:
    """Return what uniqueness is judged by where ``W = B*(λ)`` proves it: I − W is another dual matrix.

    What W lacks to be positive semidefinite is added to it, times the identity, which the trivial dual vector makes.
    """
    spectrum = _complement_spectrum(problem, point, dual, seed, randomized)
    lacking, growth = max(0.0, spectrum.norm - 1), float(np.linalg.norm(trivial_dual(problem)))
    gap = ratio(abs(float(problem.data @ dual)), point.norm) + lacking
    misfit = float(np.linalg.norm(point.residual))
    return point.evidence(problem, spectrum, dual, gap, misfit, growth)


def _flatness_proof(
    problem: Problem, point: _Whitened, dual: Array, spectrum: TopSpectrum, alpha: float
) -> Certificate:
    """Return the certificate of flatness alone."""
    factor, m = problem.parametrization.trace_factor, problem.measurement.size
    scaled = dual / max(1.0, spectrum.norm)
    value, lower = factor * point.norm, factor * float(problem.data @ scaled)
    if alpha > 0:
        value = problem.loss.value(point.residual) + alpha * value
        strong = alpha * scaled  # alpha² alone may overflow
        lower = alpha * lower - factor**2 / 4 * m * float(strong @ strong)
    gap = ratio(value - lower, value)
    fit = Fit.of(problem.data, point.residual, point.sizes, float(np.linalg.norm(point.Z[1])), dual)
    return Certificate(
        holds=bool(abs(gap) <= LARGEST_GAP and (alpha > 0 or fit.exact) and spectrum.kind != "estimated"),
        objective="penalised" if alpha > 0 else "interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=fit.misfit,
        whitened_residual=fit.whitened,
        residual_reach=fit.reach,
        dual=dual,
        dual_norm=spectrum.norm,
        bound_kind=spectrum.kind,
        failure_probability=union_bound(spectrum.failure),
    )


@dataclass(frozen=True)
class Fit:
    """How well a solution fits its data, in the three ways that a certificate asks for.

    Attributes
    ----------
    misfit, whitened, reach : float
        `Certificate.relative_residual`, ``whitened_residual`` and ``residual_reach``.
    """

    misfit: float
    whitened: float
    reach: float

    @classmethod
    def of(cls, data: Array, residual: Array, sizes: Array, norm: float, dual: Array) -> Fit:
        """Return the fit of a residual to data b, given the sizes of the whitened measurements and the norm of Z.

        Parameters
        ----------
        data, residual, sizes, dual : ndarray, shape (m,)
            b, ``A(X) − b``, the norms of the whitened sensing matrices, and λ.
        norm : float
            The Frobenius norm of Z.
        """
        comparable = np.divide(residual, sizes, out=np.zeros_like(residual), where=sizes > 0)
        size = float(np.linalg.norm(residual))
        moved = float(np.linalg.norm(dual)) * size
        return cls(
            misfit=ratio(size, float(np.linalg.norm(data))),
            whitened=ratio(float(np.linalg.norm(comparable)), norm),
            reach=moved / max(abs(float(data @ dual)), float(np.finfo(float).tiny)) if moved else 0.0,
        )

    @property
    def exact(self) -> bool:
        """Whether the fit is good enough for a certificate of interpolation."""
        small = self.misfit <= LARGEST_RESIDUAL and self.whitened <= LARGEST_WHITENED_RESIDUAL
        return small and self.reach <= LARGEST_GAP


def check_strength(alpha: float, metric_power: float) -> tuple[float, float]:
    """Return both as floats, or raise `InputError` unless alpha lies in [0, 1e152] and metric_power in [0, 1]."""
    for name, value, high in (("alpha", alpha, np.inf), ("metric_power", metric_power, 1.0)):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not np.isfinite(value) or not 0 <= value <= high:
            upper = "a finite number of at least 0" if high == np.inf else f"a number from 0 to {high:g}"
            raise InputError(f"{name} is {value!r}, expected {upper}")
    if float(alpha) > LARGEST_STRENGTH:
        raise InputError(f"alpha is {alpha!r}, expected at most {LARGEST_STRENGTH:g}")
    return float(alpha), float(metric_power)


def ratio(numerator: float, denominator: float) -> float:
    """Return the quotient, or the numerator where there is nothing to divide by."""
    return numerator / denominator if denominator else numerator
