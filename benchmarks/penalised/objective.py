"""Penalised completion as alternating least squares has it: ``F = Σ e² + reg (Σ n_u |l_u|² + Σ n_i |r_i|²)``.

n counts the entries of a row or column. The referee computes F, its gradient over that of the penalty, and, where that
is small, the certified gap of the convex problem over all ranks; a competitor hands over factors alone.
"""

import numpy as np
from benchmarks.competitor import UntilTarget
from benchopt import BaseObjective

import flatmin as fm

#: A gap is computed below this gradient, and up to this number of cells of the matrix.
NEARLY, CELLS = 1e-2, 4_000_000
BLOCK = 1_000_000


class Objective(BaseObjective):
    name = "penalised completion"
    requirements = ["pip::flatmin"]
    min_benchopt_version = "1.10"
    stopping_criterion = UntilTarget()
    parameters = {"target": [1e-4]}
    test_dataset_name = "noisy"

    def set_data(self, rows, cols, values, shape, reg, k):
        self.rows, self.cols, self.values, self.shape, self.reg, self.k = rows, cols, values, shape, reg, k
        self.counts = np.bincount(rows, minlength=shape[0]), np.bincount(cols, minlength=shape[1])

    def get_objective(self):
        return {name: getattr(self, name) for name in ("rows", "cols", "values", "shape", "reg", "k")}

    def evaluate_result(self, factors, sweeps=None, another_loss=False, memory=None, startup=None):
        """Judge factors; for another loss only the time counts."""
        L, R = (np.asarray(F, dtype=float) for F in factors)
        told = {"memory": memory, "sweeps": sweeps, "startup": startup, "target": None if another_loss else self.target}
        if not (np.isfinite(L).all() and np.isfinite(R).all()):
            raise ValueError("its answer is not finite")
        if another_loss:
            return {**told, **dict.fromkeys(("objective", "gradient", "gap", "gap size", "holds", "rank", "accuracy"))}
        value, gradient = self.value_and_gradient(L, R)
        proof, rank = self.proof(L, R) if gradient <= NEARLY and np.prod(self.shape) <= CELLS else (None, None)
        gap = None if proof is None else proof.relative_gap
        return {
            **told,
            "objective": value,
            "gradient": gradient,
            "gap": gap,
            "gap size": None if gap is None else abs(gap),
            "holds": None if proof is None else proof.holds,
            "rank": rank,
            "accuracy": gradient,
        }

    def value_and_gradient(self, L, R):
        """Return F, and its gradient over the gradient of its penalty: zero where the factors are stationary."""
        from scipy.sparse import csr_array

        e = np.empty(len(self.values))
        for start in range(0, len(e), BLOCK):
            part = slice(start, start + BLOCK)
            e[part] = np.einsum("ij,ij->i", L[self.rows[part]], R[self.cols[part]]) - self.values[part]
        E = csr_array((e, (self.rows, self.cols)), shape=self.shape)
        n, m = (count[:, None] for count in self.counts)
        value = np.sum(e**2) + self.reg * (np.sum(n * L**2) + np.sum(m * R**2))
        penalty = self.reg * n * L, self.reg * m * R
        total = E @ R + penalty[0], E.T @ L + penalty[1]
        size = np.sqrt(sum(np.sum(part**2) for part in penalty))
        off = np.sqrt(sum(np.sum(part**2) for part in total))
        return float(value), float(off / size) if size else float("inf")

    def proof(self, L, R):
        """Return the certificate over all ranks, and the rank."""
        problem = fm.Problem(fm.measurements.Entries(self.rows, self.cols, self.shape), self.values)
        strength = self.reg * np.sqrt(np.prod(self.shape)) / 2
        dual = self.values - problem.measurement.forward_factors(L, R)  # certify scales it into the dual ball
        s = np.linalg.svd(np.linalg.qr(L, mode="r") @ np.linalg.qr(R, mode="r").T, compute_uv=False)
        return fm.certify(problem, (L, R), dual, alpha=strength), int(np.sum(s > 1e-6 * s[0]))

    def get_one_result(self):
        rng = np.random.default_rng(0)
        return {"factors": tuple(rng.standard_normal((d, self.k)) for d in self.shape)}
