"""Gradient descent with short steps."""

from flatmin.lab.race.competitor import Competitor

__all__ = ["SHORT_STEPS"]

SHORT_STEPS = Competitor(
    name="short-steps", title="Short steps", claims="nothing", source="the tests of flatmin", steps=(0.01, 0.1)
)
