"""Base class of imputers with scikit-learn's interface, whose columns may be scaled first."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from sklearn.preprocessing import StandardScaler

from benchmarks.competitor import Competitor


class Imputer(Competitor):
    """Subclasses make the imputer; scaled ones get columns of standard deviation 1, and answer in the user's units."""

    parameters: ClassVar[dict[str, list[Any]]] = {"scaled": [False]}
    scaled: bool

    def imputer(self) -> Any:
        raise NotImplementedError

    def solve(self, budget: Any) -> dict[str, Any]:
        units = StandardScaler(with_mean=self.scaled, with_std=self.scaled).fit(self.table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            filled = self.imputer().fit_transform(units.transform(self.table))
        return {"filled": np.asarray(units.inverse_transform(filled))}
