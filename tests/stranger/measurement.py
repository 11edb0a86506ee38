"""Sums of the entries of a matrix with random signs."""

import numpy as np

from flatmin.measurements import Measurement

__all__ = ["SignedSums"]


class SignedSums(Measurement):
    """``Σ S_i ∘ X`` for matrices S_i of signs, shape (m, d1, d2)."""

    dtype = np.dtype(float)

    def __init__(self, signs):
        self.signs = np.asarray(signs, dtype=float)
        self.size, self.shape = len(self.signs), self.signs.shape[1:]

    @classmethod
    def sample(cls, rng, shape, m):
        """Return an instance for the tests of all measurements."""
        return cls(rng.choice([-1, 1], (m, *shape)))

    def forward(self, X):
        """Return the sums, shape (m,)."""
        return np.einsum("mij,ij->m", self.signs, X)

    def adjoint(self, y):
        """Return the combination of the signs, shape (d1, d2)."""
        return np.einsum("m,mij->ij", y, self.signs)
