"""scikit-learn's regression of each column on all others."""

from benchmarks.imputer import Imputer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer


class Solver(Imputer):
    name = "Iterative"

    def imputer(self):
        return IterativeImputer(random_state=0)
