"""Checks that users can run on their own objects: each returns nothing, or raises with the reason."""

from flatmin.testing.estimators import expected_failed_checks
from flatmin.testing.measurement import check_measurement
from flatmin.testing.parametrization import check_parametrization
from flatmin.testing.solution import check_solution

__all__ = ["check_measurement", "check_parametrization", "check_solution", "expected_failed_checks"]


def __dir__() -> list[str]:
    return __all__
