"""Coverage of the bounds of the largest eigenvalue and of the intervals of the spectral density.

python -m benchmarks.nn.spectrum [--trials N]   2000 trials; about ten minutes
python -m benchmarks.nn.spectrum --quick        100 trials

``bounds``: the outer bound of the largest eigenvalue fails with a probability of at most ``FAILURE``. ``fails``: how
often it failed, with the 95 % interval of Clopper and Pearson; ``ok`` if that reaches down to ``FAILURE``. ``width``:
the relative distance of the two bounds. ``products to 1e-3``: with the default failure probability of 1e-6, and for
comparison those of ARPACK (scipy's ``eigsh``) for the same accuracy of its estimate, which has no outer bound.

``density``: coverage of 95 % intervals of the density, of the share of eigenvalues up to a point, both over 25 points
(the least and the median), and of the first four moments (the least). ``ok``: no worse than 94 % by a binomial test of
level 5 %, corrected for the number of points.

The spectra have outliers, or come from a random matrix, or from the networks of `benchmarks.nn.coverage`. The
distribution of vectors that are uniform on a sphere does not depend on the basis, so eigenvalues replace matrices.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
from scipy import stats
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from benchmarks.nn.coverage import Diagonal, networks
from benchmarks.report import line, machine, mark
from flatmin.lab.claims import share_interval
from flatmin.nn.spectrum.density import spectral_density
from flatmin.nn.spectrum.eigenvalue import largest_eigenvalue

#: Failure probability of the tested bounds: large enough that failures can be counted.
FAILURE, FEW_STEPS = 0.05, (5, 15)
PROBES, STEPS, POINTS = 10, 30, 25


def spectra() -> Iterator[tuple[str, Tensor]]:
    """Return names and eigenvalues."""
    n = 400
    G = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bulk = torch.linspace(-1, 1, n - 3, dtype=torch.float64)
    yield "semicircle", torch.linalg.eigvalsh((G + G.T) / (2 * n) ** 0.5)
    yield "three outliers", torch.cat([bulk, torch.tensor([3.0, 5.0, 9.0], dtype=torch.float64)])
    yield "one behind the bulk", torch.cat([bulk, torch.tensor([1.0, 1.0, 1.02], dtype=torch.float64)])
    for name, H, _ in networks():
        yield name, torch.linalg.eigvalsh(H)


def bounds(trials: int) -> None:
    """Print how often outer bounds of the largest eigenvalue fail."""
    print(f"\n### Bounds that may fail with probability {FAILURE}, {trials} trials\n")
    line(["spectrum", "products", "fails", "median width", "judged", "products to 1e-3", "ARPACK"])
    print("|" + "---|" * 7)
    for name, eigenvalues in spectra():
        exact, operator = float(eigenvalues[-1]), Diagonal(eigenvalues)
        default = np.mean([largest_eigenvalue(operator, seed=s).n_products for s in range(20)])
        theirs = np.mean([_arpack(eigenvalues, s) for s in range(20)])
        for few in FEW_STEPS:
            settings = {"failure": FAILURE, "max_products": few, "tol": 1e-12}
            found = [largest_eigenvalue(operator, seed=s, **settings) for s in range(trials)]
            failed = sum(not e.lower <= exact <= e.upper for e in found)
            low, high = share_interval(failed, trials)
            width = np.median([(e.upper - e.lower) / abs(exact) for e in found])
            share = f"{failed / trials:.3f} [{low:.3f}, {high:.3f}]"
            costs = [f"{default:.0f}", f"{theirs:.0f}"]
            line([name, str(few), share, f"{width:.2g}", mark(low <= FAILURE), *costs])


def _arpack(eigenvalues: Tensor, seed: int) -> int:
    """Return the number of products after which ARPACK's own estimate is within 1e-3."""
    values, count = eigenvalues.numpy(), 0

    def times(v: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return values * v.ravel()

    operator = LinearOperator((len(values), len(values)), matvec=times, dtype=float)
    eigsh(operator, 1, which="LA", tol=1e-3, v0=np.random.default_rng(seed).standard_normal(len(values)))
    return count


def density(trials: int) -> None:
    """Print how often intervals of density, shares and moments cover."""
    print(f"\n### Densities from {PROBES} probes of {STEPS} steps, {trials} trials\n")
    line(["spectrum", "density: least", "median", "shares: least", "median", "moments", "judged"])
    print("|" + "---|" * 7)
    t = stats.t.ppf(0.975, PROBES)
    for name, eigenvalues in spectra():
        values, operator = eigenvalues.numpy(), Diagonal(eigenvalues)
        first = spectral_density(operator, probes=PROBES, steps=STEPS, seed=trials)
        grid = np.quantile(values, np.linspace(0, 1, POINTS)) + first.width * np.linspace(-1, 1, POINTS)
        settings = {"probes": PROBES, "steps": STEPS, "grid": grid, "width": first.width}
        smooth = stats.norm.pdf(grid[:, None], values, first.width).mean(1)
        share = (grid[:, None] >= values).mean(1)
        moments = np.array([(values**p).mean() for p in (1, 2, 3, 4)])
        covered, of_moments = np.zeros((2, POINTS)), np.zeros(4)
        for s in range(trials):
            found = spectral_density(operator, seed=s, **settings)
            half = t * found.std_error + found.quadrature_error + 1e-12
            covered[0] += np.abs(found.density - smooth) <= half
            covered[1] += (found.cumulative_low - 1e-12 <= share) & (share <= found.cumulative_high + 1e-12)
            of_moments += np.abs(found.moments - moments) <= t * found.moments_std_error + 1e-12 * np.abs(moments)
        least = [*covered.min(1), of_moments.min()]
        enough = all(stats.binom.cdf(c, trials, 0.94) > 0.05 / POINTS for c in least)
        cells = [covered[0].min(), np.median(covered[0]), covered[1].min(), np.median(covered[1]), of_moments.min()]
        line([name, *(f"{c / trials:.3f}" for c in cells), mark(enough)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    for table in (bounds, density):
        table(100 if asked.quick else asked.trials)


if __name__ == "__main__":
    main()
