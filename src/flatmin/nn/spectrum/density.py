"""The distribution of the eigenvalues of a Hessian: density, cumulative function and moments, with errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from scipy.fft import dct
from scipy.special import stdtrit

from flatmin._core.arrays import Array
from flatmin._core.validation import positive, seed_number, whole_number
from flatmin.errors import InputError
from flatmin.linalg.krylov import Krylov, least_component
from flatmin.nn.estimators.base import Operator, dimension, sphere
from flatmin.nn.estimators.spending import shown
from flatmin.nn.operators.curvature import CurvatureOptions, shows_options, symmetric_operator
from flatmin.nn.operators.streaming import Loss
from flatmin.nn.spectrum.lanczos import lanczos

__all__ = ["SpectralDensity", "spectral_density"]

#: Largest memory for the Lanczos vectors of probes that run at once, in bytes.
PROBE_MEMORY = 2**30
#: Probability with which the bounds ``lower`` and ``upper`` of all eigenvalues may fail.
BOUND_FAILURE = 1e-6


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """The distribution of the eigenvalues λ_i of a symmetric operator, from quadratic forms in random vectors.

    On the ``grid`` of points t, shape (G,), ``density`` is ``(1/n) Σ_i g(t − λ_i)``, where g is the Gaussian density of
    standard deviation ``width``. A 95 % interval is ``density ± t std_error`` with Student's quantile t for
    ``n_probes`` degrees of freedom, widened by ``quadrature_error``, a bound that more probes do not reduce.
    ``cumulative`` is the share of eigenvalues up to t, from ``cumulative_low`` to ``cumulative_high`` with 95 %
    confidence at each point, sampling and quadrature errors included. ``moments``, shape (4,), are the means of λ, λ²,
    λ³ and λ⁴, for which the quadrature is exact. ``lower`` and ``upper`` bound all eigenvalues, with a probability of
    failure of at most 1e-6. ``quadratures`` has (nodes, weights, exact) of each probe: its Gauss quadrature, and
    whether it is exact for every function. ``of`` is "hessian", "gauss_newton", or None for any other operator.

    Examples
    --------
    >>> import torch
    >>> found = spectral_density(torch.diag(torch.tensor([1.0, 2.0, 5.0])).double(), probes=4, seed=0)
    >>> found.n, found.lower <= 1, found.upper >= 5
    (3, True, True)
    """

    grid: Array
    density: Array
    std_error: Array
    quadrature_error: float
    cumulative: Array
    cumulative_low: Array
    cumulative_high: Array
    moments: Array
    moments_std_error: Array
    lower: float
    upper: float
    width: float
    n: int
    n_probes: int
    n_products: int
    quadratures: tuple[tuple[Array, Array, bool], ...]
    of: str | None = None

    def mean_of(self, function: Callable[[Array], Array]) -> tuple[float, float]:
        """Return the mean of ``f(λ_i)`` over all eigenvalues and its sampling error, without the quadrature error."""
        values, squares = np.mean(
            [[w @ f, w @ f**2] for w, f in ((w, function(x)) for x, w, _ in self.quadratures)], axis=0
        )
        return float(values), float(_error(values, squares, self.n, self.n_probes))

    def plot(self, ax: Any = None) -> Any:
        """Draw the density with a 95 % band on a logarithmic axis, and return the Matplotlib axes."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(layout="constrained").subplots()
        half = stdtrit(self.n_probes, 0.975) * self.std_error + self.quadrature_error
        least = 0.1 / (self.n * self.width)
        ax.fill_between(self.grid, np.maximum(self.density - half, least), self.density + half, alpha=0.3, lw=0)
        ax.plot(self.grid, np.maximum(self.density, least))
        ax.set(yscale="log", ylim=(least, None), xlabel="eigenvalue", ylabel="density")
        return ax


@shows_options
def spectral_density(
    model: torch.nn.Module | Operator,
    loss: Loss | None = None,
    data: Any = None,
    *,
    probes: int = 10,
    steps: int = 60,
    grid: Any = None,
    width: float | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> SpectralDensity:
    """Return the distribution of the eigenvalues of the Hessian of a loss, by stochastic Lanczos quadrature.

    For v uniform on the unit sphere, ``E vᵀ f(A) v = (1/n) Σ f(λ_i)``, and k Lanczos steps give the Gauss quadrature of
    ``vᵀ f(A) v``, exact for polynomials of degree 2k − 1. The quadrature's error for the Gaussian of the density is at
    most twice the sum of the Chebyshev coefficients from degree 2k on. The spectral measure up to t is bounded by the
    inequalities of Chebyshev, Markov and Stieltjes: from below by the weights of the nodes before the last node left of
    t, from above by the weights up to the first node right of t.

    The variance of ``vᵀ f(A) v`` is ``2/(n + 2)`` times that of ``f(λ_i)`` over the eigenvalues. This variance is
    estimated from the same quadratures, which for few probes is more accurate than their sample variance. An interrupt
    (Ctrl-C) after the first step returns the density of the probes and steps so far.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`; or, in place of all of them, a `Curvature` or any symmetric operator (n, n) with ``shape``,
        ``dtype``, ``device`` and ``@``, such as a dense tensor.
    probes, steps : int
        Number of random vectors, and number of Lanczos steps (and products) for each of them.
    grid : array_like, optional
        Points at which to evaluate; by default 400 points over the whole spectrum.
    width : float, optional
        Standard deviation of the Gaussian; by default the length of the spectrum over ``steps``, with which the
        quadrature is exact to about three digits.
    seed : int
        Seed of the vectors.

    Raises
    ------
    InputError
        If an argument is out of range, the operator is not symmetric, or a product is not finite.

    References
    ----------
    Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", SIAM J. Matrix Anal. Appl. 2017;
    Ghorbani, Krishnan, Xiao, "An investigation into neural net optimization via Hessian eigenvalue density", 2019.

    Examples
    --------
    >>> import torch
    >>> model, x = torch.nn.Linear(2, 1, bias=False).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
    >>> found = spectral_density(model, torch.nn.MSELoss(), (x, torch.zeros(2, 1).double()), probes=4)
    >>> round(found.lower, 6), round(found.upper, 6)
    (1.0, 9.0)
    """
    operator = symmetric_operator(model, loss, data, **options)
    n = dimension(operator)
    probes, steps = whole_number(probes, "probes", 1), whole_number(steps, "steps", 1)
    if width is not None:
        width = positive(width, "width")
    generator = torch.Generator().manual_seed(seed_number(seed))
    at_once = max(1, PROBE_MEMORY // (8 * n * min(steps, n)))
    krylovs: list[Krylov] = []
    with shown(operator, probes * min(steps, n)) as counted:
        while len(krylovs) < probes:
            starts = sphere(operator, min(at_once, probes - len(krylovs)), generator)
            try:
                krylovs += lanczos(counted, starts, steps)
            except KeyboardInterrupt:
                if not krylovs:
                    raise
                break
            if any(k.steps < min(steps, n) and not k.exhausted for k in krylovs):  # an interrupt has ended them
                break
    probes = len(krylovs)
    component = least_component(n, BOUND_FAILURE / (2 * probes))
    upper = min(k.upper_bound(component) + k.rounding for k in krylovs)
    lower = -min(k.reversed().upper_bound(component) + k.rounding for k in krylovs)
    length = max(upper - lower, np.finfo(float).eps * max(abs(upper), abs(lower)))
    length = length if length > np.finfo(float).tiny * 1e8 else 1.0  # all eigenvalues are zero
    width = length / steps if width is None else width
    t = np.linspace(lower - 4 * width, upper + 4 * width, 400) if grid is None else np.asarray(grid, dtype=float)
    if t.ndim != 1 or not np.isfinite(t).all():
        raise InputError(f"grid has shape {t.shape}, expected one dimension of finite numbers")
    rules = tuple((k.nodes, k.weights, k.exhausted) for k in krylovs)
    kernels = ((_gauss(t, nodes, width), weights) for nodes, weights, _ in rules)
    density, squares = np.mean([(kernel @ weights, kernel**2 @ weights) for kernel, weights in kernels], axis=0)
    low, high = np.mean([_cumulative(*rule, t) for rule in rules], axis=0)
    low[t < lower], high[t < lower], low[t >= upper], high[t >= upper] = 0.0, 0.0, 1.0, 1.0
    widest = np.clip(0.5, low, high)
    half = stdtrit(probes, 0.975) * _error(widest, widest, n, probes)
    powers = np.mean([[w @ x**p for p in range(1, 9)] for x, w, _ in rules], axis=0)
    degree = min((2 * k.steps for k in krylovs if not k.exhausted), default=None)
    return SpectralDensity(
        grid=t,
        density=density,
        std_error=_error(density, squares, n, probes),
        quadrature_error=0.0 if degree is None else 2 * _tail(t, lower, length, width, degree),
        cumulative=(low + high) / 2,
        cumulative_low=np.clip(low - half, 0, 1),
        cumulative_high=np.clip(high + half, 0, 1),
        moments=powers[:4],
        moments_std_error=_error(powers[:4], powers[1::2], n, probes),
        lower=lower,
        upper=upper,
        width=width,
        n=n,
        n_probes=probes,
        n_products=sum(k.steps for k in krylovs),
        quadratures=rules,
        of=getattr(operator, "of", None),
    )


def _error(mean: Array, square: Array, n: int, probes: int) -> Array:
    """Return the standard error of the mean of f over n eigenvalues, given the means of f and f²."""
    return np.asarray(np.sqrt(2 / (n + 2) * np.maximum(square - mean**2, 0.0) / probes))


def _gauss(t: Array, nodes: Array, width: float) -> Array:
    """Return the Gaussian densities around each t at each node, (len(t), len(nodes))."""
    return np.asarray(np.exp(-(((t[:, None] - nodes) / width) ** 2) / 2) / (math.sqrt(2 * math.pi) * width))


def _cumulative(nodes: Array, weights: Array, exact: bool, t: Array) -> tuple[Array, Array]:
    """Return bounds on the spectral measure up to each t."""
    below = np.searchsorted(nodes, t, side="right")
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    if exact:
        return sums[below], sums[below]
    return sums[np.maximum(below - 1, 0)], sums[np.minimum(below + 1, len(nodes))]


def _tail(t: Array, lower: float, length: float, width: float, degree: int) -> float:
    """Return the largest sum of absolute Chebyshev coefficients from a degree on, over Gaussians around all t."""
    count = 2 ** math.ceil(math.log2(max(512, 4 * degree, 16 * length / width)))
    points = lower + length * (1 + np.cos(math.pi * (np.arange(count) + 0.5) / count)) / 2
    largest = 0.0
    for some in np.array_split(t, max(1, t.size * count // 2**22)):
        values = _gauss(some, points, width)
        largest = max(largest, float(np.abs(dct(values, axis=1)[:, degree:]).sum(1).max(initial=0.0)) / count)
    return largest
