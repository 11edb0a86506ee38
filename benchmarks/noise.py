"""Results of ``alpha="auto"`` for noise of many kinds.

python -m benchmarks.noise [NAME …] [--draws N]     NAME is a part of the name of a setting; ten draws each

The first table has two problems at two levels of noise, with the worst of the draws: error of the refit over that of
least squares at the true rank, started at the truth; how often the rank is exact; the error of the estimated level in
standard errors; its median over the root mean square of the noise; seconds of processor time.

The second table has noise of many kinds: how often the refit, and the penalised solution, have the true rank; median
relative error of the refit, the same over that of the oracle, and that of the penalised solution over it; the estimated
level over the root mean square of the noise, and how often they differ by at most three standard errors; the effect of
the noise over that of Gaussian noise of its size; seconds of processor time. The oracle of weighted counts is least
squares with the weights of the truth, and their level is the root of the unit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

import flatmin as fm
from benchmarks.report import line
from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.families import Instance, phase_retrieval
from flatmin.solvers import stabilize_variance
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import minimise

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


def counts(average: float, rng: np.random.Generator, problem: fm.Problem) -> Array:
    """Poisson noise of data that are so many counts on average."""
    unit = average / problem.data.mean()
    return rng.poisson(unit * problem.data) / unit - problem.data


def skewed_completion(skew: float, seed: int) -> Instance:
    """Rows and columns whose number of observed cells follows a power law."""
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


def spiked(seed: int) -> Instance:
    """A third component that is a twentieth of the others: below the noise."""
    rng, (d1, d2) = np.random.default_rng(seed), (120, 100)
    U, V = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in (d1, d2))
    X = 100 * (U * [1.0, 1.0, 0.05]) @ V.T
    rows, cols = np.divmod(rng.choice(d1 * d2, 3600, replace=False), d2)
    return Instance(fm.Problem(fm.measurements.Entries(rows, cols, (d1, d2)), X[rows, cols]), X)


def table_of_counts(seed: int) -> Instance:
    """A nonnegative matrix of rank three, as of tables of counts."""
    rng, (d1, d2) = np.random.default_rng(seed), (120, 100)
    X = rng.gamma(1.0, 1.0, (d1, 3)) @ rng.gamma(1.0, 1.0, (3, d2))
    rows, cols = np.divmod(rng.choice(d1 * d2, 3600, replace=False), d2)
    return Instance(fm.Problem(fm.measurements.Entries(rows, cols, (d1, d2)), X[rows, cols]), X)


def intensities(real: bool, seed: int) -> Instance:
    found = fm.families.phase_retrieval.sample(40, 1, 320, seed=seed, real=real)
    return Instance(found.problem, np.outer(found.truth, found.truth.conj()))


def masks(seed: int) -> Instance:
    """An image of 8 × 8 pixels behind eight masks."""
    image = np.random.default_rng(seed).random((8, 8))
    found = phase_retrieval.diffraction(image, phase_retrieval.octanary_masks(8, (8, 8), seed=seed))
    return Instance(found.problem, np.outer(image, image))


def sampled(name: str, shape: object, rank: object, m: int, seed: int) -> Instance:
    return getattr(fm.families, name).sample(shape, rank, m, seed=seed)


sensing = partial(sampled, "matrix_sensing", (40, 30), 2, 600)
completion = partial(sampled, "matrix_completion", (120, 100), 3, 3600)


class Setting(NamedTuple):
    """#: The draw, its rank, the noise, and its root mean square over that of the data (counts: None, their own)."""

    draw: Callable[[int], Instance]
    rank: int
    noise: Noise
    level: float | None = 0.3
    weighed: bool = False


SETTINGS: Mapping[str, Setting] = {
    "sensing, Gaussian": Setting(sensing, 2, even),
    "sensing, t with 3 degrees": Setting(sensing, 2, partial(student, 3.0)),
    "sensing, uneven": Setting(sensing, 2, uneven),
    "sensing, below the threshold": Setting(partial(sampled, "matrix_sensing", (40, 30), 2, 240), 2, even),
    "completion, Gaussian": Setting(completion, 3, even),
    "completion, t with 3 degrees": Setting(completion, 3, partial(student, 3.0)),
    "completion, t with 2.1 degrees": Setting(completion, 3, partial(student, 2.1)),
    "completion, outliers": Setting(completion, 3, outliers),
    "completion, uneven": Setting(completion, 3, uneven),
    "completion, noisy rows": Setting(completion, 3, noisy_rows),
    "completion, unevenly seen": Setting(partial(skewed_completion, 0.5), 3, even),
    "completion, very unevenly seen": Setting(partial(skewed_completion, 1.0), 3, even),
    "completion, nearly low rank": Setting(nearly_low_rank, 3, even),
    "completion, a part below the noise": Setting(spiked, 2, even),
    "completion, below the threshold": Setting(partial(sampled, "matrix_completion", (120, 100), 3, 1100), 3, even),
    "completion, counts, 3 a cell": Setting(table_of_counts, 3, partial(counts, 3.0), None),
    "completion, counts, 3 a cell, weighed": Setting(table_of_counts, 3, partial(counts, 3.0), None, True),
    "covariance, Gaussian": Setting(partial(sampled, "covariance", 40, 3, 600), 3, even),
    "network, Gaussian": Setting(partial(sampled, "quadratic_network", 30, (2, 1), 500), 3, even),
    "intensities, real, Gaussian": Setting(partial(intensities, True), 1, even),
    "intensities, complex, Gaussian": Setting(partial(intensities, False), 1, even),
    "intensities, masks, Gaussian": Setting(masks, 1, even, 0.1),
    "intensities, real, 20 photons": Setting(partial(intensities, True), 1, partial(counts, 20.0), None),
    "intensities, real, 20 photons, weighed": Setting(partial(intensities, True), 1, partial(counts, 20.0), None, True),
    "intensities, real, 3 photons, weighed": Setting(partial(intensities, True), 1, partial(counts, 3.0), None, True),
    "intensities, complex, 20 photons": Setting(partial(intensities, False), 1, partial(counts, 20.0), None),
    "intensities, complex, 20 photons, weighed": Setting(
        partial(intensities, False), 1, partial(counts, 20.0), None, True
    ),
    "intensities, complex, 3 photons, weighed": Setting(
        partial(intensities, False), 1, partial(counts, 3.0), None, True
    ),
    "intensities, masks, 20 photons": Setting(masks, 1, partial(counts, 20.0), None),
    "intensities, masks, 20 photons, weighed": Setting(masks, 1, partial(counts, 20.0), None, True),
}

#: Two problems, the noise over the data, and the draw.
PROBLEMS = {
    f"{title}, SNR {snr:g}": (1 / snr, rank, family, shape, m)
    for title, family, shape, rank, m in (
        ("sensing 60×50, rank 2, 880 measurements", "matrix_sensing", (60, 50), 2, 880),
        ("completion 300×300, rank 5, 30 % seen", "matrix_completion", (300, 300), 5, 27_000),
    )
    for snr in (10, 3.2)
}
#: Seeds that were never used in tests or in tuning.
FRESH = 7000


def trial(setting: Setting, seed: int) -> dict[str, float]:
    clean, truth = (instance := setting.draw(seed)).problem, instance.truth
    errors = setting.noise(np.random.default_rng(seed + 1000), clean)
    if setting.level:
        errors = errors * setting.level * np.sqrt(np.mean(clean.data**2) / np.mean(errors**2))
    problem = fm.Problem(clean.measurement, clean.data + errors, clean.parametrization)
    size, start = float(np.sqrt(np.mean(errors**2))), time.process_time()
    judge = problem
    if setting.weighed:
        size = float(np.sqrt(np.mean(clean.data) / setting.noise.args[0]))
        evened = stabilize_variance(problem, max_rank=1 if setting.rank == 1 else None)
        problem = evened.problem
        judge = weighed(judge, 1 / np.sqrt(clean.data + size**2 / 2))
    solution = fm.flat_minimum(problem, alpha="auto")
    seconds, found = time.process_time() - start, solution.noise
    best = distance(judge, least_squares(judge, truth, setting.rank), truth)
    sigma = np.nan if found.sigma is None else found.sigma
    return {
        "right": found.rank == setting.rank,
        "penalised right": found.penalised_rank == setting.rank,
        "error": distance(problem, found.refit, truth),
        "refit": distance(problem, found.refit, truth) / best,
        "penalised": distance(problem, solution.factors, truth) / best,
        "sigma": sigma / size,
        "within": abs(sigma - size) <= 3 * (found.std_error or 0.0),
        "off": abs(sigma - size) / found.std_error if found.std_error else np.inf,
        "unevenness": found.unevenness,
        "seconds": seconds,
    }


def weighed(problem: fm.Problem, weights: Array) -> fm.Problem:
    A = problem.measurement
    if isinstance(A, fm.measurements.CodedDiffraction):
        A = fm.measurements.RankOne(A.vectors())
    return fm.Problem(A.weighted(weights), weights * problem.data, problem.parametrization)


def distance(problem: fm.Problem, factors: tuple[Array, ...], truth: Array) -> float:
    return float(np.linalg.norm(problem.parametrization.matrix(factors) - truth) / np.linalg.norm(truth))


def least_squares(problem: fm.Problem, truth: Array, rank: int) -> tuple[Array, ...]:
    """Return the least-squares fit of a rank, started at the truth."""
    scaled, model = Scaled.from_problem(problem, 1.0, 0, weighted=False), problem.parametrization
    D1, D2 = (D.power(1) @ np.eye(d) for D, d in zip(scaled.metric, problem.shape, strict=True))
    U, s, V = model.cone.decompose(D1 @ truth @ D2, np.eye(problem.shape[1]))
    x = scaled.model.stack(U[:, :rank], s[:rank] / scaled.to_z, V[:, :rank])
    end = minimise(scaled.model, x, scaled.model.value(x), scaled.b, 1e7, 1e-9, Clock(None, None))
    U, s, V = scaled.model.canonical(end.x)
    return model.flattest(U, scaled.to_z * s, V, scaled.metric)


def two_problems(names: list[str], draws: int) -> None:
    line(["problem", "largest error", "rank exact", "level off by", "median level", "longest seconds"])
    line(["---"] * 6)
    for name, (level, rank, family, shape, m) in PROBLEMS.items():
        if names and not any(part in name for part in names):
            continue
        setting = Setting(partial(sampled, family, shape, rank, m), rank, even, level)
        rows = [trial(setting, seed) for seed in range(FRESH, FRESH + draws)]
        worst = {key: max(row[key] for row in rows) for key in ("refit", "off", "seconds")}
        exact, median = sum(row["right"] for row in rows), np.median([row["sigma"] for row in rows])
        cells = [f"{worst['refit']:.3f}", f"{exact} of {draws}", f"{worst['off']:.1f}", f"{median:.3f}"]
        line([name, *cells, f"{worst['seconds']:.2f}"])


def many_kinds(names: list[str], draws: int) -> None:
    shares = "right", "penalised right", "within"
    medians = "error", "refit", "penalised", "sigma", "unevenness", "seconds"
    line(["setting", *shares, *medians])
    line(["---"] * (1 + len(shares) + len(medians)))
    for name, setting in SETTINGS.items():
        if names and not any(part in name for part in names):
            continue
        rows = [trial(setting, seed) for seed in range(draws)]
        cells = [f"{np.mean([row[key] for row in rows]):.0%}" for key in shares]
        cells += [f"{np.nanmedian([row[key] for row in rows]):.2f}" for key in medians]
        line([name, *cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--draws", type=int, default=10)
    asked = parser.parse_args()
    two_problems(asked.names, asked.draws)
    print()
    many_kinds(asked.names, asked.draws)


if __name__ == "__main__":
    main()
