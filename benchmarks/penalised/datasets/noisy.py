"""Uniformly drawn entries of a matrix with Gaussian factors, of variance one, and noise."""

import numpy as np
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "noisy"
    parameters = {"d": [1000], "d2": [None], "m": [100_000], "k": [5], "reg": [0.1], "noise": [0.5], "seed": [0]}
    test_parameters = {"d": [40], "d2": [70], "m": [900], "k": [2]}

    def get_data(self):
        rng = np.random.default_rng(self.seed)
        shape = (self.d, self.d2 or self.d)
        cells = np.sort(rng.choice(shape[0] * shape[1], self.m, replace=False))
        rows, cols = np.divmod(cells, shape[1])
        L, R = (rng.standard_normal((d, self.k)) / self.k**0.25 for d in shape)
        values = np.empty(self.m)
        for part in np.array_split(np.arange(self.m), 1 + self.m // 1_000_000):
            values[part] = np.einsum("ij,ij->i", L[rows[part]], R[cols[part]])
        values += self.noise * rng.standard_normal(self.m)
        return {"rows": rows, "cols": cols, "values": values, "shape": shape, "reg": self.reg, "k": self.k}
