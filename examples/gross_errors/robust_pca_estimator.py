"""
Sensors that fail now and then
==============================

The log is synthetic: twenty-four temperature sensors of a building, every six hours for half a year. Their common
causes are the weather outside, the day and the heating, so the table has low rank plus an offset for each sensor. Each
reading has noise; some are lost, singly and for days; some are spikes, and one sensor gets stuck at a number now and
then. `RobustPCA` does not know the number of causes, the noise of a sensor, or the wrong readings. It is compared with
ordinary principal components of the same table, with missing values replaced by the column means. At the end it judges
readings of the next month, which were not in the table.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer

from flatmin import RobustPCA

# %%
# The log has the faults of a real one: noise, spikes, a stuck sensor, single and long gaps.

SENSORS, DAYS, MONTH, A_DAY = 24, 180, 30, 4
NOISE, LOST, SPIKES = 0.2, 0.06, 0.02
SHOWN, STUCK = 5, 17


def log(seed=0):
    """Return the readings (NaN if lost), their true values, and the mask of wrong ones."""
    rng = np.random.default_rng(seed)
    n = A_DAY * (DAYS + MONTH)
    days = np.arange(n) / A_DAY
    weather = np.convolve(rng.standard_normal(n + 40), np.hanning(41) / 5, "valid")
    season, day = -np.cos(2 * np.pi * days / 365), np.sin(2 * np.pi * days)
    heating = np.maximum(0, 1 - season - 0.3 * weather)
    causes = np.column_stack([6 * season + 2 * weather, 1.5 * day * (1 + 0.5 * season), 2 * heating])
    clean = 15 + 3 * rng.standard_normal(SENSORS) + causes @ rng.normal(0.6, 0.35, (3, SENSORS))
    seen = clean + NOISE * rng.standard_normal(clean.shape)
    wrong = rng.random(clean.shape) < SPIKES
    seen[wrong] += rng.choice([-1, 1], wrong.sum()) * rng.uniform(4, 25, wrong.sum())
    for start in rng.choice(n - 12, 8, replace=False):
        seen[start : start + 12, STUCK], wrong[start : start + 12, STUCK] = (
            85.0,
            True,
        )  # what this kind says when broken
    lost = rng.random(clean.shape) < LOST
    for start, sensor in zip(rng.choice(n - 30, 25), rng.integers(0, SENSORS, 25), strict=True):
        lost[start : start + 30, sensor] = True
    return np.where(lost, np.nan, seen), clean, wrong & ~lost


def rms(values):
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


# %%
# `RobustPCA` gets half a year of readings and nothing else. It finds the components that are above the
# noise, and the level of the noise.

seen, clean, wrong = log()
past = slice(0, A_DAY * DAYS)
pca = RobustPCA().fit(seen[past])
print(f"log: {seen[past].shape[0]} times, {SENSORS} sensors, {np.isnan(seen[past]).mean():.0%} lost")
print(
    f"found: {pca.n_components_} components above the noise, which is {pca.noise_.sigma:.3f} ± "
    f"{pca.noise_.std_error:.3f} °C (in truth {NOISE})"
)
print(f"split: {pca.status_.name}, relative gap {pca.certificate_.relative_gap:.1e}")

# %%
# Ordinary PCA gets the same number of components, and a table whose holes are filled with column means. Each wrong
# reading moves its components. The month after was in neither table: for new rows, `RobustPCA` finds the position
# along its components and the outliers at the same time.

imputer = SimpleImputer().fit(seen[past])
table = imputer.transform(seen[past])
plain = PCA(pca.n_components_).fit(table)
ordinary = plain.inverse_transform(plain.transform(imputer.transform(seen)))
restored = pca.inverse_transform(pca.transform(seen))
for name, when in (("half a year", past), ("month after", slice(A_DAY * DAYS, None))):
    found, true = pca.outliers(seen[when]), wrong[when]
    errors = [rms(X[when] - clean[when]) for X in (restored, ordinary)]
    print(
        f"{name}: off by {errors[0]:.2f} °C (means and ordinary PCA: {errors[1]:.2f}); {(found & true).sum()} of "
        f"{true.sum()} wrong readings found, {(found & ~true).sum()} of {(~true).sum()} others called wrong"
    )

# %%
# A sensor that gets stuck, a month of another one, all flagged readings, and the sizes of the components.

figure, axes = plt.subplots(2, 2, figsize=(12, 7.5), layout="constrained")
days = np.arange(len(seen)) / A_DAY
stuck = axes[0, 0]
wrong = pca.outliers(seen)
restored = pca.inverse_transform(pca.transform(seen))
stuck.plot(days, restored[:, STUCK], color="#1b6ca8", lw=1, label="restored")
stuck.plot(days, np.where(wrong, np.nan, seen)[:, STUCK], ".", color="#888888", ms=2, label="read")
stuck.plot(days[wrong[:, STUCK]], seen[wrong[:, STUCK], STUCK], "x", color="#d1495b", ms=4, label="flagged")
stuck.axvspan(DAYS, DAYS + MONTH, color="#f0f0f0", zorder=0, label="not in the table")
stuck.set(title=f"sensor {STUCK}, which gets stuck at 85", xlabel="day", ylabel="°C")
stuck.legend(fontsize=8, ncols=2)
near = axes[0, 1]
part = slice(4 * 60, 4 * 90)
near.plot(days[part], clean[part, SHOWN], color="black", lw=2.5, alpha=0.35, label="truth")
near.plot(days[part], ordinary[part, SHOWN], color="#d1495b", lw=1, label="means and ordinary PCA")
near.plot(days[part], restored[part, SHOWN], color="#1b6ca8", lw=1, label="RobustPCA")
near.plot(days[part], seen[part, SHOWN], ".", color="#555555", ms=4, label="read")
middle, spread = np.median(clean[part, SHOWN]), np.ptp(clean[part, SHOWN])
near.set(title=f"sensor {SHOWN}, a month of it", xlabel="day", ylim=(middle - spread, middle + spread))
near.legend(fontsize=8, ncols=2)
where = axes[1, 0]
picture = np.where(np.isnan(seen), 0.5, wrong).T
where.imshow(picture, aspect="auto", cmap="Greys", extent=(0, DAYS + MONTH, SENSORS, 0), interpolation="nearest")
where.axvline(DAYS, color="#1b6ca8", lw=1)
where.set(title="flagged as wrong (black), lost (grey)", xlabel="day", ylabel="sensor")
sizes = axes[1, 1]
for name, data, marker in (("RobustPCA", pca.low_rank_, "o"), ("the table, holes filled by means", table, "x")):
    s = np.linalg.svd(data - data.mean(axis=0), compute_uv=False) / np.sqrt(len(data) - 1)
    sizes.semilogy(1 + np.arange(12), np.maximum(s[:12], 1e-3), marker, label=name)
sizes.axhline(pca.noise_.sigma, color="#888888", ls=":", label="noise of one reading, found")
sizes.set(title="standard deviation along each component (°C)", xlabel="component", ylim=(0.05, None))
sizes.legend(fontsize=8)
plt.show()
