"""A matrix of low rank measured by pairs of Gaussian vectors."""

from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "bilinear"
    parameters = {"d1": [60], "d2": [50], "rank": [2], "m": [880], "seed": [0]}
    test_parameters = {"d1": [8], "d2": [6], "rank": [1], "m": [60]}

    def get_data(self):
        drawn = fm.families.find("bilinear-sensing").sample((self.d1, self.d2), self.rank, self.m, seed=self.seed)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": self.rank}
