"""The trace as a penalty ends at flat weights."""

import pytest

from tests.lab.race.competitors.steps import raced
from tests.lab.race.small_tasks import task


@pytest.mark.slow
def test_penalties_end_flat_and_plain_training_does_not():
    flat_ones = {name: raced(name, task(), 6000, step=2.0).row for name in ("trace-penalty-decaying", "trace-penalty")}
    plain = raced("gradient-descent-large", task(), 2000, step=0.5).row
    assert flat_ones["trace-penalty-decaying"]["flatness_gap"] < 0.01
    assert flat_ones["trace-penalty"]["flatness_gap"] < 0.3
    assert plain["flatness_gap"] > 1
    # A constant penalty is a compromise: it never fits exactly.
    assert flat_ones["trace-penalty"]["loss"] > 1e-3 * task().zero_loss
