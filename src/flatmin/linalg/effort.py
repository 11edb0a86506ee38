"""Effort: the products that an iteration may take before a decomposition of the whole matrix is cheaper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["LARGEST_DENSE", "Effort", "ExhaustedError"]

#: Largest number of entries of a matrix that is decomposed whole.
LARGEST_DENSE = 16_000_000
#: Products with one vector, per row of a dense matrix, that take as long as all of its eigenpairs.
EIGENPAIRS = 0.25
#: The same for all of its singular triplets, per row or column of the smaller side.
TRIPLETS = 0.3
#: Number of columns that make a product twice as long as one with a single vector.
COLUMNS = 8
#: Time of a stored entry of a sparse matrix in a product, in units of that of an entry of a dense one.
SPARSE = 5.0


class ExhaustedError(Exception):
    """Raised by `Effort.spend` if the decomposition of the whole matrix would have been cheaper."""


@dataclass
class Effort:
    """A count of products with a matrix, in units of a product with one vector; ``left`` may be infinite."""

    left: float = math.inf

    @classmethod
    def before_eigenpairs(cls, S: Any) -> Effort:
        """Return the effort that all eigenpairs of a Hermitian matrix take, infinite for one that is not formed."""
        return cls(EIGENPAIRS * _products(S))

    @classmethod
    def before_triplets(cls, S: Any) -> Effort:
        """Return the effort that all singular triplets of a matrix take, infinite for one that is not formed."""
        return cls(TRIPLETS * _products(S))

    def afford(self, products: float) -> None:
        """Raise `ExhaustedError` if fewer products are left than an iteration is expected to take."""
        if self.left < products:
            raise ExhaustedError

    def spend(self, columns: int = 1) -> None:
        """Count a product with so many columns, or raise `ExhaustedError` if none is left."""
        self.left -= 1 + (columns - 1) / COLUMNS
        if self.left < 0:
            raise ExhaustedError


def _products(S: Any) -> float:
    """Return the smaller side of a matrix, larger for a sparse one, whose products take less time than dense ones."""
    sparse = hasattr(S, "tocsr")
    if not (sparse or isinstance(S, np.ndarray)) or math.prod(S.shape) > LARGEST_DENSE:
        return math.inf
    faster = float(math.prod(S.shape) / (SPARSE * max(1, S.nnz))) if sparse else 1.0
    return float(min(S.shape) * max(1.0, faster))
