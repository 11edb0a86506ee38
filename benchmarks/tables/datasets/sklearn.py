"""Tables of scikit-learn, with cells hidden completely at random."""

import numpy as np
from benchopt import BaseDataset
from sklearn import datasets

TABLES = {
    "breast-cancer": datasets.load_breast_cancer,
    "wine": datasets.load_wine,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
}


class Dataset(BaseDataset):
    name = "sklearn"
    parameters = {"table": ["wine", "diabetes", "breast-cancer", "digits"], "holes": [0.1, 0.3, 0.5], "seed": [0]}
    test_parameters = {"table": ["wine"], "holes": [0.3]}

    def get_data(self):
        table = np.asarray(TABLES[self.table]().data, dtype=float)
        return {"table": table, "hidden": np.random.default_rng(self.seed).random(table.shape) < self.holes}
