"""A matrix with Gaussian factors, gross errors in a tenth of its cells, and a share of the cells missing."""

from benchopt import BaseDataset

import flatmin as fm


class Dataset(BaseDataset):
    name = "gross"
    parameters = {"d1": [1000], "d2": [1000], "rank": [10], "errors": [0.1], "missing": [0.0, 0.2], "seed": [0]}
    test_parameters = {"d1": [40], "d2": [30], "rank": [1], "missing": [0.0]}

    def get_data(self):
        cells = round((1 - self.missing) * self.d1 * self.d2) if self.missing else None
        shape, more = (self.d1, self.d2), {"corruption": self.errors, "seed": self.seed}
        drawn = fm.families.robust_pca.sample(shape, self.rank, cells, **more)
        return {"problem": drawn.problem, "truth": drawn.truth, "rank": self.rank}
