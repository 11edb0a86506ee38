"""A golden file of answers: small problems of every kind, solved again and compared number by number.

python -m benchmarks.golden [--only PATTERN] [--timings]            compare with golden.json; exit status 1 if changed
python -m benchmarks.golden --write [--only PATTERN] [--timings]    solve and store the answers

It checks that work on the code, such as moving, renaming or making it faster, does not change what flatmin computes.
Each problem gets a row:

- "equal": bit for bit;
- "rounding": words, verdicts and whole numbers are the same, and other numbers differ by rounding;
- "CHANGED": with each field, its old and its new value.

All problems run on one thread and no limit is a time, so unchanged code gives "equal" on the machine where the file was
written. Another processor or another BLAS rounds differently. Then some numbers of steps change, and so do radii below
the recovery threshold, which are roots of the gap; on such a machine, first write the file again with the old code.

PATTERN is a part of a problem's name, with * and ? as in file names; --write with it stores only those problems.
--timings adds seconds of processor time.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import flatmin as fm

FILE = Path(__file__).with_name("golden.json")

#: Largest change by rounding of an ordinary number, relative if the number is above one.
ROUNDING = 1e-9
#: Largest change by rounding of a number that is a steep function of the solution or of a small gap.
STEEP = dict.fromkeys(("radius", "margin", "injectivity", "matrix", "sparse", "refit", "predictions"), 1e-6)

PROOF = ("holds", "value", "lower_bound", "relative_gap", "relative_residual", "bound_kind", "unique", "radius")
PROOF += ("q", "margin", "injectivity")

Numbers = dict[str, Any]

# Stored answers


def weighed(array: Any) -> float:
    """Return a weighted sum of the absolute values of all entries, with different weights."""
    sizes = np.abs(np.asarray(array)).ravel()
    return float(sizes @ np.cos(np.arange(sizes.size)))


def numbered(**columns: Any) -> Numbers:
    return {f"{name} {i}": value for name, column in columns.items() for i, value in enumerate(column)}


def proof(certificate: fm.Certificate) -> Numbers:
    return {name: getattr(certificate, name) for name in PROOF}


def numbers(solution: fm.Solution) -> Numbers:
    """Return the stored numbers of a solution: certificate, status, flatness, a sum over its matrix, and its noise."""
    kept = proof(solution.certificate) | {"status": solution.status.name, "iterations": solution.iterations}
    kept |= {name: getattr(solution.flatness, name) for name in ("hessian_trace", "scaled_trace")}
    kept |= {"rank": solution.rank, "matrix": weighed(solution.matrix)}
    if "sparse" in solution.parts:
        kept["sparse"] = weighed(solution.parts["sparse"])
    if (noise := solution.noise) is not None:
        kept |= {"alpha": noise.alpha, "sigma": noise.sigma, "std_error": noise.std_error, "noise rank": noise.rank}
    return kept


def fitted(model: Any, predictions: Any) -> Numbers:
    """Return the stored numbers of an estimator: its solution, its attributes, and the norm of its predictions."""
    fields = {"status_": model.status_.name, "rank_": model.rank_, "n_iter_": model.n_iter_}
    return numbers(model.solution_) | fields | {"predictions": float(np.linalg.norm(predictions))}


# Problems: the options of families, and problems that no family draws

sensing = partial(fm.families.matrix_sensing.sample, (12, 9), 2)
bilinear = partial(fm.families.bilinear_sensing.sample, (10, 8), 2, 120)
completion = partial(fm.families.matrix_completion.sample, (30, 25), 2)
phases = partial(fm.families.phase_retrieval.sample, 12, 1)
covariance = partial(fm.families.covariance.sample, 12, 2)
network = partial(fm.families.quadratic_network.sample, 10, (2, 1), 130)
sparse = partial(fm.families.sparse_regression.sample, 40, 3, 25)
errors = partial(fm.families.robust_pca.sample, (40, 30), 2)


def masked(height: int, width: int) -> Any:
    """Return the diffraction patterns of a picture behind eight masks."""
    return fm.families.phase_retrieval.from_picture(np.random.default_rng(0).random((height, width)), 8)


def spoilt(noise: float = 0.0) -> np.ndarray:
    """Return a table with gross errors."""
    return errors(noise=noise).problem.data.reshape(40, 30)


def cells(rows: list[int], columns: list[int], *values: float) -> fm.Problem:
    """Return some cells of a table 3 × 3."""
    return fm.Problem(fm.measurements.Entries(rows, columns, (3, 3)), values)


twice = partial(cells, [0, 0, 0, 1, 1], [0, 1, 1, 0, 2])


def symmetric(model: Any, count: int) -> fm.Problem:
    """Return symmetric measurements of full rank."""
    rng = np.random.default_rng(0)
    A, U = rng.standard_normal((count, 10, 10)), rng.standard_normal((10, 2))
    measurement = fm.measurements.Dense((A + A.transpose(0, 2, 1)) / 2)
    return fm.Problem(measurement, measurement.forward(U @ U.T), model)


def otherwise(instance: Any, measured: Any = lambda A: A, model: Any = None) -> fm.Problem:
    """Return the problem of an instance with another measurement, computed from its own, or another model."""
    problem = instance.problem
    return fm.Problem(measured(problem.measurement), problem.data, model or problem.parametrization)


def as_mask(A: fm.measurements.Entries) -> fm.measurements.Mask:
    """Return measured cells as a mask."""
    return fm.measurements.Mask(np.isin(np.arange(750), 25 * A.rows + A.cols).reshape(30, 25))


def weighted(A: fm.measurements.Entries) -> fm.measurements.Entries:
    """Return measured cells with weights."""
    return fm.measurements.Entries(A.rows, A.cols, A.shape, np.linspace(0.5, 2, A.size))


def as_operator(A: fm.measurements.Dense) -> Any:
    """Return sensing matrices as a SciPy operator."""
    return fm.measurements.FromLinearOperator(A.matrices().reshape(A.size, -1), A.shape)


# Answers


def flat(instance: Any, **options: Any) -> Numbers:
    return numbers(fm.flat_minimum(getattr(instance, "problem", instance), **options))


def low(instance: Any) -> Numbers:
    return numbers(fm.reweighted_minimum(instance.problem))


def draws() -> Numbers:
    """Return checksums of the data that every family draws, and of problems rebuilt from their arrays."""
    drawn, again = {"sparse-regression": sparse()}, {}
    for name in fm.families.names():
        family = fm.families.find(name)
        shape, rank = family.usual.shape, family.usual.rank
        drawn[name] = family.sample(shape, rank, family.usual.measurements(shape, rank), noise=0.1, seed=1)
        again[f"{name} again"] = weighed(family.build(family.arrays(drawn[name].problem)).data)
    drawn |= {"masks": masked(4, 5), "phase-retrieval, complex": phases(30, real=False)}
    data = {f"{name} data": weighed(instance.problem.data) for name, instance in drawn.items()}
    return data | again | {f"{name} truth": weighed(instance.truth) for name, instance in drawn.items()}


def flatness() -> Numbers:
    """Return the flatness of points that are not minima, one for each model."""
    rng, found = np.random.default_rng(0), {}
    for instance, shapes in (
        (sensing(150), ((12, 3), (9, 3))),
        (covariance(90), ((12, 3),)),
        (network(), ((10, 2), (10, 2))),
        (sparse(depth=3), ((40, 1), (40, 1), (40, 1))),
    ):
        point = fm.flatness(instance.problem, tuple(rng.standard_normal(shape) for shape in shapes))
        model = type(instance.problem.parametrization).__name__
        found |= {f"{model} {name}": value for name, value in asdict(point).items()}
    return found


def warm(problem: fm.Problem) -> Numbers:
    """Return a solution that continues an interrupted search."""
    first = fm.flat_minimum(problem, max_iter=2)
    return {"first": first.status.name} | flat(problem, warm_start=first)


def judged(instance: Any, with_dual: bool = False) -> Numbers:
    """Return the certificate of a matrix, with its dual vector or with one that `certify` finds."""
    solution = fm.flat_minimum(instance.problem)
    return proof(fm.certify(instance.problem, solution.matrix, solution.certificate.dual if with_dual else None))


def path() -> Numbers:
    found = fm.flat_path(completion(420, noise=0.1).problem, n_alphas=6)
    return numbered(alpha=found.alphas, rank=found.ranks, loss=found.losses, trace=found.traces)


def folds() -> Numbers:
    found = fm.cross_validate(sensing(150, noise=0.2).problem, n_alphas=6, folds=3)
    return numbers(found.solution) | {"chosen": found.chosen[1]} | numbered(mean=found.mean[0])


def largest(*options: tuple[Any, float]) -> Numbers:
    """Return the smallest alphas with a zero solution, for instances and metric powers."""
    return numbered(alpha=[fm.alpha_max(instance.problem, metric_power=power) for instance, power in options])


def refitted(problem: fm.Problem) -> Numbers:
    solution = fm.flat_minimum(problem, alpha=0.05)
    L, R = fm.refit(problem, solution)
    return numbers(solution) | {"refit": weighed(L @ R.T)}


def counts(clean: fm.Problem) -> Numbers:
    counted = np.random.default_rng(0).poisson(50 * clean.data / clean.data.mean())
    found = fm.stabilize_variance(fm.Problem(clean.measurement, counted, clean.parametrization), max_rank=1)
    return {"unit": found.unit, "std_error": found.std_error, "matrix": weighed(found.factors[0] @ found.factors[0].T)}


def imputed(model: Any) -> Numbers:
    """Return the cells that an estimator fills in a noisy table whose columns have different units."""
    rng, units = np.random.default_rng(0), 10.0 ** np.arange(-2, 4).repeat(2)
    table = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 12)) + 0.05 * rng.standard_normal((50, 12))
    return fitted(model, model.fit_transform(np.where(rng.random(table.shape) < 0.25, np.nan, table * units)) / units)


def rated(model: Any) -> Numbers:
    rng = np.random.default_rng(0)
    pairs = np.array(np.divmod(rng.choice(300, 150, replace=False), 15)).T
    liked = rng.standard_normal(20)[pairs[:, 0]] + rng.standard_normal(15)[pairs[:, 1]]
    model.fit(pairs, np.clip(np.round(3 + liked), 1, 5))
    return fitted(model, model.predict([[i, j] for i in range(21) for j in range(16)]))


def cleaned(model: Any) -> Numbers:
    scores = model.fit(spoilt(noise=0.05)).transform(spoilt(noise=0.1)[:10])
    return fitted(model, scores) | {"wrong": int(model.outlier_mask_.sum())}


def photons(model: Any) -> Numbers:
    rng = np.random.default_rng(0)
    s, X = rng.standard_normal(12), rng.standard_normal((100, 12))
    return fitted(model.fit(X, rng.poisson(30 * (X @ s) ** 2)), model.predict(X)) | {"unit_": model.unit_}


def regressed(model: Any, features: int, answer: Callable[..., np.ndarray]) -> Numbers:
    """Return the predictions of a regressor for new samples of a function with a little noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((160, features))
    model.fit(X, answer(*X.T) + 0.1 * rng.standard_normal(len(X)))
    return fitted(model, model.predict(rng.standard_normal((20, features))))


#: The name and the solver of each problem: a function that returns words, numbers and None. Add a problem as a line.
PROBLEMS: dict[str, Callable[[], Numbers]] = {
    "draws": draws,
    "flatness": flatness,
    "sensing": lambda: flat(sensing(150)),
    "sensing, few": lambda: flat(sensing(45)),
    "sensing, few, max_rank": lambda: flat(sensing(45), max_rank=2),
    "sensing, nuclear norm": lambda: flat(sensing(60), metric_power=0.0),
    "sensing, power 0.5, alpha": lambda: flat(sensing(60, noise=0.1), metric_power=0.5, alpha=0.1),
    "sensing, noise": lambda: flat(sensing(150, noise=0.1)),
    "sensing, noise, alpha": lambda: flat(sensing(150, noise=0.1), alpha=0.3),
    "sensing, noise, auto": lambda: flat(sensing(150, noise=0.1), alpha="auto"),
    "sensing, operator": lambda: flat(otherwise(sensing(150), as_operator)),
    "sensing, warm start": lambda: warm(sensing(70, noise=0.1).problem),
    "sensing, reweighted": lambda: low(sensing(45)),
    "sensing, certify": lambda: judged(sensing(150)),
    "sensing, certify, dual": lambda: judged(sensing(45), with_dual=True),
    "sensing, certify truth": lambda: proof(fm.certify(sensing(45).problem, sensing(45).truth)),
    "bilinear": lambda: flat(bilinear()),
    "bilinear, noise, auto": lambda: flat(bilinear(noise=0.1), alpha="auto"),
    "completion": lambda: flat(completion(420)),
    "completion, few": lambda: flat(completion(200)),
    "completion, few, reweighted": lambda: low(completion(260)),
    "completion, mask": lambda: flat(otherwise(completion(420), as_mask)),
    "completion, weights, alpha": lambda: flat(otherwise(completion(420), weighted), alpha=1.0),
    "completion, noise, auto": lambda: flat(completion(420, noise=0.1), alpha="auto"),
    "completion, large": lambda: flat(fm.families.matrix_completion.sample((3500, 3000), 1, 90_000)),
    "completion, many, alpha": lambda: flat(
        fm.families.matrix_completion.sample((400, 300), 3, 60_000, noise=0.1), alpha=10.0
    ),
    "completion, objective, alpha": lambda: flat(
        fm.families.matrix_completion.sample((200, 150), 3, 8000, noise=0.1), alpha=5.0, stop="objective"
    ),
    "completion, zero": lambda: flat(twice(0, 0, 0, 0, 0)),
    "completion, zero, alpha": lambda: flat(twice(0, 0, 0, 0, 0), alpha=0.1),
    "completion, inconsistent": lambda: flat(twice(1, 2, 2.1, 3, 1)),
    "completion, inconsistent, alpha": lambda: flat(twice(1, 2, 2.1, 3, 1), alpha=0.1),
    "completion, not unique": lambda: flat(cells([0, 1], [0, 1], 1, 2)),
    "phases, real": lambda: flat(phases(80)),
    "phases, real, few": lambda: flat(phases(30)),
    "phases, complex": lambda: flat(phases(100, real=False)),
    "phases, masks": lambda: flat(masked(8, 6)),
    "phases, masks, large": lambda: flat(masked(48, 43)),
    "phases, counts": lambda: counts(phases(150).problem),
    "covariance": lambda: flat(covariance(90)),
    "covariance, few": lambda: flat(covariance(25)),
    "covariance, noise, auto": lambda: flat(covariance(90, noise=0.1), alpha="auto"),
    "covariance, certify": lambda: judged(covariance(90)),
    "gram": lambda: flat(symmetric(fm.Gram(), 45)),
    "gram, alpha": lambda: flat(symmetric(fm.Gram(), 45), alpha=0.1),
    "signed gram, few": lambda: flat(symmetric(fm.SignedGram(), 30)),
    "network": lambda: flat(network()),
    "network, noise, auto": lambda: flat(network(noise=0.1), alpha="auto"),
    "network, reweighted": lambda: low(network()),
    "errors": lambda: flat(errors()),
    "errors, missing": lambda: flat(errors(1000)),
    "errors, large": lambda: flat(fm.families.robust_pca.sample((250, 200), 3)),
    "errors, large, noise, auto": lambda: flat(fm.families.robust_pca.sample((150, 100), 3, noise=0.05), alpha="auto"),
    "errors, robust_pca, weight": lambda: numbers(fm.robust_pca(spoilt(), weight=0.25)),
    "errors, robust_pca, tau": lambda: numbers(fm.robust_pca(spoilt(), tau=100.0)),
    "errors, robust_pca, alpha": lambda: numbers(fm.robust_pca(spoilt(noise=0.05), alpha=0.001)),
    "hadamard 2": lambda: flat(sparse()),
    "hadamard 2, noise, auto": lambda: flat(sparse(noise=0.05), alpha="auto"),
    "hadamard 3": lambda: flat(sparse(depth=3)),
    "chain of two": lambda: flat(otherwise(sensing(150), model=fm.Chain((9,)))),
    "chain of three": lambda: flat(otherwise(errors(corruption=0.0), model=fm.Chain((4, 4)))),
    "strengths, path": path,
    "strengths, folds": folds,
    "strengths, largest": lambda: largest((sensing(150), 1), (sensing(150), 0), (covariance(90), 1)),
    "strengths, refit": lambda: refitted(completion(420, noise=0.1).problem),
    "MatrixCompletion": lambda: imputed(fm.MatrixCompletion()),
    "MatrixCompletionCV": lambda: imputed(fm.MatrixCompletionCV()),
    "PairRegressor": lambda: rated(fm.PairRegressor(0.1)),
    "RobustPCA": lambda: cleaned(fm.RobustPCA()),
    "PhaseRetrieval, counts": lambda: photons(fm.PhaseRetrieval(noise="poisson")),
    "PhaseRetrieval, not certified": lambda: photons(fm.PhaseRetrieval(certify=False)),
    "CovarianceSketch": lambda: regressed(fm.CovarianceSketch(), 8, lambda a, b, *_: a**2 + b**2),
    "QuadraticNetworkRegressor": lambda: regressed(
        fm.QuadraticNetworkRegressor(), 8, lambda a, b, c, d, *_: (a + b) ** 2 - c**2 + d
    ),
    "TraceRegressor": lambda: regressed(fm.TraceRegressor(), 30, lambda a, b, *_: a + b + 3),
    "TraceRegressorCV": lambda: regressed(fm.TraceRegressorCV(), 30, lambda a, b, *_: a + b + 3),
    "BilinearRegressor": lambda: regressed(fm.BilinearRegressor(n_left=2), 6, lambda a, b, c, d, *_: a * (c - d) + 3),
}

# Comparing


def solved(name: str) -> tuple[Numbers, float]:
    """Return the answer to a problem in plain numbers, and the seconds it took."""
    start = time.process_time()
    found = PROBLEMS[name]()
    seconds = time.process_time() - start
    return {field: value.item() if isinstance(value, np.generic) else value for field, value in found.items()}, seconds


def rounded(field: str, old: Any, new: Any) -> bool:
    """Return whether two values differ by rounding at most."""
    if repr(old) == repr(new) or not (isinstance(old, float) and isinstance(new, float)):
        return repr(old) == repr(new)
    return abs(new - old) <= STEEP.get(field, ROUNDING) * max(1.0, abs(old), abs(new))


def verdict(old: Numbers | None, new: Numbers | None) -> str:
    """Return "equal", "rounding", or "CHANGED" with the fields that changed."""
    if old is None or new is None:
        return "CHANGED: not in the file" if old is None else "CHANGED: only in the file"
    pairs = {field: (old.get(field, "nothing"), new.get(field, "nothing")) for field in old | new}
    if all(repr(a) == repr(b) for a, b in pairs.values()):
        return "equal"
    changed = [f"{field} {a} {b}" for field, (a, b) in pairs.items() if not rounded(field, a, b)]
    return f"CHANGED: {'; '.join(changed)}" if changed else "rounding"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", default="", metavar="PATTERN")
    parser.add_argument("--timings", action="store_true")
    given = parser.parse_args()
    stored: dict[str, Numbers] = json.loads(FILE.read_text()) if FILE.exists() else {}
    chosen = [name for name in {**PROBLEMS, **stored} if fnmatch.fnmatchcase(name, f"*{given.only}*")]
    if not chosen:
        parser.error(f"no problem has {given.only!r} in its name")
    kept = {name: answer for name, answer in stored.items() if name not in chosen}
    total, changed = 0.0, 0
    os.environ["OMP_NUM_THREADS"] = "1"  # read by flatmin's own loops in each run
    with threadpool_limits(1):
        for name in chosen:
            found, seconds = solved(name) if name in PROBLEMS else (None, 0.0)
            found_verdict = verdict(stored.get(name), found)
            total, changed = total + seconds, changed + found_verdict.startswith("CHANGED")
            kept |= {} if found is None else {name: found}
            print(f"{name:<34}{f'{seconds:6.2f} s  ' if given.timings else ''}{found_verdict}", flush=True)
    if given.timings:
        print(f"{f'{len(chosen)} problems':<34}{total:6.2f} s")
    if given.write:
        FILE.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    elif changed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
