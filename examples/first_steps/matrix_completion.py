"""
A weather record with missing cells
===================================

The table has 120 days and 12 columns (three airports, four times a day); a ninth of it is missing in the record itself.
Pressures at neighbouring airports are similar, so the table is nearly of low rank. Another twentieth of the known cells
is held out and predicted. The error of the flattest completion is about a third of a hectopascal, that of the mean of
the day two and a half. The certificate proves that no completion is flatter; it does not prove that the prediction is
right. The held-out cells test that.
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

RECORD = Path(__file__).resolve().parents[1] / "data" / "pressure.csv"
HELD = 0.05
BLUE, YELLOW = "#1b6ca8", "#edae49"

# %%
# The record is a CSV file in which missing cells are empty.


def read():
    """Return the table, NaN for empty cells, and the names of its columns."""
    with RECORD.open(encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    return np.array([[float(cell) if cell else np.nan for cell in line[1:]] for line in lines]), header[1:]


def root_mean_square(errors):
    """Return the root mean square."""
    return float(np.sqrt(np.mean(errors**2)))


# %%
# A twentieth of the known cells is held out. The others are the data of a `Problem`: a measurement, here the list of
# known cells, and the measured values. `flat_minimum` finds the flattest matrix that has these values.

table, names = read()
rows, cols = np.nonzero(~np.isnan(table))
known = table[rows, cols]
held = np.random.default_rng(0).random(len(known)) < HELD
everything = fm.measurements.Entries(rows, cols, table.shape)
part = fm.Problem(everything.take(~held), known[~held])
solution = fm.flat_minimum(part).raise_if_failed()
certificate = solution.certificate
print(f"{table.size - len(known)} of {table.size} cells missing, {held.sum()} held out: {solution.status.name}")
print(
    f"rank {solution.rank}, residual {certificate.relative_residual:.1e}, gap {certificate.relative_gap:.1e}; "
    f"rows and columns without data: {sum(map(len, solution.undetermined))}"
)

# %%
# The certificate says that no other matrix with these values is flatter. Whether the flattest matrix is a good
# prediction is another question, which the held-out cells answer. The usual first guess for a missing pressure, the
# mean of the same day, is compared.

days = np.array([np.mean(known[~held & (rows == i)]) for i in rows[held]])
flat = solution.matrix[rows[held], cols[held]]
errors = [root_mean_square(guess - known[held]) for guess in (days, flat)]
print(f"error of held-out cells: mean of the day {errors[0]:.2f} hPa, flattest completion {errors[1]:.2f} hPa")
labels = [f"{name}: ± {e:.2f} hPa" for name, e in zip(("mean of the day", "flattest"), errors, strict=True)]

# %%
# Now all known cells are used, and the completed table is drawn next to the record. The right panel shows the
# predictions of the held-out cells.

completed = fm.flat_minimum(fm.Problem(everything, known)).raise_if_failed().matrix

held = known[held]
guesses = dict(zip(labels, (days, flat), strict=True))
figure, axes = plt.subplots(1, 3, figsize=(12, 5), layout="constrained", width_ratios=(1, 1, 1.3))
low, high = np.nanmin(table), np.nanmax(table)
colors = plt.get_cmap("cividis").with_extremes(bad="#d1495b")
for axis, values, title in zip(axes, (table, completed), ("known cells (missing ones red)", "completed"), strict=False):
    image = axis.imshow(values, aspect="auto", cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    axis.set(title=title, xlabel="airport and hour", ylabel="day")
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
figure.colorbar(image, ax=axes[:2], label="hPa", shrink=0.7)
for (label, guess), color, marker in zip(guesses.items(), (YELLOW, BLUE), "so", strict=True):
    axes[2].plot(held, guess, marker, color=color, markersize=4, label=label)
axes[2].plot([low, high], [low, high], color="#777777", linewidth=0.8)
axes[2].set(title="Held-out cells", xlabel="recorded, hPa", ylabel="predicted, hPa")
axes[2].legend()
plt.show()
