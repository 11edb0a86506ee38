"""Anderson's extrapolation of slow fixed-point iterations."""

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["Extrapolation"]

#: Largest number of earlier steps that an extrapolation combines.
MAX_STEPS = 8
#: Largest number of bytes of the earlier steps that are kept.
MAX_BYTES = 5e8
#: A move has overshot if it is longer than the shortest move so far by more than this factor. The iteration then
#: returns to the image at the shortest move.
OVERSHOT_RATIO = 2.0
#: Number of steps without extrapolation after a move has overshot.
PAUSE_STEPS = 25
#: Number added to the diagonal of the Gram matrix of the least-squares problem, as a share of the matrix's trace.
RIDGE = 1e-10


class Extrapolation:
    """The combination of the images of earlier points that would move least if the map were linear.

    ``size`` is the number of elements of a point, ``most`` the largest number of earlier steps, and ``overshot`` the
    ratio `OVERSHOT_RATIO`. Walker, Ni, "Anderson acceleration for fixed-point iterations", SIAM Journal on Numerical
    Analysis 49(4), 2011.
    """

    def __init__(self, size: int, most: int = MAX_STEPS, overshot: float = OVERSHOT_RATIO) -> None:
        self._overshot = overshot
        self._most = min(most, int(MAX_BYTES / (16 * size)))
        self._pause = 0
        self.forget()

    def forget(self) -> None:
        """Clear the memory, because the map has changed."""
        self._changes: list[tuple[Array, Array]] = []
        self._gram = np.zeros((0, 0))
        self._last: tuple[Array, Array] | None = None
        self._least = np.inf
        self._plain: Array | None = None

    def advance(self, move: Array, image: Array) -> Array:
        """Return the next point, from the image of the present one and its move ``image − point``."""
        size = float(np.linalg.norm(move))
        self._pause -= 1
        if self._most < 2 or self._pause > 0:
            return image
        if self._plain is not None and size > self._overshot * self._least:
            plain = self._plain
            self.forget()
            self._pause = PAUSE_STEPS
            return plain
        if self._last is not None:
            self._remember(move - self._last[0], image - self._last[1])
        self._last = move, image
        if size <= self._least:
            self._least, self._plain = size, image
        if not self._changes:
            return image
        ridge = RIDGE * float(np.trace(self._gram)) + np.finfo(float).tiny
        along = [float(np.vdot(change, move)) for change, _ in self._changes]
        ahead = image.copy()
        shares = np.linalg.solve(self._gram + ridge * np.eye(len(along)), along)
        for share, (_, moved) in zip(shares, self._changes, strict=True):
            ahead -= share * moved
        return ahead

    def _remember(self, change: Array, moved: Array) -> None:
        self._changes = [*self._changes, (change, moved)][-self._most :]
        n = len(self._changes)
        gram = np.zeros((n, n))
        gram[:-1, :-1] = self._gram[len(self._gram) - n + 1 :, len(self._gram) - n + 1 :]
        gram[-1] = gram[:, -1] = [float(np.vdot(earlier, change)) for earlier, _ in self._changes]
        self._gram = gram
