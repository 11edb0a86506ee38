"""Hints that a solution may fit noise."""

import numpy as np

import flatmin as fm
from flatmin.cli.noise_hints import noise_hints
from flatmin.losses import Absolute


def hints(problem):
    return " ".join(noise_hints(problem, fm.flat_minimum(problem)))


def test_an_exact_fit_of_noise_has_a_hint_and_a_low_rank_has_none():
    clean = fm.families.matrix_sensing.sample((8, 6), 1, 40).problem
    assert hints(clean) == ""
    noise = np.random.default_rng(0).standard_normal(48)
    assert "use --alpha auto" in hints(fm.Problem(fm.measurements.Identity((8, 6)), noise))


def test_noise_in_robust_pca_asks_for_a_smaller_weight():
    noise = np.random.default_rng(0).standard_normal(64)
    identity = fm.measurements.Identity((8, 8))
    assert "a --weight below 2 lowers the rank" in hints(fm.Problem(identity, noise, loss=Absolute(weight=2.0)))
