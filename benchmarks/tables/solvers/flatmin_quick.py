"""MatrixCompletion at one strength and a loose tolerance, without any search."""

from benchmarks.imputer import Imputer

from flatmin import MatrixCompletion


class Solver(Imputer):
    name = "flatmin-quick"

    def imputer(self):
        return MatrixCompletion(0.02, tol=1e-4)
