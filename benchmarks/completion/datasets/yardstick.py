"""The yardstick of MatrixIRLS: rank 5, condition number 10 or 1e5, from 2 to 4 entries for each degree of freedom."""

from benchmarks.yardstick import instance
from benchopt import BaseDataset


class Dataset(BaseDataset):
    name = "yardstick"
    parameters = {"condition": [10.0, 1e5], "oversampling": [2.0, 2.5, 3.0, 4.0], "dimension": [1000], "seed": [0]}
    test_parameters = {"condition": [10.0], "oversampling": [4.0], "dimension": [60]}

    def get_data(self):
        drawn = instance(self.condition, self.oversampling, self.seed, dimension=self.dimension)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": 5}
