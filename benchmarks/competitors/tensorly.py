"""tensorly's robust PCA, which counts the nuclear norm once an axis, so twice for a matrix, and has an absolute tol."""

import numpy as np

from benchmarks.competitors.table_ import table

FAMILIES, REQUIRES = ("robust-pca",), ("tensorly",)
#: Left out by ``--quick``.
SLOW = True


def solve(problem, tol):
    from tensorly.decomposition import robust_pca

    Y, seen = table(problem)
    weight, start = problem.loss.weight_for(problem.shape), 1.25 / np.linalg.norm(Y, 2)
    limits = {"tol": 1e-9 * np.linalg.norm(Y), "n_iter_max": 1000, "learning_rate": 1.1, "verbose": 0}
    return robust_pca(Y, mask=seen.astype(float), reg_J=0.5, reg_E=weight, mu_init=start, **limits)[0]
