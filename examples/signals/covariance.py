"""
A covariance from powers: is it the only one?
=============================================

The data are ``b_i = x_iᵀ Σ x_i``, the powers of a signal along random directions. For such measurements all positive
semidefinite matrices that fit are equally flat, because the data determine the trace. So there are two questions.
*Fit*: the solver finds a matrix that fits, of the lowest rank that it meets. *Uniqueness*: either a separate dual
vector proves that no other positive semidefinite matrix fits, or a second one is found, or the question stays
undecided.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# Seven numbers of measurements, six draws each.

DIMENSION, RANK = 24, 2
COUNTS = (60, 72, 84, 96, 120, 144, 192)
SHOWN, FEW = 144, 60
DRAWS = 6
#: The three answers about uniqueness, in words and colours.
ANSWERS = {
    True: ("proved unique", "#1b6ca8"),
    None: ("undecided", "#edae49"),
    False: ("a second one found", "#d1495b"),
}

# %%
# ``certificate.unique`` is True if it is proved that nothing else fits, False if a second matrix was found, and None
# if neither is known.


def relative_error(found, truth):
    """Return the distance divided by the size of the truth."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def solve(m, seed):
    """Return an instance and its solution."""
    instance = fm.families.covariance.sample(DIMENSION, RANK, m, seed=seed)
    return instance, fm.flat_minimum(instance.problem)


def survey():
    """Return errors and answers to the question of uniqueness, by number of measurements and draw."""
    errors, answers = np.empty((len(COUNTS), DRAWS)), []
    for i, m in enumerate(COUNTS):
        row = []
        for seed in range(DRAWS):
            instance, solution = solve(m, seed)
            errors[i, seed] = relative_error(solution.matrix, instance.truth)
            row.append(solution.certificate.unique)
        answers.append(row)
    return errors, answers


# %%
# If there is a second matrix that fits, ``certificate.alternative`` has its factor, so it can be checked.


def second(problem, solution):
    """Return a second matrix that fits, if there is one, and its residual."""
    other = solution.certificate.alternative
    if other is None:
        return None, None
    return other[0] @ other[0].T, fm.certify(problem, other, solution.certificate.dual).relative_residual


# %%
# From 72 measurements on the truth is found in every draw, but with 72 a second matrix fits too. From 96 on, twice the
# number of degrees of freedom, it is proved in every draw that nothing else fits.

errors, answers = survey()
print(f"covariances {DIMENSION}×{DIMENSION} of rank {RANK}, {DRAWS} draws; all were fitted")
print("measurements  recovered  " + "  ".join(label for label, _ in ANSWERS.values()))
for m, row, found in zip(COUNTS, errors, answers, strict=True):
    counts = "".join(f"{found.count(answer):{len(label) + 2}d}" for answer, (label, _) in ANSWERS.items())
    print(f"{m:12d}{np.count_nonzero(row < 1e-8):11d}{counts}")

# %%
# One instance with many measurements, and one with few.

instance, solution = solve(SHOWN, 0)
proof = solution.certificate
print(f"\nm = {SHOWN}: {solution.status.name}, rank {solution.rank}, residual {proof.relative_residual:.1e}")
print(f"unique: {proof.unique}, margin {proof.margin} ({proof.margin_kind}), certified radius {proof.radius}")
few, found = solve(FEW, 0)
other, residual = second(few.problem, found)
print(f"m = {FEW}: {found.status.name}, rank {found.rank}, unique: {found.certificate.unique}")
if other is not None:
    apart = relative_error(other, found.matrix)
    print(f"the second matrix fits with residual {residual:.1e}, at a relative distance of {apart:.2f}")

# %%
# Upper row: the truth, what is found from many measurements, and two matrices that both fit few measurements.

matrices = [
    ("truth", instance.truth),
    (f"recovered, m = {SHOWN}", solution.matrix),
    (f"one that fits, m = {FEW}", found.matrix),
    (f"another that fits, m = {FEW}", found.matrix if other is None else other),
]

figure = plt.figure(figsize=(11, 7), layout="constrained")
grid = figure.add_gridspec(2, 4)
high = float(np.abs(matrices[0][1]).max())
maps = [figure.add_subplot(grid[0, j]) for j in range(4)]
for axis, (title, matrix) in zip(maps, matrices, strict=True):
    image = axis.imshow(matrix, cmap="RdBu_r", vmin=-high, vmax=high)
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[])
figure.colorbar(image, ax=maps, shrink=0.8, label="entry")
left, right = figure.add_subplot(grid[1, :2]), figure.add_subplot(grid[1, 2:])
places, bottom = np.arange(len(COUNTS)), np.zeros(len(COUNTS))
for answer, (label, color) in ANSWERS.items():
    chosen = np.array([[found is answer for found in row] for row in answers])
    x = places[:, None] + np.linspace(-0.25, 0.25, DRAWS)
    left.semilogy(x[chosen], errors[chosen], "o", color=color, label=label)
    right.bar(places, chosen.sum(axis=1), bottom=bottom, color=color, label=label)
    bottom += chosen.sum(axis=1)
for axis in (left, right):
    axis.set_xticks(places, COUNTS)
    axis.set_xlabel(f"measurements (d·r = {DIMENSION * RANK})")
left.set(title="Distance to the truth", ylabel="relative error")
left.legend(handles=right.containers, loc="center right")
right.set(title="Is it unique?", ylabel="draws")
plt.show()
