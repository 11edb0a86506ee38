"""
Missing values of a real table
==============================

The table has thirty measurements of the cells of 569 tumours (the breast cancer data of Wisconsin in scikit-learn, CC
BY 4.0), in units from thousandths to thousands; three cells in ten are hidden. `MatrixCompletion` needs neither scaling
nor a rank. It is compared with column means and, on scaled columns, with the five nearest neighbours and with iterated
regressions of each column on all others, and is better than all three.

The last panel shows how held-out cells choose what predicts. The penalty that matches the noise is too strong for a
table that is only nearly of low rank, and a least-squares refit at its rank is hardly better. The normal distribution
of the rows is best, with few phantom rows: in this table, some columns nearly determine others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

import flatmin as fm

# %%
# Three cells in ten are hidden.

HIDDEN = 0.3
COLORS = {
    "column means": "#9a9a9a",
    "nearest neighbours": "#edae49",
    "iterated regressions": "#3c8d5a",
    "MatrixCompletion": "#1b6ca8",
}

# %%
# Neighbours and regressions need columns on a common scale. `MatrixCompletion` scales by itself.


def scaled(imputer, table):
    """Return a table filled by an imputer that gets columns of standard deviation 1."""
    units = StandardScaler().fit(table)
    return units.inverse_transform(imputer.fit_transform(units.transform(table)))


def errors_of(full, truth, hidden):
    """Return the errors of hidden cells in standard deviations of their columns."""
    return ((full - truth) / truth.std(axis=0))[hidden]


# %%
# All imputers get the same table. The errors are measured in standard deviations of a column, over the hidden cells.

truth = load_breast_cancer().data
hidden = np.random.default_rng(0).random(truth.shape) < HIDDEN
table = np.where(hidden, np.nan, truth)
model = fm.MatrixCompletion(tol=1e-7)
filled = {
    "column means": SimpleImputer().fit_transform(table),
    "nearest neighbours": scaled(KNNImputer(), table),
    "iterated regressions": scaled(IterativeImputer(max_iter=25, random_state=0), table),
    "MatrixCompletion": model.fit_transform(table),
}
print(f"{truth.shape[0]} rows, {truth.shape[1]} columns, {hidden.mean():.0%} hidden; error / standard deviation")
for name, full in filled.items():
    errors = errors_of(full, truth, hidden)
    print(f"{name:>20}: root mean square {np.sqrt(np.mean(errors**2)):.3f}, median {np.median(abs(errors)):.3f}")
print(model)

# %%
# Imputed against hidden values for each method, and the errors on held-out cells by which `MatrixCompletion` chose how
# to predict.

figure, axes = plt.subplots(1, 5, figsize=(17, 3.9), layout="constrained")
spread, mean = truth.std(axis=0), truth.mean(axis=0)
x = ((truth - mean) / spread)[hidden]
for axis, (name, table) in zip(axes, filled.items(), strict=False):
    y = ((table - mean) / spread)[hidden]
    axis.plot(x, y, ".", ms=2, alpha=0.4, color=COLORS[name])
    axis.plot([-3, 6], [-3, 6], color="black", lw=0.8)
    error = np.sqrt(np.mean(errors_of(table, truth, hidden) ** 2))
    axis.set(title=f"{name}: error {error:.2f}", xlim=(-3, 6), ylim=(-3, 6), aspect="equal")
    axis.set(xlabel="hidden value / standard deviation", ylabel="imputed")
errors = model.relaxation_.errors
weaker = {float(name): error for name, error in errors.items() if name[0].isdigit()}
normal = {float(name.split()[1]): error for name, error in errors.items() if name.startswith("normal")}
axes[4].semilogx(weaker.keys(), weaker.values(), "o-", color="#3c8d5a", label="share of the noise's penalty")
axes[4].semilogx(normal.keys(), normal.values(), "s-", color="#1b6ca8", label="phantom rows for each row")
axes[4].axhline(errors["refit"], color="#d1495b", ls="--", label="refit at the rank of the noise")
axes[4].axhline(errors["offsets"], color="#9a9a9a", ls=":", label="column means")
axes[4].set(title="held-out cells", xlabel="strength", ylabel="error", ylim=(0, None))
axes[4].legend(loc="lower left")
plt.show()
