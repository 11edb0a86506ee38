"""Stochastic gradient descent, sixteen samples a step."""

from __future__ import annotations

from flatmin.lab.race.competitor import Competitor

__all__ = ["Minibatch"]


class Minibatch(Competitor):
    """Gradient descent on sixteen samples a step.

    As with one sample, and less noise.
    """

    name = "minibatch"
    title = "Stochastic gradient descent, batch 16"
    claims = "flatness, weakly"
    source = "Keskar et al. 2017"
    batch = 16
