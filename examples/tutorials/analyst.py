"""
A data analyst: can one station be closed?
==========================================

Three airports of New York record the air pressure every six hours. The budget pays for two stations. Can the third one
be replaced by estimates from the other two, to within 1 hPa? This tutorial goes from the raw file to a decision: look
at what is missing, choose a method, test it in the way in which it will be used, and only then decide.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.impute import KNNImputer

from flatmin import MatrixCompletion
from flatmin.lab import wilson

TOLERANCE, LEVEL = 1.0, 0.9  # hPa, and the level of the intervals
BLUE, RED, GREY = "#1b6ca8", "#d1495b", "#9a9a9a"

# %%
# The raw file
# ------------
#
# A row is a day, a column a station and an hour. Empty cells are missing in the record itself.

DATA = Path(__file__).resolve().parents[1] / "data" / "pressure.csv"
with open(DATA, newline="", encoding="utf-8") as file:
    (_, *names), *rows = csv.reader(file)
table = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows])
station = np.array([name.split()[0] for name in names])
missing = np.isnan(table)
print(f"{len(table)} days, {len(names)} columns, {missing.sum()} cells of {table.size} are missing")
print("missing by station:", {str(s): int(missing[:, station == s].sum()) for s in np.unique(station)})

# %%
# What is missing together matters more than how much. Half of the hours with a gap lack two or three stations at once.
# Then the neighbours are missing too, and only the other hours of the day can help.

together = np.array([missing[:, [h, h + 4, h + 8]].sum(axis=1) for h in range(4)]).ravel()
print("hours at which 1, 2 or 3 stations are missing:", [int((together == count).sum()) for count in (1, 2, 3)])

# %%
# Does the method beat simple ones?
# ---------------------------------
#
# First the usual test: hide a tenth of the known cells at random, fill them, and compare with the truth. The simplest
# rival is the mean of the other known readings of the day.

rng = np.random.default_rng(0)
hidden = ~missing & (rng.random(table.shape) < 0.1)
known = np.where(hidden, np.nan, table)
days = np.nanmean(np.where(np.isnan(known).all(axis=1, keepdims=True), np.nanmean(known), known), axis=1)
filled = {
    "mean of the day": np.tile(days[:, None], len(names)),
    "nearest neighbours": KNNImputer().fit_transform(known),
    "MatrixCompletion": MatrixCompletion().fit_transform(known),
}
for method, values in filled.items():
    error = np.abs(values - table)[hidden]
    print(f"{method:>18}: median error {np.median(error):.2f} hPa, nine in ten below {np.quantile(error, 0.9):.2f} hPa")

# %%
# A test that is like the decision
# --------------------------------
#
# Our question is another one: a closed station is missing all the time, while the two others are there. So learn from
# the first 60 days, with all stations. Then hide one station in the 60 days that follow, and estimate it by
# ``transform``, which fills rows that the model has not seen.

past, future = table[:60], table[60:]
model = MatrixCompletion().fit(past)
results = {}
for name in np.unique(station):
    closed = station == name
    seen = np.where(closed, np.nan, future)
    usable = ~np.isnan(future) & closed & (~np.isnan(seen)).any(axis=1, keepdims=True)
    low, high = model.predict_interval(seen, confidence_level=LEVEL)
    estimate = model.transform(seen)
    error = (estimate - future)[usable]
    inside = ((low <= future) & (future <= high))[usable].mean()
    half = ((high - low) / 2)[usable]
    results[str(name)] = (error, half, inside)
    print(
        f"{name} closed: {np.mean(np.abs(error) <= TOLERANCE):.0%} of {error.size} estimates within {TOLERANCE} hPa, "
        f"median error {np.median(np.abs(error)):.2f}; {inside:.0%} lie in their {LEVEL:.0%} intervals"
    )

# %%
# What goes wrong, and whether we would notice
# --------------------------------------------
#
# A good estimate is not enough for a decision. If the errors are large on a few days, the intervals should be wide on
# these days; then a rule such as "measure by hand if the interval is wider than 1 hPa" works. Take the station that is
# estimated best.

best = max(results, key=lambda name: np.mean(np.abs(results[name][0]) <= TOLERANCE))
error, half, inside = results[best]
narrow = half <= TOLERANCE
print(f"{best}: {narrow.mean():.0%} of the intervals are narrower than ±{TOLERANCE} hPa")
print(f"of these estimates {np.mean(np.abs(error[narrow]) <= TOLERANCE):.0%} are within {TOLERANCE} hPa")
if (~narrow).any():
    print(f"of the others {np.mean(np.abs(error[~narrow]) <= TOLERANCE):.0%}")

# %%
# The decision
# ------------
#
# The criterion was fixed before the test: nine estimates in ten within 1 hPa. A share has an interval of its own; with
# 95 % it lies between the limits of Wilson's interval. Days are not independent, so the true uncertainty is somewhat
# larger.

good = int(np.sum(np.abs(error) <= TOLERANCE))
interval = wilson(good, error.size)
decision = "close it" if interval[0] > 0.9 else "keep all" if interval[1] < 0.9 else "undecided: measure longer"
print(f"{best}: {good / error.size:.1%} are within {TOLERANCE} hPa [{interval[0]:.1%}, {interval[1]:.1%}]: {decision}")

# %%
# Left: estimates of the closed station against the readings that were hidden. Right: errors by the half width of their
# intervals; points above the line are outside of their interval.

closed = station == best
seen = np.where(closed, np.nan, future)
estimate = model.transform(seen)
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
axes[0].plot(future[:, closed], estimate[:, closed], ".", color=BLUE)
ends = [np.nanmin(future), np.nanmax(future)]
axes[0].plot(ends, ends, color=GREY, lw=0.8)
axes[0].set(title=f"{best}, 60 days", xlabel="hidden reading / hPa", ylabel="estimate / hPa")
axes[1].plot(half, np.abs(error), ".", color=BLUE)
axes[1].plot([0, half.max()], [0, half.max()], color=GREY, lw=0.8)
axes[1].axhline(TOLERANCE, color=RED, lw=0.8)
axes[1].set(title="Does the interval warn?", xlabel="half width of the interval / hPa", ylabel="error / hPa")
plt.show()
