"""The convex solver of flatmin with a tighter target."""

from dataclasses import dataclass, replace

from flatmin.solvers.choose import find

__all__ = ["TIGHT", "Tight"]


@dataclass(frozen=True)
class Tight:
    """The convex solver with a hundredth of the tolerance."""

    name: str = "tight"

    def applies_to(self, task):
        """Return whether the convex solver solves the task."""
        return find("convex").applies_to(task)

    def solve(self, task):
        """Return the solution of the task."""
        return find("convex").solve(replace(task, limits=replace(task.limits, tol=task.limits.tol / 100)))


TIGHT = Tight()
