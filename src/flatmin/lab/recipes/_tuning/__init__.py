"""Training methods compared at equal tuning budget, as recipes about networks need them."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
