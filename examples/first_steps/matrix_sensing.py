"""
When is the flattest solution the truth?
========================================

The data are inner products of a matrix of rank 2 with random Gaussian matrices. Many matrices fit. The picture shows

- the distance of the flattest one from the truth by the number of measurements, compared with the one of least
  Frobenius norm;
- its singular values on both sides of the threshold: below it, the rank has no meaning;
- the certificate: every other matrix that fits is less flat, by the amount drawn against its distance.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

SHAPE, RANK = (20, 15), 2
FREEDOM = RANK * (sum(SHAPE) - RANK)
COUNTS = (70, 90, 110, 130, 150, 170, 200, 240)
BELOW, ABOVE = 100, 200
DRAWS = 5
BLUE, RED, YELLOW = "#1b6ca8", "#d1495b", "#edae49"

# %%
# The flattest solution is compared with the usual choice among many solutions, the one of least Frobenius norm.


def relative_error(found, truth):
    """Return the distance divided by the size of the truth."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def least_norm(problem):
    """Return the solution of least Frobenius norm."""
    rows = problem.measurement.matrices().reshape(problem.measurement.size, -1)
    return np.linalg.lstsq(rows, problem.data, rcond=None)[0].reshape(problem.shape)


# %%
# How often is each of them the truth? Random instances come from a *family*, a model with a known truth:
# `fm.families.matrix_sensing` here.


def recovery():
    """Return errors of flat and of least-norm solutions, by count and draw, and the number of certified flat ones."""
    flat, least = np.empty((len(COUNTS), DRAWS)), np.empty((len(COUNTS), DRAWS))
    certified = 0
    for i, m in enumerate(COUNTS):
        for seed in range(DRAWS):
            instance = fm.families.matrix_sensing.sample(SHAPE, RANK, m, seed=seed)
            solution = fm.flat_minimum(instance.problem)
            certified += solution.certificate.holds
            flat[i, seed] = relative_error(solution.matrix, instance.truth)
            least[i, seed] = relative_error(least_norm(instance.problem), instance.truth)
    return flat, least, certified


# %%
# The certificate contains a dual vector, from which `certify` bounds how much flatter than a given matrix any solution
# could be. For the flattest solution this gap is zero up to rounding. For the other solutions it is positive, and
# grows with the distance.


def others(problem, solution, rng, count=150):
    """Return distances and flatness gaps of other solutions of the same equations."""
    rows = problem.measurement.matrices().reshape(problem.measurement.size, -1)
    right = np.linalg.svd(rows, full_matrices=False)[2]
    steps = rng.standard_normal((count, right.shape[1]))
    steps -= steps @ right.T @ right
    steps *= 10.0 ** rng.uniform(-4, 1, (count, 1)) / np.linalg.norm(steps, axis=1, keepdims=True)
    points = [solution.matrix + step.reshape(problem.shape) for step in steps]
    gaps = [fm.certify(problem, X, solution.certificate.dual).relative_gap for X in points]
    return np.linalg.norm(steps, axis=1), np.array(gaps)


# %%
# With 130 measurements, twice the number of degrees of freedom, the flattest solution is the truth up to
# rounding. The solution of least norm never is. The flattest solutions on both sides of the threshold are certified:
# the certificate proves flatness, and says nothing about a truth.

flat, least, certified = recovery()
print(f"matrices {SHAPE[0]}×{SHAPE[1]} of rank {RANK}; {certified} of {flat.size} flat solutions certified")
print("measurements        " + "".join(f"{m:9d}" for m in COUNTS))
print("median error, flat  " + "".join(f"{e:9.1e}" for e in np.median(flat, axis=1)))
print("least Frobenius norm" + "".join(f"{e:9.1e}" for e in np.median(least, axis=1)))
spectra, cloud = {}, None
for m, name in ((ABOVE, "above"), (BELOW, "below")):
    instance = fm.families.matrix_sensing.sample(SHAPE, RANK, m, seed=0)
    solution = fm.flat_minimum(instance.problem)
    spectra.setdefault("truth", np.linalg.svd(instance.truth, compute_uv=False)[:RANK])
    spectra[f"flattest, m = {m}"] = np.linalg.svd(solution.matrix, compute_uv=False)
    print(
        f"{name} the threshold, m = {m}: {solution.status.name}, rank {solution.rank}, gap "
        f"{solution.certificate.relative_gap:.1e}, error {relative_error(solution.matrix, instance.truth):.1e}"
    )
    if name == "above":
        cloud = others(instance.problem, solution, np.random.default_rng(0))
        print(f"least gap of {len(cloud[0])} other solutions: {cloud[1].min():.1e}")

# %%
# The flattest solution above the threshold has two singular values, and those of the truth. Below the threshold it has
# more, and their number has no meaning.

errors = (flat, least)
figure, axes = plt.subplots(1, 3, figsize=(12.5, 4.2), layout="constrained")
for values, color, marker, label in zip(
    errors, (BLUE, YELLOW), "os", ("flattest, certified", "least Frobenius norm"), strict=True
):
    axes[0].semilogy(np.array(COUNTS), np.median(values, axis=1), color=color)
    axes[0].semilogy(np.repeat(COUNTS, DRAWS), values.ravel(), marker, color=color, markersize=5, label=label)
axes[0].axvline(FREEDOM, color="#777777", linestyle=":", label=f"degrees of freedom, {FREEDOM}")
axes[0].set(title="Distance to the truth", xlabel="measurements", ylabel="relative error, five draws")
axes[0].legend()
for (label, values), color, marker in zip(spectra.items(), ("#444444", BLUE, RED), "+os", strict=True):
    places, front = np.arange(1, len(values) + 1), 3 if marker == "+" else 2
    axes[1].semilogy(places, values, marker, color=color, markersize=8, label=label, zorder=front)
axes[1].set(title="Singular values", xlabel="index", ylim=(1e-17, 300))
axes[1].legend()
axes[2].loglog(*cloud, ".", color=BLUE)
axes[2].set(
    title=f"Other solutions are less flat (m = {ABOVE})",
    xlabel="distance from the flattest",
    ylabel="(scaled trace − certified bound) / trace",
)
plt.show()
