"""Noise of unknown level together with gross errors: results of ``alpha="auto"``, compared with an oracle.

Run ``python -m benchmarks.robust_noise [--seeds N] [--large]``; some ten minutes. The oracle knows the rank and the
cells with errors, and fits the others by least squares. ``penalised`` and ``refit`` are errors over that of the oracle,
``exact rank`` is the share of draws in which the refit has the true rank, ``level`` is σ̂ over σ, ``z`` the largest
error of σ̂ in standard errors, ``missed`` and ``false`` the shares of errors not found and of good cells taken for
errors. Numbers are medians over draws, or the worst if the table says so.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import flatmin as fm
from flatmin.solvers.robust.least_squares import row_coefficients

SETTINGS = {
    "normal, errors 3–10 rms": {"errors": (3, 10)},
    "normal, errors 1–3 rms": {"errors": (1, 3)},
    "Student t, 3 degrees": {"errors": (3, 10), "tails": 3},
    "rows 1 to 4 times as noisy": {"errors": (3, 10), "rows": 4},
    "errors of one sign": {"errors": (3, 10), "one_sided": True},
    "errors in one fifth of the rows": {"errors": (3, 10), "crowded": 0.2},
    "nearly low rank": {"errors": (3, 10), "decay": True},
}


def drawn(shape, rank, snr, corruption, observed, seed, *, errors, tails=None, rows=1, one_sided=False, crowded=1.0,
          decay=False):  # fmt: skip
    """Return data, the truth, the errors and σ."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    if decay:
        U, s, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
        truth = truth + (U * (np.linalg.norm(truth) * 0.3 * 0.6 ** np.arange(len(s)))) @ Vt
    rms = np.sqrt(np.mean(truth**2))
    noise = rng.standard_normal(shape)
    if tails is not None:
        noise = rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2))
    sizes = np.geomspace(1, rows, shape[0])[:, None]
    noise *= sizes / np.sqrt(np.mean(sizes**2))
    wrong = rng.random(shape) < corruption / crowded * (np.arange(shape[0]) < crowded * shape[0])[:, None]
    signs = 1 if one_sided else rng.choice([-1, 1], shape)
    gross = wrong * rng.uniform(*errors, shape) * rms * signs
    Y = np.where(rng.random(shape) < observed, truth + rms / snr * noise + gross, np.nan)
    return Y, truth, gross, rms / snr


def oracle(Y, truth, gross, rank):
    """Return the least-squares fit of an oracle that knows the rank and the errors."""
    good = 1.0 * (~np.isnan(Y) & (gross == 0))
    U, s, _ = np.linalg.svd(truth, full_matrices=False)
    L, Y = U[:, :rank] * s[:rank], np.nan_to_num(Y)
    for _ in range(60):
        R = row_coefficients(Y.T, good.T, L, 1e-12)
        L = row_coefficients(Y, good, R, 1e-12)
    return L @ R.T


def measured(shape, rank, snr, corruption, observed, seed, kind):
    """Return one row of numbers."""
    Y, truth, gross, sigma = drawn(shape, rank, snr, corruption, observed, seed, **SETTINGS[kind])
    began = time.perf_counter()
    s = fm.robust_pca(Y, alpha="auto")
    seconds = time.perf_counter() - began
    L, R = s.noise.refit
    best = np.linalg.norm(oracle(Y, truth, gross, rank) - truth)
    seen = ~np.isnan(Y)
    true, found = (gross != 0) & seen, s.parts["outliers"]
    return {
        "penalised": np.linalg.norm(s.matrix - truth) / best,
        "refit": np.linalg.norm(L @ R.T - truth) / best,
        "exact rank": float(s.noise.rank == rank),
        "level": s.noise.sigma / sigma,
        "z": abs(s.noise.sigma - sigma) / s.noise.std_error,
        "missed": np.count_nonzero(true & ~found) / max(1, np.count_nonzero(true)),
        "false": np.count_nonzero(found & ~true) / np.count_nonzero(seen & ~true),
        "certified": float(s.certificate.holds),
        "seconds": seconds,
        "rank": s.noise.rank,
        "penalised rank": s.noise.penalised_rank,
    }


def table(cases, seeds):
    """Print one line a case."""
    heads = ["kind", "shape, rank", "SNR", "errors", "seen", "penalised", "refit", "worst", "exact rank", "level", "z"]
    print(" | ".join([*heads, "missed", "false", "certified", "seconds"]))
    for kind, shape, rank, snr, corruption, observed in cases:
        rows = [measured(shape, rank, snr, corruption, observed, 100 + seed, kind) for seed in range(seeds)]
        column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        middle = {name: float(np.median(values)) for name, values in column.items()}
        print(
            f"{kind} | {shape[0]}×{shape[1]}, {rank} | {snr:g} | {corruption:.0%} | {observed:.0%} | "
            f"{middle['penalised']:.2f} | {middle['refit']:.3f} | {column['refit'].max():.3f} | "
            f"{column['exact rank'].mean():.0%} | {middle['level']:.3f} | {column['z'].max():.1f} | "
            f"{middle['missed']:.1%} | {middle['false']:.2%} | {column['certified'].mean():.0%} | "
            f"{middle['seconds']:.2f}",
            flush=True,
        )


def main():
    """Print the requested tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also 1000×1000, some minutes more")
    options = parser.parse_args()
    first, *others = SETTINGS
    shape, rank = (100, 100), 5
    cases = [
        (kind, shape, rank, snr, corruption, observed)
        for kind in (first, others[0])
        for snr in (3.2, 10.0, 100.0)
        for corruption in (0.02, 0.1, 0.2)
        for observed in (1.0, 0.6)
    ]
    cases += [(kind, shape, rank, 10.0, 0.1, observed) for kind in others[1:] for observed in (1.0, 0.6)]
    cases += [(first, (300, 200), 5, 10.0, 0.1, observed) for observed in (1.0, 0.6, 0.4)]
    if options.large:
        cases.append((first, (1000, 1000), 10, 10.0, 0.1, 0.8))
    table(cases, options.seeds)


if __name__ == "__main__":
    main()
