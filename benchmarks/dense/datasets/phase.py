"""A real or complex signal from intensities along random vectors."""

from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "phase"
    parameters = {"d": [400], "m": [1600], "real": [True, False], "seed": [0]}
    test_parameters = {"d": [8], "m": [80], "real": [True]}

    def get_data(self):
        drawn = fm.families.phase_retrieval.sample(self.d, 1, self.m, real=self.real, seed=self.seed)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": 1}
