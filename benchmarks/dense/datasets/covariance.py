"""A covariance of low rank, seen by powers along random directions."""

from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "covariance"
    parameters = {"d": [200], "rank": [5], "m": [3000], "seed": [0]}
    test_parameters = {"d": [8], "rank": [1], "m": [60]}

    def get_data(self):
        drawn = fm.families.covariance.sample(self.d, self.rank, self.m, seed=self.seed)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": self.rank}
