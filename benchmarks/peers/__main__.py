"""flatmin beside the algorithms of other groups, at the settings that their authors published.

python -m benchmarks.peers [--draws 50] [--only TEXT] [--store FILE]         finished solves are kept in FILE

Completion from few cells: `reweighted_minimum`, which is not told the rank, beside MatrixIRLS, GNMR and ScaledGD, which
are told. Gross errors: `robust_pca`, which is told nothing, beside IRCUR and the classical iteration of LRPCA, which
are told the rank and the largest entry of the truth. Each row gives the number of draws with a relative error below
1e-3, the median error, and processor seconds of one thread, median and largest. All peers are own ports to NumPy, in
which flatmin's compiled loops compute the values of cells.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.markdown import cells
from benchmarks.peers.gnmr import gnmr
from benchmarks.peers.ircur import ircur
from benchmarks.peers.lrpca import lrpca
from benchmarks.peers.matrix_irls import matrix_irls
from benchmarks.peers.scaled_gd import scaled_gd
from benchmarks.yardstick import RECOVERED, Store, instance
from flatmin._core.arrays import Array

__all__ = ["COMPLETIONS", "SPLITS", "Completion", "Split", "main"]


@dataclass(frozen=True)
class Completion:
    """A published setting of completion, and the peers that are run at it."""

    source: str
    shape: tuple[int, int]
    rank: int
    condition: float
    oversampling: float
    peers: tuple[str, ...] = ("MatrixIRLS",)
    even: bool = False  #: Whether singular values are spaced evenly, and not evenly on a logarithmic scale.
    draws: int = 50  #: Largest number of draws.
    peer_draws: int = 50  #: Largest number of draws of the peers, fewer where a draw may take minutes.

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.shape[0]} × {self.shape[1]}, rank {self.rank}, condition {self.condition:g}, "
            f"oversampling {self.oversampling:g}"
        )

    def draw(self, seed: int) -> tuple[fm.Problem, Array]:
        drawn = instance(self.condition, self.oversampling, seed, shape=self.shape, rank=self.rank, even=self.even)
        return drawn.problem, drawn.truth

    @property
    def methods(self) -> tuple[str, ...]:
        return ("flatmin", *self.peers)

    def solve(self, method: str, problem: fm.Problem, truth: Array) -> tuple[Array, dict[str, Any]]:
        seen, b = problem.measurement, problem.data
        if method == "flatmin":
            found = fm.reweighted_minimum(problem)
            return found.matrix, {"rank": found.rank}
        if method == "MatrixIRLS":
            return matrix_irls(seen, b, self.rank, self.condition), {}
        return {"GNMR": gnmr, "ScaledGD": scaled_gd}[method](seen, b, self.rank), {}


@dataclass(frozen=True)
class Split:
    """A published setting of robust PCA."""

    source: str
    dimension: int
    rank: int
    errors: float
    draws: int = 10  #: Largest number of draws.
    peer_draws: int = 10  #: Largest number of draws of the peers.

    def __str__(self) -> str:
        return f"{self.source}: {self.dimension}², rank {self.rank}, {self.errors:.0%} errors"

    def draw(self, seed: int) -> tuple[Array, Array]:
        """Draw factors of variance 1/n, and errors uniform up to the mean size of an entry, as LRPCA's authors do."""
        rng, n = np.random.default_rng(seed), self.dimension
        truth = rng.standard_normal((n, self.rank)) @ rng.standard_normal((self.rank, n)) / n
        Y, size = truth.copy(), np.mean(np.abs(truth))
        wrong = rng.choice(n * n, int(self.errors * n * n), replace=False)
        Y.ravel()[wrong] += rng.uniform(-size, size, len(wrong))
        return Y, truth

    methods = ("flatmin", "IRCUR", "LRPCA, classical")

    def solve(self, method: str, Y: Array, truth: Array) -> tuple[Array, dict[str, Any]]:
        if method == "flatmin":
            found = fm.robust_pca(Y)
            proof = found.certificate
            facts = {"status": found.status.name, "gap": proof.relative_gap, "unique": proof.unique}
            return found.matrix, {"rank": found.rank, **facts}
        largest = float(np.abs(truth).max())
        return (ircur if method == "IRCUR" else lrpca)(Y, self.rank, largest), {}


OVERSAMPLINGS = (1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 4.0)
COMPLETIONS = (
    *(Completion("MatrixIRLS", (1000, 1000), 5, 1e5, share) for share in OVERSAMPLINGS),
    Completion("MatrixIRLS", (1000, 1000), 10, 1e10, 4.0, peer_draws=10),
    Completion("GNMR", (300, 350), 5, 10.0, 1.5, ("MatrixIRLS", "GNMR", "ScaledGD"), even=True, peer_draws=10),
)
SPLITS = (
    *(Split("LRPCA", 1000, 5, share) for share in (0.1, 0.2, 0.3)),
    *(Split("LRPCA", 3000, 5, share, draws=2) for share in (0.1, 0.3)),
)


def measured(setting: Completion | Split, method: str, seed: int) -> dict[str, Any]:
    """Return the error, the seconds and the facts of one solve."""
    data, truth = setting.draw(seed)
    start = time.process_time()
    answer, facts = setting.solve(method, data, truth)
    seconds = time.process_time() - start
    error = float(np.linalg.norm(answer - truth) / np.linalg.norm(truth))
    return {"seconds": seconds, "error": error if np.isfinite(error) else 1e300, **facts}


def rows(settings: tuple[Any, ...], store: Store, draws: Callable[[Any], int]) -> Iterator[str]:
    """Yield the rows of a table."""
    yield cells(("setting", "method", "recovered", "median error", "seconds, median and largest", "more"))
    yield cells(["---"] * 6)
    for setting in settings:
        for method in setting.methods:

            def one_solve(name: str, method: str, seed: int, setting: Any = setting) -> dict[str, Any]:
                return measured(setting, method, seed)

            count = draws(setting) if method == "flatmin" else min(draws(setting), setting.peer_draws)
            found = [store.get(one_solve, str(setting), method, seed) for seed in range(count)]
            errors, seconds = [row["error"] for row in found], [row["seconds"] for row in found]
            good = sum(error < RECOVERED for error in errors)
            yield cells(
                (
                    setting if method == setting.methods[0] else "",
                    method,
                    f"{good} / {len(found)}",
                    f"{np.median(errors):.1e}",
                    f"{np.median(seconds):.2f}, {max(seconds):.2f}",
                    _more(found),
                )
            )


def _more(found: list[dict[str, Any]]) -> str:
    """Return the ranks, and for robust PCA the statuses, of flatmin's answers."""
    parts = [f"rank {_range([row['rank'] for row in found])}"] if "rank" in found[0] else []
    if "status" in found[0]:
        names = [row["status"] for row in found]
        parts += [f"{names.count(name)} {name}" for name in dict.fromkeys(names)]
        parts.append(f"largest gap {max(row['gap'] for row in found):.0e}")
    return ", ".join(parts)


def _range(values: list[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=50, help="largest number of draws of a setting")
    parser.add_argument("--only", default="", help="run only settings whose description contains this text")
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    for title, settings in (("Completion", COMPLETIONS), ("Gross errors", SPLITS)):
        chosen = tuple(setting for setting in settings if arguments.only in str(setting))
        if chosen:
            print(f"\n{title}\n")
            for row in rows(chosen, store, lambda setting: min(arguments.draws, setting.draws)):
                print(row, flush=True)


if __name__ == "__main__":
    main()
