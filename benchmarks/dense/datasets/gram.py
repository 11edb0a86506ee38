"""A positive semidefinite matrix measured by random symmetric ones, where flatness selects."""

import numpy as np
from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "gram"
    parameters = {"d": [50], "rank": [2], "m": [600], "seed": [0]}
    test_parameters = {"d": [6], "rank": [1], "m": [40]}

    def get_data(self):
        rng = np.random.default_rng(self.seed)
        A = rng.standard_normal((self.m, self.d, self.d))
        U = rng.standard_normal((self.d, self.rank))
        A, X = fm.measurements.Dense((A + A.transpose(0, 2, 1)) / 2), U @ U.T
        return {"problem": fm.Problem(A, A.forward(X), fm.Gram()), "truth": X, "rank": self.rank}
