"""Tables with missing cells: the root mean square error of imputed values over hidden cells, in column units."""

import numpy as np
from benchmarks.competitor import UntilTarget
from benchopt import BaseObjective


class Objective(BaseObjective):
    name = "tables with holes"
    requirements = ["pip::flatmin", "pip::scikit-learn"]
    min_benchopt_version = "1.10"
    stopping_criterion = UntilTarget()
    test_dataset_name = "sklearn"

    def set_data(self, table, hidden):
        self.table, self.hidden = table, hidden
        self.spread = np.where((spread := table.std(axis=0)) > 0, spread, 1)

    def get_objective(self):
        return {"table": np.where(self.hidden, np.nan, self.table)}

    def evaluate_result(self, filled, memory=None):
        if filled.shape != self.table.shape or not np.isfinite(filled).all():
            raise ValueError("it left holes, or changed the shape")
        means = np.nanmean(np.where(self.hidden, np.nan, self.table), axis=0)
        error, least = self.error(filled), self.error(np.broadcast_to(means, self.table.shape))
        return {"error": error, "better than means": bool(error <= least), "memory": memory}

    def error(self, filled):
        return float(np.sqrt(np.mean((((filled - self.table) / self.spread)[self.hidden]) ** 2)))

    def get_one_result(self):
        return {"filled": self.table}
