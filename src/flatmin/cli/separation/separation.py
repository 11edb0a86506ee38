"""Separation: data that a model has separated into a low-rank part and gross errors."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._version import __version__
from flatmin.cli.output import SUMMARY_VERSION
from flatmin.cli.recovery_summary import plain
from flatmin.cli.separation.separable import Separable, SeparableClip, SeparableDocument, SeparableTable
from flatmin.cli.separation.separation_model import DECISIONS, SeparationModel
from flatmin.losses import Absolute
from flatmin.report import SeparatedData

__all__ = ["Separation"]


@dataclass(frozen=True, eq=False)
class Separation:
    """Data (n, d) with their parts.

    Attributes
    ----------
    source : Separable
        The data as they were read.
    model : SeparationModel
        The model that separates them.
    low_rank, sparse, mask : ndarray, shape (n, d)
        The parts, and which cells are gross errors.
    seconds : float
        The time that everything took.
    origin : str or None
        The directory of results whose model was used, None if the model was fitted to these data.
    """

    source: Separable
    model: SeparationModel
    low_rank: Array
    sparse: Array
    mask: Array
    seconds: float
    origin: str | None = None

    def write(self, folder: Path) -> list[str]:
        """Write the parts in the form of the data, and return their names."""
        return self.source.write(folder, self.low_rank, self.sparse, self.mask)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields of ``summary.json``; a field that does not apply is None."""
        fit, X = self.model.estimator, self.source.matrix
        known, wrong = self.source.count(~np.isnan(X)), self.source.count(self.mask)
        noise = fit.noise_
        alpha = float(fit.solution_.settings["alpha"]) if noise is None else noise.alpha
        fields = {
            "command": "separate",
            "model": self.origin,
            "kind": self.source.kind,
            "shape": X.shape,
            "frames": None,
            "columns": None,
            "n_fitted_columns": None,
            "unit": self.source.unit,
            "n_known": known,
            "n_errors": wrong,
            "error_share": wrong / max(1, known),
            "treatment": self.model.treatment,
            "decision": DECISIONS[self.model.treatment],
            "rank": fit.rank_,
            "sigma": 0.0 if alpha == 0 else None if noise is None else noise.sigma,
            "noise": None if noise is None else noise.scalars(),
            "alpha": alpha,
            "weight": Absolute(fit.weight).weight_for((fit.low_rank_.shape[0], fit.n_features_in_)),
            "status": fit.status_.name,
            "converged": self.model.converged,
            "certificate": None if fit.certificate_ is None else fit.certificate_.scalars(),
            "scales": self.model.scales if isinstance(self.source, SeparableTable) else 1.0,
            "seconds": self.seconds,
            "seed": fit.random_state,
            "version": __version__,
            "format_version": SUMMARY_VERSION,
        }
        return {name: plain(value) for name, value in (fields | dict(self.source.facts())).items()}

    def notes(self) -> list[str]:
        """Return sentences about the data and the way they were separated."""
        out = [*self.source.notes]
        if self.origin is None:
            out.append(DECISIONS[self.model.treatment])
        missing = int(np.isnan(self.source.matrix).sum())
        if missing:
            are = "1 missing cell is" if missing == 1 else f"{missing} missing cells are"
            out.append(f"{are} filled in the low-rank part; missing cells are never errors")
        return out

    def reported(self, name: str, command: str) -> SeparatedData:
        """Return the data for their report."""
        source, X = self.source, self.source.matrix
        scales, centre = self.model.scales, np.zeros(X.shape[1])
        names = labels = picture = frames = None
        if isinstance(source, SeparableTable):
            names, labels = [column.name for column in source.table.fitted], source.table.labels
            centre = np.asarray(self.model.estimator.mean_) * scales
        elif isinstance(source, SeparableClip):
            labels, frames = source.clip.names, source.clip.frames.shape
        elif isinstance(source, SeparableDocument):
            names, labels = source.document.column_labels, source.document.row_labels
            picture = source.document.picture if source.kind == "image" else None
        return SeparatedData(
            data=X,
            low_rank=self.low_rank,
            sparse=self.sparse,
            mask=self.mask,
            centre=centre,
            scales=scales,
            summary=self.summary,
            certificate=self.model.estimator.certificate_,
            input_name=name,
            command=command,
            names=names,
            labels=labels,
            picture=picture,
            frames=frames,
            notes=self.notes(),
        )
