"""Gradient descent from weights of several sizes, with large steps, and on batches. These rows need no code."""

from flatmin.lab.race.competitor import Competitor

__all__ = ["COMPETITORS"]

LAZY = "Chizat, Oyallon, Bach 2019, on lazy training"

COMPETITORS = [
    # From 1 % of the natural size it is said to fit rank by rank, and so to find a solution of low rank.
    Competitor(
        name="gradient-descent-small",
        title="Gradient descent, small initialization",
        claims="rank",
        source="Li, Ma, Zhang 2018; Stöger, Soltanolkotabi 2021",
        size="small",
    ),
    # From the natural size it stays near its start.
    Competitor(
        name="gradient-descent-medium",
        title="Gradient descent, medium initialization",
        claims="the loss, near its start",
        source=LAZY,
        size="medium",
    ),
    # From weights above the natural size it fits without going far. It is the control for all that start there.
    Competitor(
        name="gradient-descent-large",
        title="Gradient descent, large initialization",
        claims="the loss, near its start",
        source=LAZY,
        size="large",
    ),
    # A step above 2 over the sharpness is not stable. It leaves for flatter weights, which balances factors.
    Competitor(
        name="large-step",
        title="Gradient descent, large step",
        claims="imbalance, and sharpness above 2 over the step",
        source="Wang, Chen, Zhao, Tao 2021, arXiv 2110.03677",
        steps=(1.0, 16.0),
    ),
    # Its noise vanishes together with the loss, so on data that can be fitted it prefers flat weights only weakly.
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
