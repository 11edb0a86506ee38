"""Certificates and uniqueness of robust PCA."""

__all__: list[str] = []
__dir__ = __all__.copy
