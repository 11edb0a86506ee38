"""Robust PCA of an array as a function."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.losses import Absolute
from flatmin.measurements import Identity, Mask, Measurement
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.choose import flat_minimum

__all__ = ["robust_pca"]


def robust_pca(
    Y: Any,
    mask: Any = None,
    weight: float | None = None,
    *,
    tau: float | None = None,
    alpha: float | str = 0.0,
    tol: float = 1e-8,
    max_rank: int | None = None,
    max_iter: int | None = None,
    time_limit: float | None = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Solution:
    """Split a matrix into a flat, hence low-rank, part and gross errors in some of its cells, certified.

    The low-rank part minimises ``‖X‖_* + weight · ‖Y − X‖_1`` over the observed cells or, with ``tau``, ``‖X‖_*``
    subject to ``‖Y − X‖_1 ≤ tau``. With ``alpha`` the data may have dense noise in addition to the errors.

    Parameters
    ----------
    Y : array_like, shape (d1, d2)
        The data. Cells with NaN are missing even if the mask is True there.
    mask : array_like of bool, shape (d1, d2), optional
        True where a cell is observed.
    weight : float, optional
        The weight of the errors, by default ``1 / √max(d1, d2)``.
    tau : float, optional
        The size ``‖S‖_1`` of the errors if it is known; given in place of ``weight``.
    alpha : float or "auto"
        0 is for data without dense noise, a positive value for noise of known level, "auto" for noise of unknown level.
        A positive value minimises ``(1/m) ‖Y − X − S‖² + 4 alpha (‖X‖_* + weight · ‖S‖_1)`` over X and S.
    tol, max_rank, time_limit, seed
        As in `flat_minimum`; tol is the target for the relative duality gap.
    max_iter : int, optional
        The largest number of rounds.
    callback : callable, optional
        Called every few rounds with a dict of iteration, seconds, residual, gap and rank.

    Returns
    -------
    Solution
        Its parts are ``low_rank`` and ``sparse``, both (d1, d2). Their sum is Y in observed cells, up to rounding or,
        with alpha, noise; ``sparse`` is zero in missing cells. Rows and columns without observed cells are
        ``undetermined`` and zero.

    Raises
    ------
    InputError
        If Y is not a matrix of numbers, holds infinity, or has no observed cell, if the mask does not fit Y, or if an
        argument is out of range.

    References
    ----------
    Candès, Li, Ma, Wright, "Robust principal component analysis?", Journal of the ACM 58(3), 2011.

    Examples
    --------
    >>> import flatmin as fm
    >>> Y = np.outer(np.arange(1.0, 9.0), np.ones(8))
    >>> Y[2, 3] += 40
    >>> s = fm.robust_pca(Y)
    >>> s.status.name, s.rank, float(s.sparse[2, 3].round(6)), int(np.count_nonzero(s.sparse))
    ('unique_flat_minimum', 1, 40.0, 1)
    """
    data, observed = _observed(Y, mask)
    cells: Measurement = Identity(data.shape) if observed.all() else Mask(observed)
    data = data[observed]  # without missing cells, which would stay in memory
    problem = Problem(cells, data, loss=Absolute(weight, tau))
    return flat_minimum(
        problem,
        alpha=alpha,
        tol=tol,
        max_rank=max_rank,
        max_iter=max_iter,
        time_limit=time_limit,
        seed=seed,
        callback=callback,
    )


def _observed(Y: Any, mask: Any) -> tuple[Array, Array]:
    """Return the data, zero where missing, and the mask of observed cells."""
    try:
        array = np.asarray(Y)
    except ValueError as error:
        raise InputError("Y is ragged, expected a rectangular array of numbers") from error
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    data = numeric(np.where(missing, 0.0, array) if missing.any() else array, "Y")
    if data.ndim != 2 or data.size == 0:
        raise InputError(f"Y has shape {data.shape}, expected a matrix with at least one row and one column")
    observed = ~missing
    if mask is not None:
        try:
            marks = np.asarray(mask)
        except ValueError as error:
            raise InputError("the mask is ragged, expected a rectangular array") from error
        if marks.shape != data.shape:
            raise InputError(f"the mask has shape {marks.shape}, expected {data.shape} as Y")
        if marks.dtype.kind not in "biuf" or not np.isin(marks, (0, 1)).all():
            raise InputError("the mask holds other values than True and False, expected True where Y is observed")
        observed &= marks.astype(bool)
    if not observed.any():
        raise InputError("Y has no observed cell, expected at least one that is neither NaN nor masked out")
    return data, observed
