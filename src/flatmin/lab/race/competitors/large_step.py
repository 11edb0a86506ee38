"""Gradient descent at the edge of stability."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["LargeStep"]


class LargeStep(Competitor):
    """Gradient descent on all data with steps beyond the stable ones, of 1 to 16 over the sharpness where it begins.

    A step of more than 2 over the sharpness cannot stay: it leaves for flatter weights, which balances factors.
    """

    name = "large-step"
    title = "Gradient descent, large step"
    claims = "imbalance, and sharpness above 2 over the step"
    source = "Wang, Chen, Zhao, Tao 2021, arXiv 2110.03677"
    steps = (1.0, 16.0)
