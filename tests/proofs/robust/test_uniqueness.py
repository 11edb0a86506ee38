"""Other splits: the radius of robust PCA."""

import mpmath
import numpy as np
import pytest

import flatmin as fm


def test_the_truth_of_an_easy_split_lies_within_its_radius():
    instance = fm.families.robust_pca.sample((30, 25), 1, 750, corruption=0.02, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert s.certificate.unique is True
    assert np.linalg.norm(s.matrix - instance.truth) <= s.certificate.radius <= 1e-2 * np.linalg.norm(s.matrix)


@pytest.mark.parametrize("seed", range(8))
def test_integer_splits_lie_within_the_radius_for_their_excess(seed):
    """Radii are of the size of rounding here, so that a rounding error that is not counted is seen."""
    rng = np.random.default_rng(seed)
    X = np.outer(rng.integers(1, 6, 12), rng.integers(1, 6, 10))
    S = np.zeros((12, 10), int)
    S.flat[rng.permutation(120)[:3]] = rng.integers(20, 90, 3)
    problem = fm.Problem(fm.measurements.Identity((12, 10)), (X + S).ravel().astype(float), loss=fm.losses.Absolute())
    s = fm.flat_minimum(problem)
    proof = s.certificate
    assert proof.unique is True
    with mpmath.workdps(40):
        value = mpmath.sqrt(int(np.sum(X**2))) + mpmath.mpf(problem.loss.weight_for((12, 10))) * int(np.abs(S).sum())
        left, right = (mpmath.matrix(F.tolist()) for F in problem.parametrization.pair(s.factors))
        apart = mpmath.mnorm(left * right.T - mpmath.matrix(X.tolist()), "f")
        excess = max(0.0, float(value / mpmath.mpf(proof.value) - 1)) * (1 + 1e-9)
        assert apart <= mpmath.mpf(proof.error_radius(0.0, excess)) < mpmath.mpf(10) ** -9 * value
