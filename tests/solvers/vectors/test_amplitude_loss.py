"""The single-precision start for coded diffraction: close to the truth, cheap, and safe with odd data."""

import numpy as np
import pytest

from flatmin._core.limits import Clock
from flatmin.measurements import CodedDiffraction
from flatmin.solvers.vectors.amplitude_loss import _downhill, _loss, _Masks, amplitude_start


def instance(*shape, seed=0):
    rng = np.random.default_rng(seed)
    masks = rng.choice([1, -1, 1j, -1j], shape) * rng.choice([np.sqrt(0.5), np.sqrt(3)], shape, p=[0.8, 0.2])
    A = CodedDiffraction(masks)
    s = rng.standard_normal((A.shape[0], 1)) + 1j * rng.standard_normal((A.shape[0], 1))
    return A, s, A.forward_factors(s, s)


@pytest.mark.parametrize("shape", [(8, 200), (6, 20, 15)])
def test_starts_close_to_the_signal(shape):
    A, s, b = instance(*shape)
    u = amplitude_start(A, b, Clock(), 0)
    overlap = abs(np.vdot(u, s)) / np.linalg.norm(u) / np.linalg.norm(s)
    assert u.dtype == complex
    assert 1 - overlap < 1e-6


def test_the_gradient_is_that_of_the_amplitude_loss():
    """In double precision, for the sake of differences."""
    A, _, b = instance(3, 30)
    single, target = _Masks.from_array(A.masks), np.sqrt(b / b.mean()).reshape(3, 30)
    masks = _Masks(single.masks.astype(complex), single.conjugate.astype(complex), single.seen)
    rng = np.random.default_rng(1)
    s, d = (rng.standard_normal(30) + 1j * rng.standard_normal(30) for _ in range(2))
    ends = [_loss(masks, target, masks.waves(s + t * d))[0] for t in (1e-5, -1e-5)]
    gradient = _loss(masks, target, masks.waves(s))[1]
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(np.vdot(gradient, d).real, rel=1e-5)


def test_the_loss_goes_down_and_the_time_limit_is_kept():
    A, _, b = instance(6, 100)
    masks, target = _Masks.from_array(A.masks), np.sqrt(b / b.mean()).astype(np.float32).reshape(6, 100)
    s = masks.leading_signal(target, 0)
    loss = [_loss(masks, target, masks.waves(x))[0] for x in (s, _downhill(masks, target, s, Clock()))]
    assert loss[1] < 1e-6 * loss[0]
    np.testing.assert_array_equal(_downhill(masks, target, s, Clock(time_limit=0)), s)


def test_nothing_is_seen_where_no_intensity_is_positive():
    A, _, b = instance(4, 10)
    assert amplitude_start(A, -b, Clock(), 0).shape == (10, 0)
    b[::3] *= -1
    assert np.isfinite(amplitude_start(A, b, Clock(), 0)).all()
