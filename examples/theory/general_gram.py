"""
When flatness selects, and when it cannot
=========================================

The unknown is a covariance ``X = U Uᵀ`` of order 3; four measurements leave two of its six degrees of freedom open. All
X that fit form a convex body in a plane, shaded by the trace of the Hessian at U. Left: general symmetric A_i. The
trace varies and is smallest on the boundary, where the rank is low; flatmin finds that point and proves it. Right:
``A_i = x_i x_iᵀ``. The trace is constant, as theory says, so flatness cannot select; recovery is possible because with
enough measurements the body is a single point.

For order 50 the script prints that the flattest solution is the truth with enough measurements; with fewer it is not,
and is certified all the same.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# Small enough to draw: order 3, four measurements, two open directions.

ORDER, COUNT = 3, 4
ANGLES, SHARES = np.linspace(0, 2 * np.pi, 91), np.linspace(0, 1, 21)
LARGE, RANK, COUNTS = 50, 2, (600, 120)
RED = "#d1495b"

# %%
# The two kinds of measurements.


def symmetric(d, m, rng):
    """Return m random symmetric measurements of order d."""
    A = rng.standard_normal((m, d, d))
    return fm.measurements.Dense((A + A.transpose(0, 2, 1)) / 2)


def rank_one(d, m, rng):
    """Return m random measurements ``x_i x_iᵀ`` of order d."""
    return fm.measurements.RankOne(rng.standard_normal((m, d)))


def problem_of(measurement, rank, rng):
    """Return a problem whose data come from a random matrix of this rank, and that matrix."""
    U = rng.standard_normal((measurement.shape[0], rank))
    return fm.Problem(measurement, measurement.forward(U @ U.T), fm.Gram()), U @ U.T


# %%
# The body of all solutions: from a point inside it, along each direction to the boundary, where the smallest
# eigenvalue is zero.


def open_directions(measurement):
    """Return an orthonormal basis of the symmetric matrices that all measurements map to zero."""
    d = measurement.shape[0]
    basis = []
    for i, j in zip(*np.triu_indices(d), strict=True):
        E = np.zeros((d, d))
        E[i, j] = E[j, i] = 1.0 if i == j else np.sqrt(0.5)
        basis.append(E)
    right = np.linalg.svd(np.array([measurement.forward(E) for E in basis]).T)[2]
    return np.tensordot(right[measurement.size :], basis, 1)


def body(problem, middle, directions):
    """Return plane coordinates of solutions from a positive definite one to the boundary, and their traces."""
    Q = np.linalg.inv(np.linalg.cholesky(middle))
    places, traces = np.empty((2, len(SHARES), len(ANGLES))), np.empty((len(SHARES), len(ANGLES)))
    for j, angle in enumerate(ANGLES):
        compass = np.array([np.cos(angle), np.sin(angle)])
        N = np.tensordot(compass, directions, 1)
        rim = -1 / np.linalg.eigvalsh(Q @ N @ Q.T)[0]
        for i, share in enumerate(SHARES):
            values, vectors = np.linalg.eigh(middle + share * rim * N)
            factor = vectors * np.sqrt(np.maximum(values, 0))
            places[:, i, j] = share * rim * compass
            traces[i, j] = fm.flatness(problem, (factor,)).scaled_trace
    return places, traces


# %%
# With general measurements the trace varies, and the solver finds its smallest value on the boundary. With
# measurements of rank one it is constant.

panels = []
for title, make, seed in (
    ("General symmetric measurements", symmetric, 5),
    ("Measurements of rank one", rank_one, 4),
):
    rng = np.random.default_rng(seed)
    problem, middle = problem_of(make(ORDER, COUNT, rng), ORDER, rng)
    solution, directions = fm.flat_minimum(problem), open_directions(problem.measurement)
    places, traces = body(problem, middle, directions)
    found = np.tensordot(directions, solution.matrix - middle, 2)
    print(
        f"{title}: the trace varies by {traces.max() / traces.min() - 1:.1e}; found rank {solution.rank}, "
        f"{solution.status.name}, gap {solution.certificate.relative_gap:.1e}, unique {solution.certificate.unique}"
    )
    panels.append((title, places, traces, found, f"found, of rank {solution.rank}"))

# %%
# The same at order 50.

for m in COUNTS:
    rng = np.random.default_rng(0)
    problem, truth = problem_of(symmetric(LARGE, m, rng), RANK, rng)
    solution = fm.flat_minimum(problem).raise_if_failed()
    error = np.linalg.norm(solution.matrix - truth) / np.linalg.norm(truth)
    proof = solution.certificate
    print(
        f"order {LARGE}, m = {m}: rank {solution.rank} (truth {RANK}), error {error:.1e}, "
        f"gap {proof.relative_gap:.1e}, unique {proof.unique}, {solution.seconds:.2f} s"
    )

# %%
# The dots are what the solver finds.

figure, plots = plt.subplots(1, 2, figsize=(11.5, 4.8), layout="constrained")
for axis, (title, places, traces, found, label) in zip(plots, panels, strict=True):
    relative = traces / traces.min()
    image = axis.pcolormesh(*places, relative, cmap="viridis", shading="gouraud", vmin=1, vmax=1.65)
    if relative.max() > 1.01:
        axis.contour(*places, relative, colors="white", linewidths=0.7, levels=8)
    axis.plot(*places[:, -1], color="#444444", linewidth=1)
    axis.plot(*found, "o", color=RED, markeredgecolor="white", markersize=11, label=label)
    axis.set(title=title, xlabel="first open direction", ylabel="second open direction")
    axis.use_sticky_edges = False
    axis.margins(0.1)
    axis.legend(loc="lower left")
figure.colorbar(image, ax=plots, label="trace of the Hessian, over the smallest")
plt.show()
