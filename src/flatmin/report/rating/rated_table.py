"""RatedTable: predicted values of pairs and recommendations as their report shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.proofs.certificate import Certificate

__all__ = ["HeldOutValues", "RatedTable"]


@dataclass(frozen=True, eq=False)
class HeldOutValues:
    """Values (h,) that were held out, their predictions by the name of the method, and how many values rows have.

    ``counts`` (h,) are the numbers of other values in the row of each pair. Methods are "model", "offsets" and "mean".
    """

    counts: Array
    values: Array
    predictions: Mapping[str, Array]

    def error(self, method: str, chosen: Array) -> float:
        """Return the root mean squared error of a method over the chosen pairs."""
        return float(np.sqrt(np.mean((self.predictions[method] - self.values)[chosen] ** 2)))


@dataclass(frozen=True, eq=False)
class RatedTable:
    """What the report of predicted values shows.

    Attributes
    ----------
    summary : dict
        The fields of ``summary.json``.
    rankings : sequence
        Some rows with their recommended columns and the predicted values, best first.
    held_out : HeldOutValues or None
        The held-out pairs; None for a model that was read from a file.
    certificate : Certificate or None
        The certificate of the fit; None for a model that was read from a file.
    input_name, command : str
        The name of the file, and the command that repeats the work.
    notes : sequence of str
        Sentences about the pairs for the reader.
    """

    summary: Mapping[str, Any]
    rankings: Sequence[tuple[str, Array, Array]]
    held_out: HeldOutValues | None
    certificate: Certificate | None
    input_name: str
    command: str
    notes: Sequence[str] = ()
