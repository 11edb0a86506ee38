"""Stochastic gradient descent, one sample a step."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["StochasticGradientDescent"]


class StochasticGradientDescent(Competitor):
    """Gradient descent on one sample a step.

    Its noise vanishes where the loss does, so that on data which can be fitted it has a weak preference only.
    """

    name = "sgd"
    title = "Stochastic gradient descent, batch one"
    claims = "flatness, weakly"
    source = "Keskar et al. 2017; Pesme, Pillaud-Vivien, Flammarion 2021"
    batch = 1
