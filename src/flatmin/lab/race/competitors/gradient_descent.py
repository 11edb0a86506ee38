"""Gradient descent from weights of several sizes, with large steps, and on batches."""

from flatmin.lab.race.competitor import Competitor

__all__ = ["COMPETITORS"]

LAZY = "Chizat, Oyallon, Bach 2019, on lazy training"

COMPETITORS = [
    # From 1 % of the natural size, gradient descent is said to fit rank by rank and so to find a low rank.
    Competitor(
        name="gradient-descent-small",
        title="Gradient descent, small initialization",
        claims="rank",
        source="Li, Ma, Zhang 2018; Stöger, Soltanolkotabi 2021",
        size="small",
    ),
    # From the natural size, gradient descent stays near its start.
    Competitor(
        name="gradient-descent-medium",
        title="Gradient descent, medium initialization",
        claims="the loss, near its start",
        source=LAZY,
        size="medium",
    ),
    # From weights above the natural size, it fits close to its start: a control for others with this start.
    Competitor(
        name="gradient-descent-large",
        title="Gradient descent, large initialization",
        claims="the loss, near its start",
        source=LAZY,
        size="large",
    ),
    # Steps above 2 over the sharpness are unstable; the weights move to flatter ones, which balances factors.
    Competitor(
        name="large-step",
        title="Gradient descent, large step",
        claims="imbalance, and sharpness above 2 over the step",
        source="Wang, Chen, Zhao, Tao 2021, arXiv 2110.03677",
        steps=(1.0, 16.0),
    ),
    # The noise of batches vanishes together with the loss, so it favours flat weights only weakly.
    Competitor(
        name="sgd",
        title="Stochastic gradient descent, batch one",
        claims="flatness, weakly",
        source="Keskar et al. 2017; Pesme, Pillaud-Vivien, Flammarion 2021",
        batch=1,
    ),
    Competitor(
        name="minibatch",
        title="Stochastic gradient descent, batch 16",
        claims="flatness, weakly",
        source="Keskar et al. 2017",
        batch=16,
    ),
]
