"""Scaled gradients are for products of two factors."""

from tests.lab.race.competitors.steps import KNOWN
from tests.lab.race.small_tasks import network, task


def test_scaled_gradient_is_for_products_of_two_factors():
    assert "not a product" in KNOWN["scaled-gradient"].objection(network())
    assert KNOWN["scaled-gradient"].objection(task()) is None
