"""pyrpca's inexact augmented Lagrangian, with the problem's own weight and at 1e-9."""

from benchmarks.competitors.table_ import table

FAMILIES, REQUIRES = ("robust-pca",), ("pyrpca",)


def solve(problem, tol):
    from pyrpca import rpca_pcp_ialm

    Y, seen = table(problem)
    if not seen.all():
        raise NotImplementedError("it takes no missing cells")
    weight = problem.loss.weight_for(problem.shape)
    return rpca_pcp_ialm(Y, weight, max_iter=1000, tol=1e-9, verbose=False)[0]
