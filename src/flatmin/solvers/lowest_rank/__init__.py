"""Matrices of the lowest rank that fits, by reweighting; they are not flat."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
