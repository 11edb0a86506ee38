"""
The lowest rank, compared with the flattest
===========================================

The flattest solution can be certified, but it is the truth only with a few times more measurements than a matrix of
this rank has degrees of freedom. The matrix of lowest rank is the truth almost down to one measurement for each degree
of freedom. It has no global proof: it is not known that no lower rank fits, only that the data determine it among
nearby matrices of its rank. The picture shows

- how often each is the truth, for random sensing matrices and for matrix completion, by oversampling: the number of
  measurements over the degrees of freedom. In completion some rows have too little data for any method; the dotted line
  excludes the rows that the solver lists;
- how much less flat the truth is than the flattest solution.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# Two models and a range of oversampling for each.

RANK, DRAWS, EXACT = 2, 4, 1e-6
#: Smallest percentage on the axis; smaller values are drawn here.
FLOOR = 1e-3
#: Family, shape and oversampling.
PANELS = {
    "matrix sensing": (fm.families.matrix_sensing, (16, 14), (1.1, 1.25, 1.5, 1.75, 2.0, 3.0)),
    "matrix completion": (fm.families.matrix_completion, (16, 14), (1.25, 1.5, 1.75, 2.0, 2.5, 3.0)),
}
BLUE, RED = "#1b6ca8", "#d1495b"

# %%
# `reweighted_minimum` repeats `flat_minimum` in a metric that favours low rank, starting at the flattest solution. It
# lists the rows and columns that have too little data.


def exact(solution, truth, loose=((), ())):
    """Return whether the solution equals the truth outside some rows and columns."""
    rows, cols = (np.setdiff1d(np.arange(d), out) for d, out in zip(truth.shape, loose, strict=True))
    kept = np.ix_(rows, cols)
    return np.linalg.norm((solution.matrix - truth)[kept]) <= EXACT * np.linalg.norm(truth[kept])


def compare(family, shape, oversampling):
    """Return by count and draw: flat exact, lowest rank exact, exact outside loose rows, relative excess of trace."""
    freedom = RANK * (sum(shape) - RANK)
    results = np.empty((len(oversampling), DRAWS, 4))
    for i, ratio in enumerate(oversampling):
        for seed in range(DRAWS):
            instance = family.sample(shape, RANK, round(ratio * freedom), seed=seed)
            flat = fm.flat_minimum(instance.problem)
            lowest = fm.reweighted_minimum(instance.problem, warm_start=flat)
            loose = lowest.parts["loose_rows"], lowest.parts["loose_cols"]
            results[i, seed] = (
                exact(flat, instance.truth),
                exact(lowest, instance.truth),
                exact(lowest, instance.truth, loose),
                lowest.certificate.relative_gap,
            )
    return results


def show(name, oversampling, results):
    """Print the numbers of one family."""
    share = 100 * results.mean(axis=1)
    print(f"{name}, rank {RANK}, {DRAWS} draws each")
    print("  oversampling          " + "".join(f"{ratio:7.2f}" for ratio in oversampling))
    for row, label in ((0, "flattest"), (1, "lowest rank"), (2, "… but for loose rows")):
        print(f"  {label:22}" + "".join(f"{value:6.0f}%" for value in share[:, row]))
    print("  less flat, at most    " + "".join(f"{value:6.1f}%" for value in 100 * results[..., 3].max(axis=1)))


# %%
# The lowest rank is the truth from fewer measurements. The price is that no certificate says so.

tables = {}
for name, (family, shape, oversampling) in PANELS.items():
    tables[name] = oversampling, compare(family, shape, oversampling)
    show(name, *tables[name])

# %%
# Left and middle: how often each is the truth. Right: how much less flat the matrix of lowest rank is.

figure, axes = plt.subplots(1, 3, figsize=(12.5, 4.4), layout="constrained")
for axis, (name, (oversampling, results)) in zip(axes, tables.items(), strict=False):
    share = 100 * results.mean(axis=1)
    axis.plot(oversampling, share[:, 2], ":", color=RED, linewidth=2, label="lowest rank, without loose rows")
    axis.plot(oversampling, share[:, 1], "s-", color=RED, label="lowest rank (no proof)")
    axis.plot(oversampling, share[:, 0], "o-", color=BLUE, label="flattest (certified)")
    axis.set(title=name.capitalize(), xlabel="measurements / degrees of freedom", ylim=(-5, 105))
axes[0].set_ylabel("draws in which it is the truth, %")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
for (name, (oversampling, results)), marker in zip(tables.items(), "^v", strict=True):
    gaps = np.maximum(100 * results[..., 3], FLOOR)
    axes[2].semilogy(np.repeat(oversampling, DRAWS), gaps.ravel(), marker, label=name, markersize=5, alpha=0.7)
axes[2].set(title="Lowest rank against flattest", xlabel="measurements / degrees of freedom", ylim=(None, 300))
axes[2].set_ylabel("less flat by, % (bottom: not at all)")
axes[2].legend(loc="upper right")
plt.show()
