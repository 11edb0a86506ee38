"""
How curved is the answer? A real table
======================================

The table is scikit-learn's diabetes: 442 patients, ten features, sex among them. Linear regression explains half of the
variance. All 55 quadratic terms with a ridge penalty predict no better. A network with quadratic activation is a
smaller model: a few directions along which the answer is curved, one for each neuron, in addition to unpenalised linear
terms.

The picture shows the error of cross-validation against the strength of the penalty, from no neuron on the right to many
on the left. One neuron is best: the answer bends upwards where age, body mass, blood pressure and two of the blood
values rise together. The gain is small. On the same folds it is some standard errors above zero, but the strength was
chosen by the same errors; and judged by the noise alone, with ``alpha="auto"``, no neuron is significant.

The values s1 to s4 of blood serum nearly repeat each other. The flat penalty does not depend on the units of
combinations, so its neurons use directions in which patients hardly differ. The nuclear norm in units of single
features (``metric_power=0``) shrinks these directions as a ridge penalty does, and predicts better here. On other
tables the opposite holds: ``python -m benchmarks.regression``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import RepeatedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import flatmin as fm

# %%
# Strengths of the penalty, and two metrics in which the matrix of the neurons can be penalised.

ALPHAS = np.geomspace(0.03, 1.5, 10)
POWERS = {"flat (metric_power=1)": 1.0, "nuclear norm (metric_power=0)": 0.0}
BLUE, YELLOW, RED, GREY, GREEN = "#1b6ca8", "#edae49", "#d1495b", "#777777", "#3a7d44"
FOLDS = RepeatedKFold(n_splits=5, n_repeats=3, random_state=0)

# %%
# Errors are measured on held-out patients, in three rounds of five folds.


def errors(regressor, X, y):
    """Return the root mean square error of each fold."""
    return -cross_val_score(regressor, X, y, cv=FOLDS, scoring="neg_root_mean_squared_error")


def spread(values):
    """Return the standard error of a mean over folds, assuming that they are independent."""
    return values.std(ddof=1) / np.sqrt(len(values))


# %%
# First the two usual models: linear regression, and ridge regression on all products of two features.

table = load_diabetes()
X, y, names = StandardScaler().fit_transform(table.data), table.target, table.feature_names
products = make_pipeline(PolynomialFeatures(2, include_bias=False), StandardScaler(), RidgeCV(np.logspace(-1, 4, 21)))
others = {"linear": errors(LinearRegression(), X, y), "ridge on all products": errors(products, X, y)}

# %%
# Then `QuadraticNetworkRegressor` with each strength and both metrics. It has one neuron for each direction of
# curvature, and unpenalised linear terms.

curves, ranks, best, shown = {}, {}, {}, dict(others)
for label, power in POWERS.items():
    networks = [fm.QuadraticNetworkRegressor(alpha, metric_power=power) for alpha in ALPHAS]
    curves[label] = np.array([errors(network, X, y) for network in networks])
    ranks[label] = [network.fit(X, y).rank_ for network in networks]
    j = int(np.argmin(curves[label].mean(axis=1)))
    best[label], shown[f"{ranks[label][j]} neurons, {label}"] = networks[j], curves[label][j]
for name, values in shown.items():
    less = others["linear"] - values
    print(f"error of held-out patients, {name:40}: {values.mean():.2f} ± {spread(values):.2f},", end=" ")
    print(f"less than linear, fold by fold: {less.mean():.2f} ± {spread(less):.2f}")

# %%
# ``alpha="auto"`` asks another question: which curvature is certainly more than noise? None is.

auto = fm.QuadraticNetworkRegressor().fit(X, y)
print(auto)

# %%
# One neuron is best, and it gains a little over linear regression.

model = best["nuclear norm (metric_power=0)"]
figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained", width_ratios=(1.5, 1.1, 1))
for (label, curve), color in zip(curves.items(), (BLUE, GREEN), strict=True):
    mean, error = curve.mean(axis=1), np.array([spread(row) for row in curve])
    axes[0].fill_between(ALPHAS, mean - error, mean + error, color=color, alpha=0.12)
    axes[0].semilogx(ALPHAS, mean, "o-", color=color, markersize=4, label=label)
    for alpha, value, rank in zip(ALPHAS, mean, ranks[label], strict=True):
        axes[0].annotate(str(rank), (alpha, value), (0, 5), textcoords="offset points", color=color, fontsize=8)
for (label, values), color in zip(others.items(), (GREY, YELLOW), strict=True):
    axes[0].axhline(values.mean(), color=color, label=f"{label}: {values.mean():.1f} ± {spread(values):.1f}")
axes[0].axvline(auto.noise_.alpha, color=RED, linestyle=":", label=f'alpha="auto": {auto.rank_} neurons')
axes[0].set(title="Error of held-out patients (numbers: neurons)", xlabel="alpha", ylabel="root mean square error")
axes[0].legend(fontsize=8)
size, places = 0.8 / model.rank_, np.arange(len(names))
for j, (u, sign) in enumerate(zip(model.neurons_, model.signs_, strict=True)):
    label, color = f"{'+' if sign > 0 else '−'} neuron {j + 1}", (RED, BLUE, YELLOW, GREY)[j % 4]
    axes[1].barh(places + (j + 0.5) * size - 0.4, u, size, color=color, label=label)
axes[1].set(title="Neurons of the best strength", xlabel="weight of a feature")
axes[1].set_yticks(places, names)
axes[1].invert_yaxis()
axes[1].legend(fontsize=8)
high = np.abs(model.matrix_).max()
image = axes[2].imshow(model.matrix_, cmap="RdBu_r", vmin=-high, vmax=high)
axes[2].set(title="Curvature of the answer")
axes[2].set_xticks(places, names, rotation=90)
axes[2].set_yticks(places, names)
figure.colorbar(image, ax=axes[2], shrink=0.7, label="matrix of the neurons")
plt.show()
