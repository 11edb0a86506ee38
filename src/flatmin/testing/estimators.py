"""Which of scikit-learn's checks an estimator fails, and why it must."""

from __future__ import annotations

from inspect import signature
from typing import Any

__all__ = ["expected_failed_checks"]

#: A weight says how precise a sample is; repeating it says that there is more evidence about the level of noise.
_EVIDENCE = (
    "alpha='auto' reads the level of noise from the number of samples, and a sample of weight two is one sample, not "
    "two; with a number for alpha the check passes"
)
#: The check's table has 9 samples of 15 features on a side, whose whitened vectors are orthonormal.
_AMBIGUOUS = (
    "with fewer samples than features flat minima need not be unique (certificate_.unique is False), and weights and "
    "repetitions may end at different ones; with metric_power=0 the check passes"
)


def expected_failed_checks(estimator: Any) -> dict[str, str]:
    """Return the names of scikit-learn's checks that an estimator must fail, each with its reason.

    For ``sklearn.utils.estimator_checks.parametrize_with_checks`` and ``check_estimator``.

    Parameters
    ----------
    estimator : estimator
        An estimator of flatmin.

    Returns
    -------
    dict of str to str
        Empty for estimators that pass all of them.

    Examples
    --------
    >>> import flatmin as fm
    >>> expected_failed_checks(fm.TraceRegressor(0.1))
    {}
    """
    settings: dict[str, Any] = estimator.get_params()
    failed: dict[str, str] = {}
    if "sample_weight" not in signature(estimator.fit).parameters:
        return failed
    of_vectors = not settings.get("fit_linear", True) and settings.get("metric_power") == 1
    if settings.get("alpha") == "auto" or of_vectors:
        reason = _EVIDENCE if settings.get("alpha") == "auto" else _AMBIGUOUS
        failed["check_sample_weight_equivalence_on_dense_data"] = reason
    return failed
