"""Positive semidefinite matrices measured by vectors: every fit is flat, and uniqueness is what takes work."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
