"""MatrixCompletionCV with the flat metric alone: cells are hidden evenly, so the other metrics give the same."""

from benchmarks.imputer import Imputer

from flatmin import MatrixCompletionCV


class Solver(Imputer):
    name = "flatmin-cv"

    def imputer(self):
        return MatrixCompletionCV(metric_powers=1.0)
