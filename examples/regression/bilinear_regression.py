"""
Who likes what: interactions of two sides
=========================================

Every rating belongs to a person with 12 known features and a product with 10. Linear terms describe that some people
rate everything higher, and that everybody likes some products. In addition, a few traits of people interact with a few
traits of products: the matrix M of interactions has rank two. The features have nonzero means, so a model without
linear terms, or with another origin, would confuse linear terms with interactions.

`BilinearRegressor` with ``fit_linear=True`` fits all terms together and penalises only the interactions. It needs
neither their rank nor the level of the noise, and predicts for unseen people and products. Ridge regression on all
products of features, with its strength chosen by cross-validation, needs many more ratings for the same error.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import flatmin as fm

# %%
# The errors are compared for 80 to 540 ratings.

PEOPLE, PRODUCTS, FRESH = 12, 10, 2000
COUNTS, SHOWN, DRAWS = (80, 120, 160, 240, 360, 540), 240, 3
LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0)
BLUE, YELLOW, GREY = "#1b6ca8", "#edae49", "#777777"

# %%
# People, products and ratings.


class World:
    """People, products, and the ratings that people give to products."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.M = rng.standard_normal((PEOPLE, 2)) @ rng.standard_normal((2, PRODUCTS)) / 6
        self.linear, self.means = 0.3 * rng.standard_normal(PEOPLE + PRODUCTS), rng.uniform(-2, 2, PEOPLE + PRODUCTS)
        self.sigma, self.rng = 0.5, rng

    def ratings(self, count):
        """Return features of people and products, the ratings without noise, and the observed ratings."""
        Z = self.rng.standard_normal((count, PEOPLE + PRODUCTS))
        clean = 3.5 + Z @ self.linear + np.einsum("mi,ij,mj->m", Z[:, :PEOPLE], self.M, Z[:, PEOPLE:])
        return Z + self.means, clean, clean + self.sigma * self.rng.standard_normal(count)


# %%
# Four models: linear terms alone, ridge regression on all products of features, and `BilinearRegressor` without and
# with linear terms.


def products(X):
    """Return all features, and all products of a feature of the person and a feature of the product."""
    return np.hstack([X, (X[:, :PEOPLE, None] * X[:, None, PEOPLE:]).reshape(len(X), -1)])


REGRESSORS = {
    "linear terms only": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))),
    "ridge on all products": make_pipeline(
        StandardScaler(), FunctionTransformer(products), StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))
    ),
    "bilinear, no linear terms": fm.BilinearRegressor(n_left=PEOPLE),
    "bilinear": fm.BilinearRegressor(n_left=PEOPLE, fit_linear=True),
}
COLORS = dict(zip(REGRESSORS, (GREY, YELLOW, "#d1495b", BLUE), strict=True))

# %%
# Each model learns the same ratings and predicts for people and products that it has not seen.


def learn(count, seed):
    """Return the world, the models fitted to the largest number of ratings, and their errors on new pairs."""
    world = World(seed)
    X, _, y = world.ratings(count)
    fresh, clean, _ = world.ratings(FRESH)
    models = {name: regressor.fit(X, y) for name, regressor in REGRESSORS.items()}
    return world, models, [np.sqrt(np.mean((model.predict(fresh) - clean) ** 2)) for model in models.values()]


# %%
# The model with linear terms and interactions of low rank has the smallest error for every number of ratings.

errors = np.array([[learn(count, seed)[2] for seed in range(DRAWS)] for count in COUNTS])
world, models, _ = learn(SHOWN, 0)
print(models["bilinear"])
print(f"the noise that was added: {world.sigma}")
for j, name in enumerate(REGRESSORS):
    shown = ", ".join(f"{value:.2f}" for value in np.median(errors[:, :, j], axis=1))
    print(f"error of a predicted rating, {name:25}: {shown} with {', '.join(map(str, COUNTS))} ratings")

# %%
# Left: errors by number of ratings. Right: the interactions, and what is found from 240 ratings.

model = models["bilinear"]
figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", width_ratios=(1.5, 1, 1))
for j, (name, color) in enumerate(COLORS.items()):
    values = errors[:, :, j]
    axes[0].loglog(COUNTS, np.median(values, axis=1), color=color, label=name)
    axes[0].loglog(np.repeat(COUNTS, DRAWS), values.ravel(), "o", color=color, markersize=4)
axes[0].axhline(world.sigma, color="black", linewidth=0.8, linestyle=":", label="noise of one rating")
axes[0].set(title="Unseen pairs", xlabel="ratings", ylabel="error of a predicted rating")
axes[0].set_xticks(COUNTS, [str(count) for count in COUNTS], minor=False)
axes[0].set_xticks([], minor=True)
axes[0].set_yticks(LEVELS, [str(level) for level in LEVELS])
axes[0].set_yticks([], minor=True)
axes[0].set_ylim(bottom=0.06)
axes[0].legend(fontsize=8, loc="lower left")
high = np.abs(world.M).max()
for axis, (title, M) in zip(axes[1:], (("truth", world.M), (f"{SHOWN} ratings", model.coef_)), strict=True):
    image = axis.imshow(M, cmap="RdBu_r", vmin=-high, vmax=high)
    axis.set(title=title, xlabel="feature of a product", ylabel="feature of a person", xticks=[], yticks=[])
figure.colorbar(image, ax=axes[1:], label="interaction", shrink=0.8)
plt.show()
