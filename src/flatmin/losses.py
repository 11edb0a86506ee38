"""How misfit is counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin.metric import Array

__all__ = ["Squared"]


@dataclass(frozen=True)
class Squared:
    """The mean squared residual ``(1/m) ‖A(X) − b‖²``."""

    def value(self, residual: Array) -> float:
        """Return the loss of a residual of shape (m,)."""
        return float(residual @ residual) / max(1, np.size(residual))
