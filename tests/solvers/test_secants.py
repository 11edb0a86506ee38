"""Secants: guesses of a fixed point from known points of a concave function."""

import numpy as np
import pytest
from scipy.optimize import brentq

from flatmin.solvers.secants import next_guess

VALUES = np.array([3.0, 2.0, 1.0, 0.5, 0.2, 0.1])


def rho(u):
    """The squared residual of a penalised fit to a matrix with singular values `VALUES` and some noise."""
    return 0.5 + float(np.minimum(VALUES**2, u).sum())


def fixed_point(threshold):
    return brentq(lambda u: threshold**2 * rho(u) - u, 1e-6, 20)


def test_guesses_descend_to_the_fixed_point_and_do_not_overshoot():
    threshold, u, known = 0.4, 8.0, []
    for _ in range(8):
        known.append((u, rho(u)))
        following = next_guess(threshold, known)
        assert fixed_point(threshold) <= following * (1 + 1e-12)
        assert following <= u
        u = following
    assert u == pytest.approx(fixed_point(threshold), rel=1e-3)


def test_a_guess_for_another_threshold_uses_the_nearest_points():
    """The last two points lie on another linear piece of the function than the fixed point."""
    known = [(u, rho(u)) for u in (6.0, 0.9, 0.6, 0.02, 0.015)]
    assert next_guess(0.43, known) == pytest.approx(fixed_point(0.43), rel=1e-9)


def test_the_latest_of_two_values_at_one_point_counts():
    assert next_guess(0.5, [(2.0, 9.0), (4.0, 6.0), (2.0, 5.0)]) == pytest.approx(8 / 7)


def test_a_single_point_leads_to_the_fixed_point_iteration():
    assert next_guess(0.5, [(4.0, 6.0)]) == 1.5
