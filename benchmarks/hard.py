"""Small and middle instances near and below the recovery threshold, in processor seconds beside SCS.

python -m benchmarks.hard [--only PATTERN] [--draws N] [--alone]

Every draw of a set is solved by flatmin and by SCS, on one thread, in the same run. SCS is given the smallest form of
the programme: ``max ⟨z, s⟩`` with ``[[I, −S], [−Sᵀ, I]] ⪰ 0`` in whitened cells, or ``I ± S ⪰ 0`` for networks, and the
tolerance 1e-7 (after MOST_SECONDS it is stopped). A row has the median and the worst of the draws: the seconds of
flatmin with its certificate, its certified gaps, how many draws are proved unique, the seconds of SCS, how many times
slower SCS is, and by how much its value differs from flatmin's. PATTERN is a part of a set's name.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import flatmin as fm
from benchmarks.markdown import line
from flatmin._core.arrays import Array

#: Seconds after which SCS is stopped.
MOST_SECONDS = 60.0
#: Largest number of rows and columns together for which SCS is tried.
LARGEST = 400


def completion(shape: tuple[int, int], rank: int, oversampling: int, seed: int) -> fm.Problem:
    """Return cells of a matrix with Gaussian factors; their number is a multiple of the degrees of freedom."""
    count = oversampling * rank * (sum(shape) - rank)
    return fm.families.matrix_completion.sample(shape, rank, count, seed=seed).problem


def ill_conditioned(shape: tuple[int, int], rank: int, oversampling: int, condition: float, seed: int) -> fm.Problem:
    """Return cells of a matrix with random singular vectors and geometric singular values."""
    rng, count = np.random.default_rng(seed), oversampling * rank * (sum(shape) - rank)
    cells = np.sort(rng.choice(shape[0] * shape[1], count, replace=False))
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in shape)
    A = fm.measurements.Entries(*np.divmod(cells, shape[1]), shape)
    X = (U * np.logspace(0, -np.log10(condition), rank)) @ V.T * np.sqrt(np.prod(shape))
    return fm.Problem(A, A.forward(X))


def network(d: int, count: int, seed: int) -> fm.Problem:
    """Return inputs and outputs of a quadratic network with two positive neurons and a negative one."""
    return fm.families.quadratic_network.sample(d, (2, 1), count, seed=seed).problem


def sensing(shape: tuple[int, int], rank: int, count: int, seed: int) -> fm.Problem:
    """Return Gaussian measurements."""
    return fm.families.matrix_sensing.sample(shape, rank, count, seed=seed).problem


SETS: dict[str, Callable[[int], fm.Problem]] = {
    **{f"completion 60×50 r2, oversampling {k}": partial(completion, (60, 50), 2, k) for k in (2, 3, 4)},
    "completion 60×50 r3, condition 1e5, oversampling 3": partial(ill_conditioned, (60, 50), 3, 3, 1e5),
    **{f"completion 200×150 r3, oversampling {k}": partial(completion, (200, 150), 3, k) for k in (2, 4)},
    **{f"completion 300×300 r5, oversampling {k}": partial(completion, (300, 300), 5, k) for k in (2, 3)},
    **{f"network d 50, m {m}": partial(network, 50, m) for m in (225, 300)},
    "sensing 60×50 r2, m 330": partial(sensing, (60, 50), 2, 330),
}


def scs_value(problem: fm.Problem) -> float | None:
    """Return the optimal value that SCS finds, None if it is stopped or does not take this problem."""
    import scs
    from scipy.sparse import csc_array

    A = problem.measurement.congruence(*(D.power(-1) for D in problem.metric))
    if sum(A.shape) > LARGEST or isinstance(A, fm.measurements.Dense):
        return None
    if isinstance(A, fm.measurements.Entries):
        n, entries = sum(A.shape), [(A.cols + A.shape[0], A.rows, np.arange(A.size), A.norms())]
    else:
        n, matrices = A.shape[0], A.matrices()
        rows, cols = np.tril_indices(n)
        index = np.tile(np.arange(A.size), (len(rows), 1)).T.ravel()
        shared = np.tile(rows, A.size), np.tile(cols, A.size), index
        entries = [(*shared, sign * matrices[:, rows, cols].ravel()) for sign in (1.0, -1.0)]
    blocks = [_block(n, *block) for block in entries]
    size, largest = n * (n + 1) // 2, float(np.linalg.norm(problem.data))
    place = np.concatenate([part[0] + i * size for i, part in enumerate(blocks)])
    index, values = (np.concatenate([part[j] for part in blocks]) for j in (1, 2))
    matrix = csc_array((values, (place, index)), shape=(len(blocks) * size, A.size))
    diagonal = np.zeros(size)
    diagonal[_position(n, np.arange(n), np.arange(n))] = 1.0
    data = {"A": matrix, "b": np.tile(diagonal, len(blocks)), "c": -problem.data / largest}
    limits = {"eps_abs": 1e-7, "eps_rel": 1e-7, "time_limit_secs": MOST_SECONDS, "max_iters": 1_000_000}
    found = scs.SCS(data, {"s": [n] * len(blocks)}, verbose=False, **limits).solve()
    return float(-found["info"]["pobj"] * largest) if found["info"]["status"] == "solved" else None


def _position(n: int, rows: Array, cols: Array) -> Array:
    """Return the places of entries of the lower triangle in SCS's order, column by column."""
    return np.asarray(cols * n - cols * (cols - 1) // 2 + rows - cols)


def _block(n: int, rows: Array, cols: Array, index: Array, values: Array) -> tuple[Array, Array, Array]:
    """Return places, measurements and values of a block of constraints, with entries off the diagonal times √2."""
    return _position(n, rows, cols), index, values * np.where(rows == cols, 1.0, np.sqrt(2))


def measured(problem: fm.Problem, alone: bool) -> dict[str, float]:
    """Return the numbers of one draw."""
    start = time.process_time()
    solution = fm.flat_minimum(problem)
    seconds = time.process_time() - start
    proof = solution.checked_certificate
    gap = abs(proof.relative_gap) if proof.holds else np.inf
    row = {"seconds": seconds, "gap": gap, "unique": float(proof.unique is True), "scs": np.nan, "apart": np.nan}
    if not alone:
        start = time.process_time()
        value = scs_value(problem)
        if value is not None:
            norm = float(problem.parametrization.singular(solution.factors, problem.metric)[1].sum())
            row |= {"scs": time.process_time() - start, "apart": abs(value / norm - 1)}
    return row


def summary(name: str, rows: list[dict[str, float]]) -> list[str]:
    """Return the cells of a set's row."""
    values = {field: np.array([row[field] for row in rows]) for field in rows[0]}

    def both(numbers: Array, form: str) -> str:
        return f"{np.median(numbers):{form}} / {numbers.max():{form}}" if len(numbers) else "–"

    peers = np.flatnonzero(np.isfinite(values["scs"]))
    ratios = values["scs"][peers].max() / values["seconds"].max() if len(peers) else np.nan
    middle = np.median(values["scs"][peers]) / np.median(values["seconds"]) if len(peers) else np.nan
    return [
        name,
        both(values["seconds"], ".2f"),
        both(values["gap"], ".0e"),
        f"{int(values['unique'].sum())} of {len(rows)}",
        both(values["scs"][peers], ".2f"),
        f"{middle:.1f} / {ratios:.1f}" if len(peers) else "–",
        both(values["apart"][peers], ".0e"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="PATTERN")
    parser.add_argument("--draws", type=int, default=20, metavar="N")
    parser.add_argument("--alone", action="store_true", help="without SCS")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with threadpool_limits(1):
        measured(completion((20, 15), 2, 2, 0), given.alone)
        line(["median / worst", "s", "gap", "unique", "SCS s", "SCS / ours", "values apart"])
        line(["---"] * 7)
        for name, draw in SETS.items():
            if fnmatch.fnmatchcase(name, f"*{given.only}*"):
                line(summary(name, [measured(draw(seed), given.alone) for seed in range(given.draws)]))


if __name__ == "__main__":
    main()
