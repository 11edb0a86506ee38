"""Uniformly drawn entries of a matrix with Gaussian factors, which are the truth: no matrix d1 × d2 is formed."""

import numpy as np
from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "gaussian"
    parameters = {"d1": [200], "d2": [150], "rank": [3], "m": [4164], "seed": [0]}
    test_parameters = {"d1": [30], "d2": [20], "rank": [1], "m": [450]}

    def get_data(self):
        rng = np.random.default_rng(self.seed)
        cells = np.sort(rng.choice(self.d1 * self.d2, self.m, replace=False))
        L, R = (rng.standard_normal((d, self.rank)) for d in (self.d1, self.d2))
        seen = fm.measurements.Entries(*np.divmod(cells, self.d2), (self.d1, self.d2))
        return {"problem": fm.Problem(seen, seen.forward_factors(L, R)), "truth": (L, R), "rank": self.rank}
