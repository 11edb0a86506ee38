"""
The stars that a person would give
==================================

The ratings are synthetic, because real ones must not be distributed: 400 people and 200 films with popularity that
falls like a power law, tastes of rank three, generous and strict people, good and bad films, noise, and whole numbers
of stars. 9000 ratings are known, as triples of a person's name, a film's name and a number of stars; a quarter of them
is held out.

A matrix of low rank with offsets is fitted to the others. A grid search finds alpha, and a metric between that of the
nuclear norm (0) and the flat one (1). The matrix, the offsets and their penalties are fitted together, and a
certificate proves that the fit is optimal. Films with few ratings are predicted mainly from offsets. For an unknown
person or film the prediction is based on the other id of the pair.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, train_test_split

from flatmin import PairRegressor

# %%
# The strengths and the metrics that the grid search tries.

PEOPLE, FILMS, RATINGS, TASTES = 400, 200, 9000, 3
ALPHAS, POWERS = (0.18, 0.27, 0.4), (0.0, 0.5, 1.0)
BLUE, YELLOW, RED = "#1b6ca8", "#edae49", "#d1495b"

# %%
# The ratings: popular films have many, and some people rate much more than others.


def draw_ratings(rng):
    """Return triples: pairs of names (m, 2), and stars (m,)."""
    popularity = rng.permutation(np.arange(1.0, FILMS + 1) ** -0.7)
    activity = np.exp(0.7 * rng.standard_normal(PEOPLE))
    share = np.outer(activity, popularity).ravel()
    i, j = np.divmod(rng.choice(share.size, RATINGS, replace=False, p=share / share.sum()), FILMS)
    taste = rng.standard_normal((PEOPLE, TASTES)) @ rng.standard_normal((TASTES, FILMS)) * 0.4
    opinion = 3.4 + 0.4 * rng.standard_normal((PEOPLE, 1)) + 0.5 * rng.standard_normal(FILMS) + taste
    stars = np.clip(np.rint(opinion[i, j] + 0.6 * rng.standard_normal(RATINGS)), 1, 5)
    return np.array([(f"person {a:03d}", f"film {b:03d}") for a, b in zip(i, j, strict=True)]), stars


# %%
# Errors are also measured by the number of known ratings of a film.


def root_mean_square(errors):
    """Return the root mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def by_popularity(films, held, edges):
    """Return the class of popularity of each held-out rating."""
    names, counts = np.unique(films, return_counts=True)
    place = np.minimum(np.searchsorted(names, held), len(names) - 1)
    return np.digitize(np.where(names[place] == held, counts[place], 0), edges)


# %%
# `PairRegressor` is an estimator of scikit-learn, so its parameters are chosen by ``GridSearchCV``.

pairs, stars = draw_ratings(np.random.default_rng(0))
known, held, y, true = train_test_split(pairs, stars, test_size=0.25, random_state=0)
alone = PairRegressor(10.0).fit(known, y)
search = GridSearchCV(
    PairRegressor(tol=1e-6),
    {"alpha": ALPHAS, "metric_power": POWERS},
    scoring="neg_root_mean_squared_error",
    cv=3,
).fit(known, y)
tried = search.cv_results_
errors = {
    (float(p), float(a)): -score
    for p, a, score in zip(tried["param_metric_power"], tried["param_alpha"], tried["mean_test_score"], strict=True)
}
model = search.best_estimator_
proof = model.certificate_
print(f"{len(y)} ratings known, {len(true)} held out; chosen: {search.best_params_}")
print(f"{model.status_.name}: rank {model.rank_}, gap {proof.relative_gap:.1e}, joint with the offsets")

# %%
# A matrix of tastes predicts better than offsets of people and films alone. Unknown people and films get a prediction
# too.

guesses = {"offsets alone": alone.predict(held), "with a matrix": model.predict(held)}
for name, guess in guesses.items():
    print(f"error of held-out ratings, {name}: {root_mean_square(guess - true):.3f} stars")
person, film = known[0]
strangers = model.predict([(person, "a new film"), ("somebody new", film), ("somebody new", "a new film")])
print(f"{person} for an unknown film: {strangers[0]:.1f}; {film} for an unknown person: {strangers[1]:.1f}; both")
print(f"unknown: {strangers[2]:.1f}, the constant")

# %%
# The matrix helps where films have enough ratings. For the others the prediction is nearly that of the offsets.

edges = (10, 25, 60)
labels = ["< 10", "10 … 24", "25 … 59", "≥ 60"]
classes = by_popularity(known[:, 1], held[:, 1], edges)

guess = guesses["with a matrix"]
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for alpha, color in zip(ALPHAS, plt.get_cmap("viridis")(np.linspace(0, 0.85, len(ALPHAS))), strict=True):
    axes[0].plot(POWERS, [errors[p, alpha] for p in POWERS], "o-", color=color, label=f"alpha {alpha:g}")
axes[0].set(title="Cross-validated error", xlabel="metric power: nuclear 0 … 1 flat", ylabel="stars")
axes[0].legend()
parts = axes[1].violinplot([guess[true == s] for s in range(1, 6)], range(1, 6), showmedians=True)
for body in parts["bodies"]:
    body.set_color(BLUE)
axes[1].plot([1, 5], [1, 5], color="#777777", linewidth=0.8)
axes[1].set(title="Held-out ratings", xlabel="stars given", ylabel="stars predicted")
positions = np.arange(len(labels))
for shift, (label, predicted), color in zip((-0.2, 0.2), guesses.items(), (YELLOW, BLUE), strict=True):
    heights = [root_mean_square((predicted - true)[classes == k]) for k in positions]
    axes[2].bar(positions + shift, heights, 0.38, color=color, label=label)
axes[2].set(title="Error by number of ratings of the film", xlabel="ratings known", ylabel="stars")
axes[2].set_xticks(positions, labels)
axes[2].legend(loc="lower left")
plt.show()
