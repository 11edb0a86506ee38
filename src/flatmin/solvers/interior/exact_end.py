"""Exact fits near an interior point: candidates for the rank, and multipliers that make the fits optimal."""

from collections.abc import Iterator

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.factored.refine import ARTEFACT_RATIO, correct_dual, fit_exactly
from flatmin.solvers.interior.interior_point import InteriorPoint

__all__ = ["ExactEnd"]

#: Shares of the largest singular value above which singular values count, if complementarity decides wrongly.
SHARES = (1e-8, 1e-6, 1e-4)
#: Relative gap at which an exact fit ends the search.
REFINED_GAP = 1e-11
#: Relative misfit up to which fits are compared by their norms.
FITTED = 1e-12


class ExactEnd:
    """The best exact fit so far, and the search for better ones near an interior point.

    The multiplier of an interior point is strictly feasible and stays the lower bound where no better one is found.
    ``point`` holds ``U, s, V`` of the fit, and ``misfit`` its relative residual in the units of the data.
    """

    def __init__(self, model: QuadraticMap, b: Array, outcome: Outcome, limits: Limits) -> None:
        self.model, self.b, self.outcome, self.limits = model, b, outcome, limits
        self.point: tuple[Array, Array, Array] | None = None
        self.misfit, self.asked = np.inf, 1.0

    @property
    def gap(self) -> float:
        """The relative gap between the best fit and the best multiplier."""
        return np.inf if self.point is None else self.outcome.gap(float(self.point[1].sum()))

    @property
    def is_exact(self) -> bool:
        """Whether the gap and the misfit are negligible."""
        return abs(self.gap) <= REFINED_GAP and self.misfit <= FITTED

    def early(self, path: InteriorPoint) -> bool:
        """Try the rank after which singular values drop sharply, once at each tenfold gain; return whether it ends.

        This finds a truth that is the flat minimum while the iterate is far from it.
        """
        if path.gap > self.asked / 10 or path.gap > ARTEFACT_RATIO:
            return False
        self.asked = path.gap
        U, s, V = self.model.lifted_canonical(path.X)
        ratios = s[1:] / s[:-1]
        rank = 1 + int(np.argmin(ratios)) if len(ratios) else 1
        if len(ratios) and ratios[rank - 1] < ARTEFACT_RATIO and self.model.freedom(rank) < len(self.b):
            self._try(rank, (U, s, V), path.y)
        return self.is_exact

    def late(self, path: InteriorPoint) -> None:
        """Try all candidates for the rank until one fits with a negligible gap."""
        self.outcome.improve_bound(self.b, path.y, 1.0)
        point = self.model.lifted_canonical(path.X)
        for rank in self._ranks(point[1], path):
            self._try(rank, point, path.y)
            if self.is_exact:
                break

    def _ranks(self, s: Array, path: InteriorPoint) -> Iterator[int]:
        """Yield candidates: first the number of singular values that are larger than the complementary dual ones."""
        slack = np.sort(np.linalg.eigvalsh(path.D).ravel())[: len(s)] * 2
        size = s / max(float(s[0]), 1e-300)
        counts = [int(np.count_nonzero(size > slack)), *(int(np.count_nonzero(size > share)) for share in SHARES)]
        yield from (count for count in dict.fromkeys(counts) if count)

    def _try(self, rank: int, point: tuple[Array, Array, Array], y: Array) -> None:
        """Fit the data exactly near the leading singular triplets, and make the multiplier optimal there."""
        model, b = self.model, self.b
        x = model.stack(*(F[..., :rank] for F in point))
        enough = self.outcome.bound * (1 + self.limits.tol)
        x, misfit = fit_exactly(model, b, x, model.value(x), enough)
        found = model.canonical(x)
        if model.units is not None:
            misfit = max(misfit, model.relative_residual(x, b))
        if misfit <= FITTED and self.point is not None and self.misfit <= FITTED:
            better = float(found[1].sum()) < float(self.point[1].sum())
        else:
            better = misfit < self.misfit
        if better:
            self.point, self.misfit = found, misfit
            self.outcome.improve_bound(b, *correct_dual(model, model.stack(*found), y, self.limits.seed))
