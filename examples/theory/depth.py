"""
Depth and the bias of flat solutions
====================================

A product of N vectors, ``x = u_1 ∘ … ∘ u_N``, is flattest if ``Σ w_j |x_j|^(2 − 2/N)`` is smallest: the ℓ1 norm for two
factors, nearly ℓ2 for many. A product of N matrices, ``X = W_N ⋯ W_1``, is flattest if its nuclear norm is smallest,
for every N (for measurements that see all matrices nearly alike). Both are computed here, and certified.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

import flatmin as fm

# %%
# Products of two, three and five factors.

DEPTHS = (2, 3, 5)
COLORS = {2: "#1b6ca8", 3: "#d1495b", 5: "#edae49"}
LENGTH, SPARSITY = 120, 6
SHAPE, RANK = (14, 12), 1
DRAWS = 10

# %%
# How many measurements does the flattest vector need to be the sparse truth, and the flattest matrix to be the one of
# rank one?


def relative_error(found, truth):
    """Return the distance divided by the size of the truth."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def sparse_errors(counts):
    """Return the median error of certified flat vectors, by depth, for each number of measurements."""
    errors = {depth: [] for depth in DEPTHS}
    for depth in DEPTHS:
        for m in counts:
            draws = []
            for seed in range(DRAWS):
                instance = fm.families.sparse_regression.sample(LENGTH, SPARSITY, m, seed=seed, depth=depth)
                s = fm.flat_minimum(instance.problem).raise_if_failed()
                draws.append(relative_error(s.matrix, instance.truth))
            errors[depth].append(float(np.median(draws)))
    return errors


def matrix_errors(counts):
    """Return the median error of matrices of smallest nuclear norm, for each number of measurements."""
    errors = []
    for m in counts:
        draws = []
        for seed in range(DRAWS):
            instance = fm.families.matrix_sensing.sample(SHAPE, RANK, m, seed=seed)
            s = fm.flat_minimum(instance.problem, metric_power=0).raise_if_failed()
            draws.append(relative_error(s.matrix, instance.truth))
        errors.append(float(np.median(draws)))
    return errors


# %%
# Solutions of the same equations, from near the sparse one to far away. For each of them the smallest trace over all
# its factors is computed.


def support(x):
    """Return the number of entries above 1 % of the largest."""
    return int(np.count_nonzero(np.abs(x) > 0.01 * np.abs(x).max()))


def interpolants(rows, solution, rng, count=400):
    """Return solutions of the same equations: near the flattest, towards the least-squares one, and around both."""
    right = np.linalg.svd(rows, full_matrices=False)[2]
    away = solution @ right.T @ right - solution
    steps = rng.standard_normal((count, solution.size))
    steps -= steps @ right.T @ right
    steps *= np.linalg.norm(away) / np.linalg.norm(steps, axis=1, keepdims=True)
    return solution + rng.uniform(0, 1, (count, 1)) * away + 10.0 ** rng.uniform(-3, -0.5, (count, 1)) * steps


def vector_cloud(rng):
    """Return weighted ℓ1 norms and flat values of interpolants, and the gap of the ℓ1 solution at each depth."""
    instance = fm.families.sparse_regression.sample(LENGTH, SPARSITY, 50, seed=0)
    sparse = fm.flat_minimum(instance.problem)
    rows = instance.problem.measurement.matrices()[:, :, 0]
    points = interpolants(rows, sparse.matrix[:, 0], rng)
    weights = np.mean(rows**2, axis=0)
    values, gaps = {}, {}
    for depth in DEPTHS:
        problem = fm.Problem(instance.problem.measurement, instance.problem.data, fm.Hadamard(depth))
        best = fm.flat_minimum(problem)
        roots = np.abs(points[:, :, None]) ** (1 / depth)
        flattest = [(np.sign(x)[:, None] * root, *[root] * (depth - 1)) for x, root in zip(points, roots, strict=True)]
        traces = [fm.flatness(problem, factors).scaled_trace for factors in flattest]
        values[depth] = np.array(traces) / best.certificate.value
        gaps[depth] = fm.certify(problem, sparse.matrix, best.certificate.dual).relative_gap
        print(f"depth {depth} at 50 measurements: {support(best.matrix):3d} entries above 1 % of the largest")
    return np.abs(points) @ weights / (np.abs(sparse.matrix[:, 0]) @ weights), values, gaps


def matrix_cloud(rng):
    """Return nuclear norms and flat values of interpolants, and the gap of the nuclear solution at each depth."""
    instance = fm.families.matrix_sensing.sample(SHAPE, RANK, 90, seed=0)
    low_rank = fm.flat_minimum(instance.problem, metric_power=0)
    rows = instance.problem.measurement.matrices().reshape(90, -1)
    points = interpolants(rows, low_rank.matrix.ravel(), rng).reshape(-1, *SHAPE)
    norms = np.linalg.norm(points, "nuc", axis=(1, 2))
    dual = instance.problem.measurement.adjoint(low_rank.certificate.dual)
    bound = instance.problem.data @ low_rank.certificate.dual / np.linalg.norm(dual, 2)  # of every nuclear norm
    whole, values, gaps = fm.measurements.Identity(SHAPE), {}, {}
    for depth in DEPTHS:
        model = fm.Chain((min(SHAPE),) * (depth - 1))
        traces = []
        for X in points:
            problem = fm.Problem(whole, X.ravel(), model)
            traces.append(fm.flat_minimum(problem).flatness.scaled_trace)
        mine = model.smallest_trace(np.linalg.norm(low_rank.matrix, "nuc") / X.size, problem.metric)
        values[depth] = np.array(traces) / mine
        gaps[depth] = 1 - model.smallest_trace(bound / X.size, problem.metric) / mine
    return norms / np.linalg.norm(low_rank.matrix, "nuc"), values, gaps


def _label(depth):
    return f"depth {depth}" if isinstance(depth, int) else depth


# %%
# Two factors recover a sparse vector from few measurements. Five factors need almost as many measurements as there are
# unknowns. Matrices do not care about depth.

counts = np.array([20, 30, 40, 50, 60, 80, 100]), np.array([40, 60, 80, 100, 120, 140])
sparse, nuclear = sparse_errors(counts[0]), matrix_errors(counts[1])
print(f"{SPARSITY}-sparse vectors of length {LENGTH}, median relative error of the certified flat solution")
print("measurements" + "".join(f"{m:10d}" for m in counts[0]))
for depth, curve in sparse.items():
    print(f"depth {depth:6d}" + "".join(f"{e:10.1e}" for e in curve))
print(f"\nrank-{RANK} matrices {SHAPE[0]}×{SHAPE[1]}, the same for every depth")
print("measurements" + "".join(f"{m:10d}" for m in counts[1]))
print("nuclear norm" + "".join(f"{e:10.1e}" for e in nuclear))

# %%
# If the norm decides which solution is flattest, the norm and the trace put all solutions in the same order: a rank
# correlation of 1.

rng = np.random.default_rng(0)
clouds = vector_cloud(rng), matrix_cloud(rng)
print("\nDoes the norm order solutions as flatness does? And is its minimiser flattest?")
for title, (norms, values, gaps) in zip(("vectors, ℓ1", "matrices, nuclear"), clouds, strict=True):
    for depth in DEPTHS:
        order = spearmanr(norms, values[depth]).statistic
        ahead = float(np.mean(values[depth] < 1 / (1 - gaps[depth]) - 1e-12))
        print(
            f"{title:18} depth {depth}: rank correlation {order:6.3f}, gap of the norm's minimiser "
            f"{gaps[depth]:8.1e}, flatter ones among {len(norms)} others {ahead:6.1%}"
        )

# %%
# Upper row: errors of recovery. Lower row: the trace of solutions against their norm; a curve would mean the same
# order.

errors = (sparse, {"every depth": nuclear})
figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
for axis, m, curves, title in zip(axes[0], counts, errors, ("vectors", "matrices"), strict=True):
    for depth, curve in curves.items():
        axis.semilogy(m, np.maximum(curve, 1e-16), "o-", color=COLORS.get(depth, "#444444"), label=_label(depth))
    axis.set(title=f"Flat {title}: error of recovery", xlabel="measurements", ylabel="median relative error")
    axis.legend()
names = (r"$\sum_j w_j\,|x_j|$", r"$\|X\|_*$")
for axis, (norms, values, _), name, what in zip(axes[1], clouds, names, ("Vectors", "Matrices"), strict=True):
    for depth in reversed(DEPTHS):
        axis.plot(norms, values[depth], ".", markersize=3, color=COLORS[depth], label=_label(depth))
    title, height = f"{what} that solve the same equations", "flattest trace, over the smallest"
    axis.set(title=title, xlabel=f"{name}, over its smallest", ylabel=height)
    axis.legend()
plt.show()
