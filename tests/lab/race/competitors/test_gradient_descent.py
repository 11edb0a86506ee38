"""Gradient descent from weights of several sizes."""

import pytest

from tests.lab.race.competitors.steps import raced
from tests.lab.race.small_tasks import task


@pytest.mark.slow
def test_small_weights_end_flatter_than_medium_ones_and_those_than_large_ones():
    gaps = [
        raced(f"gradient-descent-{size}", task(), 1500).row["flatness_gap"] for size in ("small", "medium", "large")
    ]
    assert gaps[0] < 0.1 < gaps[1] < gaps[2]
