"""Other splits: the radius of robust PCA."""

import numpy as np

import flatmin as fm


def test_the_truth_of_an_easy_split_lies_within_its_radius():
    instance = fm.families.robust_pca.sample((30, 25), 1, 750, corruption=0.02, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert s.certificate.unique is True
    assert np.linalg.norm(s.matrix - instance.truth) <= s.certificate.radius <= 1e-2 * np.linalg.norm(s.matrix)
