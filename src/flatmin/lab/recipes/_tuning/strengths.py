"""Strengths that training methods try, claims about ratios of their errors, and figures of the errors."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence

__all__ = ["DECAYS", "REGRESSION", "claim_of_ratio_of_errors", "errors_display", "tried"]

#: For a number of strengths to try, which of the seven strengths these are.
CHOICES = {7: tuple(range(7)), 3: (1, 3, 5), 2: (2, 4)}
DECAYS = np.geomspace(0.003, 3, 7)
#: The strengths of each method for regression by quadratic networks.
REGRESSION: dict[str, Array] = {
    "plain": np.geomspace(0.01, 10, 7),
    "weight decay": DECAYS,
    "decoupled decay": np.geomspace(0.03, 30, 7),
    "trace penalty": np.geomspace(3e-5, 3e-2, 7),
    "SAM": np.geomspace(0.003, 3, 7),
    "label noise": np.geomspace(0.03, 30, 7),
    "standardized + decay": DECAYS,
    "standardized + trace": np.geomspace(3e-5, 3e-2, 7),
    "whitened + decay": DECAYS,
}


def tried(strengths: Array, count: int) -> Array:
    """Return some of seven strengths, spread evenly.

    Examples
    --------
    >>> tried(np.arange(7), 3).tolist()
    [1, 3, 5]
    """
    return strengths[list(CHOICES[count])]


def claim_of_ratio_of_errors(text: str, first: Evidence, second: Evidence, **limit: float) -> Claim:
    """Return a claim about the mean, over the same draws, of the error of one method divided by that of another."""
    top, bottom = first.values("error"), second.values("error")
    return Claim.from_mean(text, top / bottom, **limit) if len(top) == len(bottom) else Claim.open(text, **limit)


def errors_display(evidence: Evidence, by: str | tuple[str, ...], label: str, *, log: bool = False) -> Display:
    """Return the test errors of all methods with their intervals."""
    title = "Test errors at equal tuning budget"
    return CurvesDisplay.from_evidence(
        evidence, "errors", title, x="method", y="error", by=by, y_label=label, y_log=log, wide=True
    )
