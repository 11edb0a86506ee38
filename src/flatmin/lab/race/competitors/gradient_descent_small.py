"""Gradient descent from small weights."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["GradientDescentSmall"]


class GradientDescentSmall(Competitor):
    """Gradient descent on all data from weights of a hundredth of the natural size.

    It is said to fit rank by rank, and so to find a solution of low rank, by the smallness of its start alone.
    """

    name = "gradient-descent-small"
    title = "Gradient descent, small initialization"
    claims = "rank"
    source = "Li, Ma, Zhang 2018; Stöger, Soltanolkotabi 2021"
    size = "small"
