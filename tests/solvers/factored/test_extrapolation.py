"""Anderson's extrapolation solves linear fixed-point problems in few steps, and recovers from overshooting."""

import numpy as np

from flatmin.solvers.factored.extrapolation import Extrapolation


def _linear(n=6, seed=0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A, b = Q * np.linspace(0.5, 0.99, n) @ Q.T, rng.standard_normal(n)
    return (lambda x: A @ x + b), np.linalg.solve(np.eye(n) - A, b)


def test_it_needs_about_as_many_steps_as_unknowns():
    image, fixed = _linear()
    extrapolation, x = Extrapolation(6), np.zeros(6)
    for _ in range(12):
        y = image(x)
        x = extrapolation.advance(y - x, y)
    assert np.linalg.norm(x - fixed) < 1e-6 * np.linalg.norm(fixed)
    plain = np.zeros(6)
    for _ in range(12):
        plain = image(plain)
    assert np.linalg.norm(plain - fixed) > 1e-2 * np.linalg.norm(fixed)


def test_the_first_point_is_the_plain_image():
    extrapolation = Extrapolation(3)
    image = np.ones(3)
    assert extrapolation.advance(np.ones(3), image) is image


def test_after_overshooting_it_returns_to_the_best_image_and_pauses():
    extrapolation, best = Extrapolation(2), np.array([1.0, 0.0])
    extrapolation.advance(np.array([0.1, 0.0]), best)
    assert extrapolation.advance(np.array([9.0, 0.0]), np.array([5.0, 0.0])) is best
    later = np.array([7.0, 7.0])
    assert extrapolation.advance(np.array([1.0, 1.0]), later) is later


def test_points_too_large_for_memory_are_not_extrapolated():
    image = np.ones(1)
    assert Extrapolation(10**9).advance(image, image) is image
