"""What ``alpha="auto"`` makes of noise of many kinds.

python -m benchmarks.noise [NAME …] [--draws N]     NAME is a part of the name of a setting; ten draws each

Columns: how often the refit has the true rank, and the penalised solution; median errors of the refit and of the
penalised solution over that of least squares at the true rank, started at the truth; the level that was found over the
root mean square of the noise, and how often they differ by at most three standard errors; what the noise can do over
Gaussian noise of its size; seconds of processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

import flatmin as fm
from benchmarks.report import line
from flatmin.families import Instance
from flatmin.metric import Array
from flatmin.solvers.newton import Budget, minimise
from flatmin.solvers.scaling import Scaled

Noise = Callable[[np.random.Generator, fm.Problem], Array]


def student(freedom: float, rng: np.random.Generator, problem: fm.Problem) -> Array:
    return rng.standard_t(freedom, len(problem.data))


def outliers(rng: np.random.Generator, problem: fm.Problem) -> Array:
    """One in twenty is ten times as large."""
    m = len(problem.data)
    return rng.standard_normal(m) * np.where(rng.random(m) < 0.05, 10, 1)


def uneven(rng: np.random.Generator, problem: fm.Problem) -> Array:
    """Every measurement has a level of its own."""
    return np.prod([rng.standard_normal(len(problem.data)), np.exp(rng.standard_normal(len(problem.data)))], axis=0)


def noisy_rows(rng: np.random.Generator, problem: fm.Problem) -> Array:
    """Every row of a completion problem has a level of its own."""
    rows = problem.measurement.rows
    return rng.standard_normal(len(rows)) * np.exp(rng.standard_normal(rows.max() + 1))[rows]


def even(rng: np.random.Generator, problem: fm.Problem) -> Array:
    return rng.standard_normal(len(problem.data))


def counts(rng: np.random.Generator, problem: fm.Problem) -> Array:
    """Poisson noise of intensities that are 20 on average."""
    unit = 20 / problem.data.mean()
    return rng.poisson(unit * problem.data) / unit - problem.data


def skewed_completion(skew: float, seed: int) -> Instance:
    """Rows and columns that are seen more and less often, like a power of their rank."""
    rng, (d1, d2) = np.random.default_rng(seed), (120, 100)
    X = rng.standard_normal((d1, 3)) @ rng.standard_normal((3, d2))
    weights = np.outer(*(rng.permutation(np.arange(1.0, d + 1) ** -skew) for d in (d1, d2))).ravel()
    rows, cols = np.divmod(rng.choice(d1 * d2, 3600, replace=False, p=weights / weights.sum()), d2)
    return Instance(fm.Problem(fm.measurements.Entries(rows, cols, (d1, d2)), X[rows, cols]), X)


def nearly_low_rank(seed: int) -> Instance:
    """Singular values that fall like ``j^(-3/2)``; no rank is true, three is taken."""
    rng, (d1, d2) = np.random.default_rng(seed), (120, 100)
    U, V = (np.linalg.qr(rng.standard_normal((d, d2)))[0] for d in (d1, d2))
    X = 100 * (U * np.arange(1.0, d2 + 1) ** -1.5) @ V.T
    rows, cols = np.divmod(rng.choice(d1 * d2, 3600, replace=False), d2)
    return Instance(fm.Problem(fm.measurements.Entries(rows, cols, (d1, d2)), X[rows, cols]), X)


def sensing(seed: int) -> Instance:
    return fm.families.matrix_sensing.sample((40, 30), 2, 600, seed=seed)


def completion(seed: int) -> Instance:
    return fm.families.matrix_completion.sample((120, 100), 3, 3600, seed=seed)


def covariance(seed: int) -> Instance:
    return fm.families.covariance.sample(40, 3, 600, seed=seed)


def network(seed: int) -> Instance:
    return fm.families.quadratic_network.sample(30, (2, 1), 500, seed=seed)


def intensities(seed: int) -> Instance:
    found = fm.families.phase_retrieval.sample(40, 1, 320, seed=seed)
    return Instance(found.problem, np.outer(found.truth, found.truth.conj()))


#: What is drawn, its rank, the noise, and its root mean square over that of the data (counts: their own).
SETTINGS: Mapping[str, tuple[Callable[[int], Instance], int, Noise, float]] = {
    "sensing, Gaussian": (sensing, 2, even, 0.3),
    "sensing, t with 3 degrees": (sensing, 2, partial(student, 3.0), 0.3),
    "sensing, uneven": (sensing, 2, uneven, 0.3),
    "completion, Gaussian": (completion, 3, even, 0.3),
    "completion, t with 3 degrees": (completion, 3, partial(student, 3.0), 0.3),
    "completion, t with 2.1 degrees": (completion, 3, partial(student, 2.1), 0.3),
    "completion, outliers": (completion, 3, outliers, 0.3),
    "completion, uneven": (completion, 3, uneven, 0.3),
    "completion, noisy rows": (completion, 3, noisy_rows, 0.3),
    "completion, unevenly seen": (partial(skewed_completion, 0.5), 3, even, 0.3),
    "completion, very unevenly seen": (partial(skewed_completion, 1.0), 3, even, 0.3),
    "completion, nearly low rank": (nearly_low_rank, 3, even, 0.3),
    "covariance, Gaussian": (covariance, 3, even, 0.3),
    "network, Gaussian": (network, 3, even, 0.3),
    "intensities, Gaussian": (intensities, 1, even, 0.3),
    "intensities, counts": (intensities, 1, counts, 0.0),
}


def trial(instance: Instance, rank: int, noise: Noise, level: float, seed: int) -> dict[str, float]:
    clean, truth = instance.problem, instance.truth
    errors = noise(np.random.default_rng(seed + 1000), clean)
    if level:
        errors = errors * level * np.sqrt(np.mean(clean.data**2) / np.mean(errors**2))
    problem = fm.Problem(clean.measurement, clean.data + errors, clean.parametrization)
    start = time.process_time()
    solution = fm.flat_minimum(problem, alpha="auto")
    seconds, found = time.process_time() - start, solution.noise
    best, size = distance(problem, least_squares(problem, truth, rank), truth), np.sqrt(np.mean(errors**2))
    sigma = np.nan if found.sigma is None else found.sigma
    return {
        "right": found.rank == rank,
        "penalised right": found.penalised_rank == rank,
        "refit": distance(problem, found.refit, truth) / best,
        "penalised": distance(problem, solution.factors, truth) / best,
        "sigma": sigma / size,
        "within": abs(sigma - size) <= 3 * (found.std_error or 0.0),
        "unevenness": found.unevenness,
        "seconds": seconds,
    }


def distance(problem: fm.Problem, factors: tuple[Array, ...], truth: Array) -> float:
    return float(np.linalg.norm(problem.parametrization.matrix(factors) - truth) / np.linalg.norm(truth))


def least_squares(problem: fm.Problem, truth: Array, rank: int) -> tuple[Array, ...]:
    """Return the least-squares fit of a rank that is found from the truth."""
    scaled, model = Scaled.of(problem, 1.0, 0, weighted=False), problem.parametrization
    D1, D2 = (D.power(1) @ np.eye(d) for D, d in zip(scaled.metric, problem.shape, strict=True))
    U, s, V = model.decompose(D1 @ truth @ D2, np.eye(problem.shape[1]))
    x = scaled.model.stack(U[:, :rank], s[:rank] / scaled.to_z, V[:, :rank])
    end = minimise(scaled.model, x, scaled.model.value(x), scaled.b, 1e7, 1e-9, Budget(None, None))
    U, s, V = scaled.model.canonical(end.x)
    return model.flattest(U, scaled.to_z * s, V, scaled.metric)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--draws", type=int, default=10)
    asked = parser.parse_args()
    shares, medians = ("right", "penalised right", "within"), ("refit", "penalised", "sigma", "unevenness", "seconds")
    line(["setting", *shares, *medians])
    line(["---"] * (1 + len(shares) + len(medians)))
    for name, (draw, rank, noise, level) in SETTINGS.items():
        if asked.names and not any(part in name for part in asked.names):
            continue
        rows = [trial(draw(seed), rank, noise, level, seed) for seed in range(asked.draws)]
        cells = [f"{np.mean([row[key] for row in rows]):.0%}" for key in shares]
        cells += [f"{np.nanmedian([row[key] for row in rows]):.2f}" for key in medians]
        line([name, *cells])


if __name__ == "__main__":
    main()
