"""Trace estimates: coverage up to rounding."""

import pytest

from flatmin.nn import TraceEstimate


@pytest.mark.parametrize(
    ("trace", "covered"), [(1.0, True), (3.0, True), (3 + 1e-12, True), (3.1, False), (0.9, False)]
)
def test_an_interval_covers_its_ends_up_to_rounding(trace, covered):
    assert TraceEstimate(2.0, 0.5, (1.0, 3.0), 10, "hutchinson").covers(trace) is covered


def test_an_exact_estimate_covers_its_value():
    assert TraceEstimate(1e9, 0.0, (1e9, 1e9), 10, "exact").covers(1e9 * (1 + 1e-12))
    assert not TraceEstimate(1e9, 0.0, (1e9, 1e9), 10, "exact").covers(1e9 * (1 + 1e-6))
