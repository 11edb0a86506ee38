"""Certificates and uniqueness of robust PCA."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
