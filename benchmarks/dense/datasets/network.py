"""A quadratic network with two neurons that add and one that subtracts."""

from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "network"
    parameters = {"d": [50], "m": [600], "seed": [0]}
    test_parameters = {"d": [6], "m": [60]}

    def get_data(self):
        drawn = fm.families.quadratic_network.sample(self.d, (2, 1), self.m, seed=self.seed)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": 3}
