"""
Fill a table in ten lines
=========================

A table of 178 wines and 13 chemical measurements, in units from hundredths to thousands, in which three cells in ten
are hidden. `MatrixCompletion` fills them. It needs no scaling and no rank, and states an interval for each value.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from flatmin import MatrixCompletion

# %%
# Missing cells are NaN, as in every table of NumPy or pandas.

wines = load_wine()
truth, names = wines.data, wines.feature_names
hidden = np.random.default_rng(0).random(truth.shape) < 0.3
table = np.where(hidden, np.nan, truth)

# %%
# One line fills the table. Another one gives intervals that contain nine hidden cells in ten.

model = MatrixCompletion().fit(table)
filled = model.transform(table)
low, high = model.predict_interval(table, confidence_level=0.9)
inside = ((low <= truth) & (truth <= high))[hidden].mean()
print(f"{hidden.sum()} of {truth.size} cells were hidden; {inside:.0%} of them are in their interval of 90 %")

# %%
# The usual first choice is the mean of the column. Errors are in standard deviations of a column.

spread = truth.std(axis=0)
means = np.nanmean(table, axis=0)
for name, values in (("column means", np.tile(means, (len(truth), 1))), ("MatrixCompletion", filled)):
    errors = ((values - truth) / spread)[hidden]
    print(f"{name}: error {np.sqrt(np.mean(errors**2)):.2f}")

# %%
# The model says what it found. Its certificate proves that no other matrix has a smaller penalised error.

print(model)

# %%
# The table before and after, each column in its own standard deviations, and the hidden cells of one column: dots are
# true values, bars the intervals.

column = names.index("flavanoids")
figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), layout="constrained", width_ratios=(1, 1, 1.7))
colors = plt.get_cmap("cividis").with_extremes(bad="#d1495b")
for axis, values, title in zip(axes, (table, filled), ("known cells (hidden ones red)", "filled"), strict=False):
    axis.imshow((values - means) / spread, aspect="auto", cmap=colors, vmin=-2, vmax=2, interpolation="nearest")
    axis.set(title=title, xlabel="measurement", ylabel="wine", xticks=[])
rows = np.flatnonzero(hidden[:, column])
rows = rows[np.argsort(filled[rows, column])]
places = np.arange(len(rows))
axes[2].vlines(places, low[rows, column], high[rows, column], color="#1b6ca8", alpha=0.5, label="interval of 90 %")
axes[2].plot(places, filled[rows, column], "_", color="#1b6ca8", label="filled")
axes[2].plot(places, truth[rows, column], ".", color="#d1495b", label="hidden value")
axes[2].set(title="Flavanoids", xlabel="wines without this value, sorted", xticks=[])
axes[2].legend()
plt.show()
