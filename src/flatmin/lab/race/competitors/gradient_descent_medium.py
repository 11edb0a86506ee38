"""Gradient descent from medium weights."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["GradientDescentMedium"]


class GradientDescentMedium(Competitor):
    """Gradient descent on all data from weights of the size that the data ask for.

    Nothing is claimed of it but the loss: it stays near where it began.
    """

    name = "gradient-descent-medium"
    title = "Gradient descent, medium initialization"
    claims = "the loss, near its start"
    source = "Chizat, Oyallon, Bach 2019, on lazy training"
    size = "medium"
