"""Robust PCA: a split into a matrix of low rank and gross errors with the least ``|X|_* + λ |Y − X|_1``."""

from benchmarks.judged import Judged


class Objective(Judged):
    name = "robust PCA"
    test_dataset_name = "gross"
