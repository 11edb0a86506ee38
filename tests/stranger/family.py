"""Matrices seen through signed sums of their entries."""

import numpy as np
from stranger.measurement import SignedSums

from flatmin import Problem
from flatmin._core.memory import require
from flatmin.families import Family, Instance
from flatmin.families.base import check_sample, noisy

__all__ = ["FAMILY", "sample"]


def sample(shape, rank, n_measurements, *, noise=0.0, seed=0):
    """Draw signs and a matrix with Gaussian factors."""
    d1, d2 = check_sample(shape, rank, n_measurements, noise)
    require(8.0 * n_measurements * d1 * d2, "drawing these signs")
    rng = np.random.default_rng(seed)
    measurement = SignedSums.sample(rng, (d1, d2), n_measurements)
    truth = rng.standard_normal((d1, rank)) @ rng.standard_normal((rank, d2))
    return Instance(Problem(measurement, noisy(measurement.forward(truth), noise, rng)), truth)


FAMILY = Family(
    name="signed-sums",
    title="Signed sums",
    keys={"signs": "(m, d1, d2) signs", "b": "(m,) data"},
    build=lambda arrays: Problem(SignedSums(arrays["signs"]), arrays["b"]),
    arrays=lambda problem: {"signs": problem.measurement.signs, "b": problem.data},
    sample=sample,
)
