"""Gradient descent from large weights."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["GradientDescentLarge"]


class GradientDescentLarge(Competitor):
    """Gradient descent on all data from weights that are larger than the data ask for.

    Nothing is claimed of it but the loss: it fits without going far. It is the control of all that begin where it does.
    """

    name = "gradient-descent-large"
    title = "Gradient descent, large initialization"
    claims = "the loss, near its start"
    source = "Chizat, Oyallon, Bach 2019, on lazy training"
    size = "large"
