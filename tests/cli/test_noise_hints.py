"""Hints that a solution may fit noise."""

from dataclasses import replace

import numpy as np

import flatmin as fm
from flatmin.cli.noise_hints import data_hints, noise_hints
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


def test_a_limit_far_from_a_fit_to_intensities_speaks_of_noise():
    noisy, clean = (fm.families.phase_retrieval.sample(30, 1, 240, noise=noise).problem for noise in (0.1, 0.0))
    stopped = fm.flat_minimum(noisy, max_iter=20)
    assert stopped.status is fm.Status.iteration_limit
    (hint,) = [hint for hint in noise_hints(noisy, stopped) if "as noise would" in hint]
    assert hint.endswith("if the data are noisy, use --alpha auto, or a number.")
    assert "alpha" not in hints(clean)


def test_noise_adds_columns_and_is_named_as_the_reason():
    noisy = fm.families.phase_retrieval.sample(8, 1, 80, noise=0.1).problem
    found = fm.flat_minimum(noisy, alpha="auto")
    assert found.rank > found.noise.rank == 1
    (hint,) = noise_hints(noisy, replace(found, parts={"signal": found.signal}))
    assert hint.startswith(f"The intensities are noisy: noise adds {found.rank - 1} columns")
    (other, *_) = noise_hints(noisy, replace(found, parts={"signal": found.signal}, noise=None))
    assert other.startswith(f"The fit has rank {found.rank}, so no single signal explains the data")


def test_one_pattern_has_a_hint_and_two_have_none():
    masks = fm.families.phase_retrieval.octanary_masks(8, (4,))
    for count, said in ((1, True), (8, False)):
        problem = fm.families.phase_retrieval.diffraction(np.arange(4), masks[:count]).problem
        assert ("One diffraction pattern does not determine a signal" in " ".join(data_hints(problem))) is said
    halves = fm.families.phase_retrieval.diffraction(np.arange(4), np.array([[1, 1, 0, 0], [0, 0, 1, 1]])).problem
    assert "The masks divide the pixels into 2 parts" in " ".join(data_hints(halves))
    few = fm.families.phase_retrieval.diffraction(np.arange(5), np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1]])).problem
    assert "at most 6 independent intensities, and a signal of 5 pixels has 9 unknowns" in " ".join(data_hints(few))
    assert data_hints(fm.families.matrix_sensing.sample((3, 2), 1, 4).problem) == []
