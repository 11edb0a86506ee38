"""Convex problems over factors: a quadratic map for each cone, Newton steps, and how a solve ends."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
