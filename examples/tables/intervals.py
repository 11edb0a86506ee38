"""
How far may a filled cell be off?
=================================

`MatrixCompletion` states an interval for each value that it fills in. Here the intervals are tested on the table of
tumours, in which three cells in ten are hidden: do intervals of 90 % contain nine hidden cells in ten, in the whole
table and in each column? Where the model knows less, the intervals should be wider.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

from flatmin import MatrixCompletion

LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98])
BLUE, RED, GREY = "#1b6ca8", "#d1495b", "#777777"

# %%
# The model is fitted once. The first call of ``predict_interval`` fits it again without some of the cells, and measures
# how far its predictions of these are off.

data = load_breast_cancer()
truth, spread = data.data, data.data.std(axis=0)
hidden = np.random.default_rng(0).random(truth.shape) < 0.3
table = np.where(hidden, np.nan, truth)
model = MatrixCompletion().fit(table)

# %%
# At every level the share of hidden cells in their intervals is close to the level.

shares = []
for level in LEVELS:
    low, high = model.predict_interval(table, confidence_level=level)
    inside = (low <= truth) & (truth <= high)
    shares.append(inside[hidden].mean())
    print(f"level {level:.0%}: {shares[-1]:.1%} of the hidden cells are in their intervals")

# %%
# The same for each column, at 90 %. A column has some 170 hidden cells, so ideal intervals would scatter as the grey
# band shows, which contains 95 % of the columns.

low, high = model.predict_interval(table, confidence_level=0.9)
inside = (low <= truth) & (truth <= high)
columns = np.array([inside[hidden[:, j], j].mean() for j in range(truth.shape[1])])
band = 1.96 * np.sqrt(0.9 * 0.1 / hidden.sum(axis=0).mean())
print(f"columns: {columns.min():.0%} to {columns.max():.0%}; {np.mean(np.abs(columns - 0.9) < band):.0%} in the band")

# %%
# The widths differ by column, because some columns are nearly determined by others, and by row. The cells are sorted by
# width and cut into tenths: where the intervals are wider, the errors are larger.

filled = model.transform(table)
widths, errors = ((high - low) / spread)[hidden], ((filled - truth) / spread)[hidden]
tenths = np.array_split(np.argsort(widths), 10)
half = [np.median(widths[part]) / 2 for part in tenths]
reach = [np.quantile(np.abs(errors[part]), 0.9) for part in tenths]

# %%
# Left: levels and shares. Middle: the columns. Right: the half width of intervals of 90 %, and the error that nine
# cells in ten do not exceed.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
axes[0].plot([0.5, 1], [0.5, 1], color=GREY, linewidth=0.8)
axes[0].plot(LEVELS, shares, "o", color=BLUE)
axes[0].set(title="Whole table", xlabel="level of the intervals", ylabel="share of hidden cells inside")
axes[1].axvspan(0.9 - band, 0.9 + band, color="#eeeeee")
axes[1].axvline(0.9, color=GREY, linewidth=0.8)
axes[1].plot(columns, np.arange(len(columns)), "o", color=BLUE)
axes[1].set_yticks(np.arange(len(columns)), data.feature_names, fontsize=6)
axes[1].set(title="Columns, intervals of 90 %", xlabel="share of hidden cells inside")
axes[2].plot([0, max(half)], [0, max(half)], color=GREY, linewidth=0.8)
axes[2].plot(half, reach, "s", color=RED)
axes[2].set(title="Tenths of the cells", xlabel="half width / standard deviation", ylabel="90 % quantile of errors")
plt.show()
