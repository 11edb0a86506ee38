"""Wilson intervals, and the posterior of a boundary."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from flatmin.errors import InputError
from flatmin.lab import fit_boundary, wilson
from flatmin.lab.boundary.posterior import Posterior

POINTS = np.linspace(1, 4, 16)


def simulated(rng, centre, width, trials=10):
    return rng.binomial(trials, 1 / (1 + np.exp(-(POINTS - centre) / width)))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 2), (50, 1000)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_inverts_the_score_test(successes, trials, level):
    """The ends are where the score statistic equals the normal quantile."""
    z = norm.ppf((1 + level) / 2)
    share = successes / trials

    def score(p):
        return (share - p) ** 2 - z**2 * p * (1 - p) / trials

    low, high = wilson(successes, trials, level)
    assert low == pytest.approx(0 if successes == 0 else brentq(score, 1e-12, share - 1e-9), abs=1e-9)
    assert high == pytest.approx(1 if successes == trials else brentq(score, share + 1e-9, 1 - 1e-12), abs=1e-9)


def test_wilson_knows_nothing_without_trials_and_refuses_nonsense():
    assert [float(end) for end in wilson(0, 0)] == [0, 1]
    for successes, trials, level in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(InputError):
            wilson(successes, trials, level)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("width", [0.02, 0.1, 0.3])
def test_the_band_covers_the_boundary_as_often_as_it_says(width):
    """Over boundaries that are equally likely, 95 of 100 bands cover; 90 to 99.5 is what 200 draws may show."""
    rng = np.random.default_rng(1)
    covered, errors, halves = [], [], []
    for centre in rng.uniform(1.5, 3.5, 200):
        found = fit_boundary(POINTS, simulated(rng, centre, width), 10)
        covered.append(found.low <= centre <= found.high)
        errors.append(found.value - centre)
        halves.append((found.high - found.low) / 2)
    assert 0.9 <= np.mean(covered) <= 0.995
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(200)
    assert np.std(errors) < np.mean(halves)


def test_a_jump_between_two_points_leaves_the_gap_open():
    successes = np.where(POINTS > 2.1, 10, 0)
    found = fit_boundary(POINTS, successes, 10)
    below, above = POINTS[POINTS < 2.1].max(), POINTS[POINTS > 2.1].min()
    assert below <= found.low < found.value < found.high <= above
    assert found.value == pytest.approx((below + above) / 2, abs=0.02)


def test_success_may_end_at_the_boundary():
    successes = np.where(POINTS < 2.1, 10, 0)
    falling = fit_boundary(POINTS, successes, 10, falling=True)
    rising = fit_boundary(POINTS, 10 - successes, 10)
    assert falling == rising


@pytest.mark.parametrize("share", [0, 10])
def test_a_column_without_a_boundary_says_so(share):
    found = fit_boundary(POINTS, np.full(16, share), 10)
    assert not found.inside
    assert found.value < 1.1 if share else found.value > 3.9


def test_one_point_has_no_boundary():
    with pytest.raises(InputError, match="from 1 different points, expected at least 2"):
        fit_boundary([1, 1], [0, 1], [1, 1])


def test_information_is_greatest_where_the_outcome_is_uncertain():
    successes = np.where(POINTS > 2.1, 5, 0)
    posterior = Posterior(POINTS, successes, np.full(16, 5))
    information = posterior.information(POINTS)
    assert 0 <= information.min() < 0.01 * information.max()
    assert abs(POINTS[np.argmax(information)] - 2.1) < 0.25


def test_information_is_what_a_trial_takes_off_the_uncertainty_on_average():
    """Against its definition: entropy of what is known before, less the mean of that after either outcome."""
    successes, trials = np.array([0, 1, 3]), np.array([3, 3, 3])
    points = np.array([1.0, 2.0, 3.0])

    def known(s, n):
        weights = np.exp(Posterior(points, s, n).likelihood)
        return weights / weights.sum()

    before = known(successes, trials)
    entropy = -np.sum(before * np.log(before))
    for i in range(3):
        one = np.eye(3, dtype=int)[i]
        after = [known(successes + one, trials + one), known(successes, trials + one)]
        # The chance of success from the normalisations: of likelihoods without binomial factors.
        up = np.exp(Posterior(points, successes + one, trials + one).likelihood).sum()
        p = up / np.exp(Posterior(points, successes, trials).likelihood).sum()
        left = sum(q * -np.sum(a * np.log(a)) for q, a in zip((p, 1 - p), after, strict=True))
        expected = Posterior(points, successes, trials).information(points)[i]
        assert expected == pytest.approx(entropy - left, rel=1e-6, abs=1e-9)
