"""Pursuit: the split of a matrix Y into low rank X, gross errors S and noise by the alternating direction method.

It minimises ``‖X‖_* + weight · ‖S‖_1 + ‖Y − X − S‖² / 2μ``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.block_krylov import block_triplets
from flatmin.losses import clip_level
from flatmin.solvers.factored.extrapolation import Extrapolation
from flatmin.solvers.robust.exact_split import Attempt, exact_split

__all__ = ["Corrupted", "Pursuit", "PursuitSchedule", "pursue", "shortcut"]

Triplets = tuple[Array, Array, Array]


@dataclass(frozen=True)
class PursuitSchedule:
    """Settings of the rounds: how rho changes, when they are extrapolated, and when they end."""

    first_rho: float = 1.25  #: First rho, in units of one over the norm of the data.
    min_rho: float = 8.0  #: Smallest rho at which a change aims, in units of one over the norm of the data.
    #: Smallest rho at which a change aims, in units of one over the median singular value of X.
    min_rho_of_values: float = 0.3
    early_rounds: int = 10  #: Number of early rounds, each of which may change rho.
    growth: float = 1.4  #: Largest factor of rho in an early round.
    adapt_every: int = 20  #: Number of later rounds between two changes of rho.
    change: float = 2.0  #: Factor of a later change of rho; rho stays if the wanted change is smaller.
    #: Number of spare right singular vectors in the subspace, in addition to those in use, so that new ones can appear.
    spare: int = 10
    probes: int = 2  #: Number of random directions added to the subspace in every round.
    plain_rounds: int = 30  #: Number of rounds before extrapolation may begin.
    #: A round is slow, and is extrapolated, if it moves by more than this share of the move ``early_rounds`` rounds
    #: before.
    slow: float = 0.1
    check_every: int = 5  #: Number of rounds between two computations of the gap.
    fine_gap: float = 1e-12  #: Once the tolerance is met, rounds continue until the gap is at most this.
    extra_rounds: float = 1.5  #: If rounds are slow, the number that met the tolerance is multiplied by this.
    rounding_move: float = 1e-14  #: Relative move of a round below which the move is only rounding errors.
    power_steps: int = 20  #: Number of power steps that find a subspace.
    #: Relative accuracy of singular vectors from a block Krylov method. A confirmed norm has the square of this
    #: accuracy.
    accuracy: float = 1e-5
    #: Largest shorter side of a matrix whose singular vectors come from a full decomposition. Near the threshold of
    #: recovery, singular values lie so close together that a Krylov method misses some of them.
    decomposed: int = 3000
    rounding: float = 1e-9  #: Errors below this share of the largest one count as rounding errors.
    feasible: float = 0.98  #: Estimated norm below which a dual matrix is certainly feasible.
    #: A singular value below this share of the previous one is dropped, with all smaller ones, if the objective then
    #: hardly rises.
    negligible: float = 1e-3


SCHEDULE = PursuitSchedule()


@dataclass(frozen=True, eq=False)
class Corrupted:
    """A matrix with gross errors, zero where missing, and the weights of errors and noise.

    ``seen`` is None if all cells are observed. Errors have the weight ``weight``; if that is None, ``‖S‖_1`` is at most
    ``tau`` instead. Dense noise N costs ``‖N‖² / 2μ`` with μ = ``noise``, which is 0 for data without noise.
    """

    Y: Array
    seen: Array | None
    weight: float | None
    tau: float | None = None
    noise: float = 0.0

    def visible(self, M: Array) -> Array:
        """Set the missing cells of a matrix to zero, in place, and return it."""
        return M if self.seen is None else np.multiply(M, self.seen, out=M)

    def clip(self, state: Array, rho: float, guess: float) -> tuple[Array, float]:
        """Return the dual matrix W of a state ``W + ρ(S + μW)``, and the level at which it was clipped."""
        share = 1 + rho * self.noise
        if self.noise:
            state = state / share
        level = self.weight
        if level is None:
            assert self.tau is not None
            level = clip_level(self.visible(np.abs(state)), rho * self.tau / share, guess)
        return self.visible(np.clip(state, -level, level)), level

    def trivial(self) -> Array:
        """Return the dual matrix that proves X = 0 optimal if its norm is at most one."""
        assert self.weight is not None
        return np.clip(self.Y / self.noise, -self.weight, self.weight) if self.noise else self.weight * np.sign(self.Y)

    def cost(self, triplets: Triplets) -> float:
        """Return the objective of ``X = U s Vᵀ`` with the best errors for it.

        With tau and without noise, the excess of ``‖S‖_1`` over tau costs two per unit. Moving the excess from S to X
        would raise the nuclear norm by at most one per unit, so an infeasible split is never the best.
        """
        U, s, V = triplets
        left = self.visible(self.Y - (U * s) @ V.T)
        if self.noise:
            return float(s.sum()) + self._cost_of_misfit(left)
        size = float(np.abs(left).sum())
        return float(s.sum()) + (2 * max(0.0, size - self.tau) if self.tau is not None else (self.weight or 0.0) * size)

    def bound(self, W: Array, level: float, norm: float) -> float:
        """Return the lower bound that a dual matrix W proves; its entries are at most ``level`` in size."""
        allowance, scale = 0.0 if self.tau is None else self.tau * level, 1 / max(1.0, norm)
        size = float(np.vdot(W, W)) if self.noise else 0.0
        return scale * (float(np.vdot(W, self.Y)) - allowance) - scale**2 * self.noise / 2 * size

    def _cost_of_misfit(self, left: Array) -> float:
        """Return the least cost of errors and noise that add up to a residual."""
        sizes = np.abs(left)
        level = self.weight * self.noise if self.weight is not None else clip_level(sizes, self.tau or 0.0)
        dense = np.minimum(sizes, level)
        gross = 0.0 if self.weight is None else self.weight * float((sizes - dense).sum())
        return gross + float(np.vdot(dense, dense)) / (2 * self.noise)


@dataclass(frozen=True, eq=False)
class Pursuit:
    """The result of a pursuit: the singular triplets ``U, s, V`` of the best X, and the best dual matrix W.

    ``converged`` says whether their estimated gap is within the tolerance. The history has one entry for each
    computation of the gap; its ``residual`` is the relative move of a round.
    """

    triplets: Triplets
    W: Array
    converged: bool
    history: dict[str, list[float]]


def pursue(
    data: Corrupted,
    clock: Clock,
    tol: float,
    *,
    start: tuple[Array, Array] | None = None,
    attempt: Attempt | None = None,
    most: float = np.inf,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Pursuit:
    """Split a matrix by the alternating direction method of multipliers, with extrapolation of slow rounds.

    With the parameter ρ and the state ``W + ρS`` a round reads

        W = clip(state),   X = shrink(Y + (2W − state)/ρ),   state ← ρ(Y − X) + W,

    where ``clip`` cuts entries to ±weight, and to zero in missing cells; with tau, it cuts at the level for which the
    errors satisfy ``‖S‖_1 = tau``. ``shrink`` reduces singular values by 1/ρ, in a subspace that is kept from round to
    round. The best X and the best W need not come from the same round.

    Entries are of size one at most. ``start`` is a matrix X and a dual matrix; ``attempt`` is the result of
    `exact_split`, which serves as the start and as the first best split. At most ``most`` rounds are computed.
    """
    rounds, best = _Rounds(data, seed), _Best(data, clock, callback)
    if best.zero(rounds):
        return best.pursuit(tol)
    if attempt is not None:
        best.improve(rounds, attempt.triplets, attempt.W)
        U, s, V = attempt.triplets
        start = (U * s) @ V.T, attempt.W
    state = rounds.first(start)
    extrapolation, reached, searched = Extrapolation(data.Y.size), np.inf, False
    sizes: list[float] = []
    while len(sizes) < most and not clock.exhausted:
        image = rounds.step(state)
        move = image - state
        clock.iterations += 1
        sizes.append(float(np.linalg.norm(move)))
        slow = len(sizes) > SCHEDULE.plain_rounds and sizes[-1] > SCHEDULE.slow * sizes[-SCHEDULE.early_rounds]
        if clock.iterations % SCHEDULE.check_every == 0 or len(sizes) == most or clock.exhausted:
            still = sizes[-1] <= SCHEDULE.rounding_move * float(np.linalg.norm(image))
            gap = best.look(rounds, image, sizes[-1])
            reached = min(reached, len(sizes)) if gap <= tol else np.inf
            enough = gap <= SCHEDULE.fine_gap or (slow and len(sizes) >= SCHEDULE.extra_rounds * reached)
            if (still and searched) or (enough and best.confirm(rounds) <= tol):
                break
            searched = still or enough
            if searched:  # the subspace may lack a direction
                rounds.search(image)
        changed = rounds.adapt(image, len(sizes))
        if changed is not None:
            extrapolation.forget()
            state = changed
        else:
            state = extrapolation.advance(move, image) if slow else image
    return best.pursuit(tol)


def shortcut(
    data: Corrupted,
    clock: Clock,
    tol: float,
    *,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> tuple[Pursuit | None, Attempt | None]:
    """Try `exact_split`. Return a pursuit if it converged or a limit was reached, or else the attempt for `pursue`."""
    history: dict[str, list[float]] = {}

    def look(triplets: Triplets, residual: float, gap: float) -> None:
        clock.record(history, callback, residual=residual, gap=min(gap, 1.0), rank=len(triplets[1]))

    assert data.weight is not None
    found = exact_split(data.Y, data.seen, data.weight, clock, tol, seed=seed, look=look)
    if found is None:
        return None, None
    if found.gap <= tol or clock.exhausted:
        return Pursuit(found.triplets, found.W, found.gap <= tol, history), None
    return None, found


class _Rounds:
    """The map from state to state, with rho, the subspace, the level of the clip, and the X of the last round."""

    def __init__(self, data: Corrupted, seed: int) -> None:
        self.data, self._rng = data, np.random.default_rng(seed)
        self._basis = self._directions(min(SCHEDULE.spare, *data.Y.shape))
        self._norm = self.reach(data.Y, 5) or 1.0
        self.rho, self.level = SCHEDULE.first_rho / self._norm, 0.0
        self.triplets: Triplets = _nothing(data.Y.shape)

    def first(self, start: tuple[Array, Array] | None) -> Array:
        """Return the first state, from a given matrix and dual matrix, or else from data scaled to be dual feasible."""
        Y, weight = self.data.Y, self.data.weight
        if start is not None:
            X, W = start
            self.level = float(np.max(np.abs(W)))
            self.rho = self._target(self.data.visible(Y - X)) or self.rho
            for _ in range(SCHEDULE.power_steps):
                self._shrink(X + W / self.rho)
            return np.asarray(W + self.rho * (Y - X))
        return Y / max(self._norm, 0.0 if weight is None else float(np.max(np.abs(Y))) / weight)

    def step(self, state: Array) -> Array:
        """Return the next state."""
        W, Z = self._clipped(state)
        self.triplets = U, s, V = self._shrink(Z)
        image = (U * -s) @ V.T
        image += self.data.Y
        image *= self.rho
        image += W
        return image

    def search(self, state: Array) -> None:
        """Replace the subspace by one that a block Krylov method finds."""
        _, Z = self._clipped(state)
        if 2 * self._basis.shape[1] < min(Z.shape):
            self._basis = self._leading(Z, self._basis.shape[1])[1]

    def norm(self, W: Array) -> float:
        """Return the norm of a matrix, or slightly less for a large one."""
        if 2 * self._basis.shape[1] >= min(W.shape):
            return float(np.linalg.norm(W, 2))
        return float(self._leading(W, 1, SCHEDULE.feasible)[0].max(initial=0.0))

    def _leading(self, Z: Array, count: int, below: float = 0.0) -> tuple[Array, Array]:
        """Return leading singular values and right singular vectors, by a Krylov method for a large matrix."""
        if min(Z.shape) > SCHEDULE.decomposed:
            return block_triplets(Z, count, SCHEDULE.accuracy, int(self._rng.integers(2**31)), below=below)[1:]
        wide, smaller = Z.shape[0] < Z.shape[1], min(Z.shape)
        squares, Q = eigh(Z @ Z.T if wide else Z.T @ Z, subset_by_index=(smaller - count, smaller - 1))
        s = np.sqrt(np.maximum(squares, 0.0))
        return s, np.linalg.qr(Z.T @ Q)[0] if wide else Q

    def _clipped(self, state: Array) -> tuple[Array, Array]:
        """Return the dual matrix W of a state, and the matrix whose singular values the round reduces."""
        W, self.level = self.data.clip(state, self.rho, self.level)
        Z = 2 * W
        Z -= state
        Z /= self.rho
        Z += self.data.Y
        return W, Z

    def adapt(self, image: Array, count: int) -> Array | None:
        """Change rho if that is due; return the state for the new rho, or None if rho stays."""
        if count > SCHEDULE.early_rounds and count % SCHEDULE.adapt_every:
            return None
        W, level = self.data.clip(image, self.rho, self.level)
        target = self._target(self.data.visible((image - W) / self.rho))
        rho = min(self.rho * SCHEDULE.growth, target or np.inf)
        if count > SCHEDULE.early_rounds:
            rho = float(np.clip(target or self.rho, self.rho / SCHEDULE.change, self.rho * SCHEDULE.change))
            if self.rho / SCHEDULE.change < rho < self.rho * SCHEDULE.change:
                return None
        image = W + (rho / self.rho) * (image - W)
        self.rho, self.level = rho, level
        return image

    def reach(self, W: Array, power: int = 1) -> float:
        """Return a lower bound on the norm of a matrix: its norm on the subspace after power steps."""
        if 2 * self._basis.shape[1] >= min(W.shape):
            return float(np.linalg.norm(W, 2))
        basis = self._probed()
        for _ in range(power - 1):
            basis = np.linalg.qr(W.T @ (W @ basis))[0]
        return float(np.linalg.norm(np.linalg.qr(W @ basis)[0].T @ W, 2))

    def _target(self, S: Array) -> float | None:
        """Return the rho at which one round takes a typical error, or a typical singular value, to its dual value."""
        sizes, s = np.abs(S), self.triplets[1]
        sizes = sizes[sizes > SCHEDULE.rounding * float(sizes.max())]
        if not sizes.size:
            return None
        typical = SCHEDULE.min_rho_of_values / float(np.median(s)) if s.size else 0.0
        return max(self.level / float(np.median(sizes)), typical, SCHEDULE.min_rho / self._norm)

    def _shrink(self, Z: Array) -> Triplets:
        """Return the singular triplets of Z with values above 1/ρ, and reduce these values by 1/ρ."""
        smaller = min(Z.shape)
        while True:
            if 2 * self._basis.shape[1] >= smaller:
                U, s, Vt = np.linalg.svd(Z, full_matrices=False)
            else:
                Q = np.linalg.qr(Z @ self._probed())[0]
                inner, s, Vt = np.linalg.svd(Q.T @ Z, full_matrices=False)
                U = Q @ inner
            kept = int(np.count_nonzero(s > 1 / self.rho))
            if kept < len(s) or kept == smaller:
                break
            more = self._directions(min(2 * SCHEDULE.spare + kept // 2, smaller - kept))
            self._basis = np.linalg.qr(np.hstack([Vt.T, more]))[0]
        self._basis = Vt[: kept + SCHEDULE.spare].T
        return U[:, :kept], s[:kept] - 1 / self.rho, Vt[:kept].T

    def _probed(self) -> Array:
        """Return the subspace with random directions, so that every direction can enter it."""
        return np.hstack([self._basis, self._rng.standard_normal((len(self._basis), SCHEDULE.probes))])

    def _directions(self, count: int) -> Array:
        return np.linalg.qr(self._rng.standard_normal((self.data.Y.shape[1], count)))[0]


class _Best:
    """The best matrix and the best dual matrix so far, which need not come from the same round."""

    def __init__(self, data: Corrupted, clock: Clock, callback: Callable[[dict[str, float]], Any] | None) -> None:
        self.data, self._clock, self._callback = data, clock, callback
        self._triplets, self._cost = _nothing(data.Y.shape), np.inf
        self._W, self._level, self._bound = np.zeros_like(data.Y), 0.0, 0.0
        self._history: dict[str, list[float]] = {}

    def zero(self, rounds: _Rounds) -> bool:
        """Return whether X = 0 is certainly optimal, because the dual matrix `Corrupted.trivial` is feasible."""
        self._consider(self._triplets)
        if self.data.weight is None:
            return self._cost == 0
        W = self.data.trivial()
        if rounds.reach(W, SCHEDULE.power_steps) > SCHEDULE.feasible:
            return False
        self._W, self._bound = W, self._cost
        return True

    def improve(self, rounds: _Rounds, triplets: Triplets, W: Array) -> None:
        """Keep a matrix if its objective is better than the best so far, and a dual matrix if its bound is better."""
        self._consider(triplets)
        level = float(max(W.max(), -W.min()))
        norm = max(rounds.norm(W), level / self.data.weight if self.data.weight else 0.0)
        bound = self.data.bound(W, level, norm)
        if bound > self._bound:
            self._bound, self._W, self._level = bound, W, level

    def look(self, rounds: _Rounds, image: Array, size: float) -> float:
        """Return the relative gap after a round, and record it."""
        W, level = self.data.clip(image, rounds.rho, rounds.level)
        bound = self.data.bound(W, level, rounds.reach(W, 2))
        if bound > self._bound:
            self._bound, self._W, self._level = bound, W, level
        self._consider(rounds.triplets)
        moved, rank = size / float(np.linalg.norm(image)), len(rounds.triplets[1])
        self._clock.record(self._history, self._callback, residual=moved, gap=self._gap, rank=rank)
        return self._gap

    def confirm(self, rounds: _Rounds) -> float:
        """Return the gap again, with a better estimate of the norm of the dual matrix."""
        norm = max(rounds.reach(self._W), rounds.norm(self._W))
        self._bound = min(self._bound, self.data.bound(self._W, self._level, norm))
        return self._gap

    def pursuit(self, tol: float) -> Pursuit:
        """Return the best split, without singular values that do not lower the objective."""
        s = self._triplets[1]
        for rank in 1 + np.flatnonzero(s[1:] < SCHEDULE.negligible * s[:-1]):
            U, s, V = self._triplets
            if self._consider((U[:, :rank], s[:rank], V[:, :rank]), slack=1e-2 * max(tol, 1e-12)):
                break
        return Pursuit(self._triplets, self._W, self._gap <= tol, self._history)

    @property
    def _gap(self) -> float:
        return (self._cost - self._bound) / self._cost if self._cost else 0.0

    def _consider(self, triplets: Triplets, slack: float = 0.0) -> bool:
        cost = self.data.cost(triplets)
        better = cost <= self._cost * (1 + slack)
        if better:
            self._cost, self._triplets = cost, triplets
        return better


def _nothing(shape: tuple[int, ...]) -> Triplets:
    return np.zeros((shape[0], 0)), np.zeros(0), np.zeros((shape[1], 0))
