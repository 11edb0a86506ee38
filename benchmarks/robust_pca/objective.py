"""Robust PCA: a matrix of low rank and gross errors, told apart by the least ``|X|_* + λ |Y − X|_1``."""

from benchmarks.judged import Judged


class Objective(Judged):
    name = "robust PCA"
    test_dataset_name = "gross"
