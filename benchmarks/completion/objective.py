"""Exact completion: the flattest matrix with the observed entries, or any other one that has them and is the truth."""

from benchmarks.judged import Judged


class Objective(Judged):
    name = "completion"
    test_dataset_name = "gaussian"
