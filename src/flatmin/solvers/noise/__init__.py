"""Noise of unknown level: alpha and rank that follow from it, and refits without penalty."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
