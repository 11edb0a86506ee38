"""The boundary between failure and success: its posterior, phase maps, estimates with intervals, adaptive sweeps."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__
