"""MatrixCompletion with its default arguments."""

from benchmarks.imputer import Imputer

from flatmin import MatrixCompletion


class Solver(Imputer):
    name = "flatmin"

    def imputer(self):
        return MatrixCompletion()
