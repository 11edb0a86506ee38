"""Many values of alpha: paths of solutions, and the alpha that predicts best."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
