"""Panels: bias of the effect, size of the rank test and coverage of the interval of `PanelEffect`, on simulated panels.

    python -m benchmarks.panels [--seeds N] [--settings NAME…]

A panel has 21 units and 14 periods, effects of units and periods, and one factor: a random walk with standard normal
loadings. The true effect is 0. With confounding, the loadings of treated units are larger by 1.5, so trends are not
parallel. Bias has the sign of the change of the factor. ``DiD`` is `PanelEffect` with a penalty that leaves no matrix.
The standard error in brackets is that of the bias; the rank test is that at 10 %, the interval that at 90 %.
"""

import argparse
import time

import numpy as np

from flatmin import PanelEffect

#: Confounding, standard deviation of the noise, and the first treated periods of the treated units.
SETTINGS = {
    "null": (0.0, 1.0, (10,)),
    "null, staggered": (0.0, 1.0, (8, 10, 11)),
    "strong factor, confounded": (1.5, 0.3, (10,)),
    "strong factor, staggered": (1.5, 0.3, (8, 10, 11)),
    "weak factor, confounded": (1.5, 1.0, (10,)),
}
UNITS, PERIODS = 21, 14
#: A strength that leaves no matrix.
VERY_STRONG = 1e4


def panel(seed, confounding, noise, starts):
    """Return outcomes, treated cells, and the sign of the factor's change."""
    rng = np.random.default_rng(seed)
    factor, loadings = np.cumsum(rng.standard_normal(PERIODS)), rng.standard_normal(UNITS)
    treated = np.zeros((UNITS, PERIODS), dtype=bool)
    for unit, start in enumerate(starts):
        treated[unit, start:], loadings[unit] = True, loadings[unit] + confounding
    levels = rng.standard_normal((UNITS, 1)) + rng.standard_normal(PERIODS)
    Y = np.outer(loadings, factor) + levels + noise * rng.standard_normal((UNITS, PERIODS))
    return Y, treated, np.sign(factor[starts[0] :].mean() - factor[: starts[0]].mean())


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    options = parser.parse_args()
    print("| setting | bias | bias of DiD | error (rms) | of DiD | std error | rejected | covered | refits | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.settings:
        rows = []
        for seed in range(options.seeds):
            Y, treated, sign = panel(seed, *SETTINGS[name])
            start = time.process_time()
            model = PanelEffect(n_placebos=20).fit(Y, treated)
            seconds = time.process_time() - start
            differences = PanelEffect(VERY_STRONG, refit=False, n_placebos=9).fit(Y, treated).att_
            low, high = model.att_interval(0.9)
            reject, cover, refit = model.p_value_ <= 0.1, low <= 0 <= high, model.placebos_.candidate[1]
            rows.append([sign * model.att_, sign * differences, model.att_std_error_, reject, cover, refit, seconds])
        (ours, did, error, rejected, covered, refits, seconds), root = np.array(rows, float).T, options.seeds**0.5
        print(
            f"| {name} | {ours.mean():.3f} ({ours.std() / root:.3f}) | {did.mean():.3f} ({did.std() / root:.3f}) "
            f"| {np.mean(ours**2) ** 0.5:.3f} | {np.mean(did**2) ** 0.5:.3f} | {error.mean():.3f} "
            f"| {100 * rejected.mean():.1f} % | {100 * covered.mean():.1f} % | {100 * refits.mean():.0f} % "
            f"| {seconds.mean():.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
