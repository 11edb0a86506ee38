"""fancyimpute's SoftImpute 0.7.0; one of its arguments has a name that scikit-learn no longer accepts."""

from benchmarks.imputer import Imputer
from fancyimpute import SoftImpute, soft_impute, solver
from sklearn.utils import check_array

for module in (solver, soft_impute):
    module.check_array = lambda X, force_all_finite=True: check_array(X, ensure_all_finite=force_all_finite)


class Solver(Imputer):
    name = "SoftImpute"
    requirements = ["pip::fancyimpute"]

    def imputer(self):
        return SoftImpute(verbose=False)
