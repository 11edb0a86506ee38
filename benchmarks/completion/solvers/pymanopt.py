"""pymanopt's conjugate gradients on matrices of fixed rank, which is given; it looks for a fit, not a flat one.

Vandereycken, "Low-rank matrix completion by Riemannian optimization", SIAM Journal on Optimization 23 (2013). Its start
is the leading part of the data; pymanopt's own starts are random and far slower.
"""

import numpy as np
import pymanopt
from benchmarks.competitor import Competitor
from pymanopt.manifolds import FixedRankEmbedded
from pymanopt.optimizers import ConjugateGradient
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

#: Time limit in seconds.
LONGEST = 20.0


class Solver(Competitor):
    name = "pymanopt"
    requirements = ["pip::pymanopt"]
    budgets = (1e-9,)

    def prepare(self):
        A, b = self.problem.measurement, self.problem.data
        manifold = FixedRankEmbedded(*self.problem.shape, self.rank)
        size = float(np.sqrt(np.mean(b**2)))

        def residual(u, s, vt):
            return np.einsum("ij,ij->i", (u * s)[A.rows], vt.T[A.cols]) - b / size

        @pymanopt.function.numpy(manifold)
        def cost(u, s, vt):
            return 0.5 * np.sum(residual(u, s, vt) ** 2)

        @pymanopt.function.numpy(manifold)
        def gradient(u, s, vt):
            E = csr_array((residual(u, s, vt), (A.rows, A.cols)), shape=self.problem.shape)
            EV, EtU = E @ vt.T, E.T @ u
            return EV * s, np.einsum("ij,ij->j", u, EV), (EtU * s).T

        self.model, self.size = pymanopt.Problem(manifold, cost, euclidean_gradient=gradient), size

    def solve(self, budget):
        A, b = self.problem.measurement, self.problem.data
        filled = csr_array((b, (A.rows, A.cols)), shape=self.problem.shape) * (np.prod(self.problem.shape) / len(b))
        u, s, vt = svds(filled, self.rank, random_state=0)
        point = self.model.manifold.random_point()
        start = type(point)(u, s / self.size, vt) if hasattr(type(point), "_fields") else [u, s / self.size, vt]
        least = budget * np.linalg.norm(s) / self.size
        optimizer = ConjugateGradient(
            verbosity=0,
            max_iterations=3000,
            max_time=LONGEST * max(1.0, len(b) / 300_000),
            min_gradient_norm=least,
            min_step_size=1e-16,
        )
        u, s, vt = optimizer.run(self.model, initial_point=start).point
        return {"answer": (u * (s * self.size), vt.T)}
