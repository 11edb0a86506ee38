"""Many strengths of the penalty: paths of them, and the one that predicts best."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
