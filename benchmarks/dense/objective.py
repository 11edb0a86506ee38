"""Models whose measurements are dense matrices, vectors or Fourier transforms: the flattest matrix that fits."""

from benchmarks.judged import Judged


class Objective(Judged):
    name = "dense"
    test_dataset_name = "sensing"
