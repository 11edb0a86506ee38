"""Deflation: the trace on a subspace of large eigenvalues, and samples of the trace on its complement."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from flatmin._core.memory import require
from flatmin.nn.estimators.base import PRODUCTS, TraceEstimate, TraceRequest, packed, sphere
from flatmin.nn.estimators.sample import (
    ALL,
    LEFT_OUT,
    Sample,
    Statistics,
    at_a_drop,
    summary,
    swapped,
    variance,
)
from flatmin.nn.estimators.spending import multiplied

__all__ = ["MIN_SAMPLE", "Deflation"]

#: Smallest number of samples from which the standard error can be estimated.
MIN_SAMPLE = 8


class Deflation:
    """Random vectors v_i, their products H v_i, and an orthonormal basis Q of the first ``rank`` products.

    With the projector P onto the orthogonal complement of Q, ``tr H = tr QᵀHQ + tr PHP``. The first term, ``tr QᵀHQ``,
    is computed exactly. The second term, ``tr PHP``, is sampled in two ways: by the vectors that were not used for Q
    (`independent`), and by those that were, each with a basis that leaves out its own product (`leave_one_out`).
    Neither way needs further products with H, because ``H P v = H v - HQ Qᵀv``.
    """

    def __init__(self, request: TraceRequest) -> None:
        self.request, operator = request, request.operator
        self.n = int(operator.shape[0])
        self.V = torch.empty(self.n, 0, dtype=operator.dtype, device=operator.device)
        self.HV = self.Q = self.HQ = self.V
        self.rank = self.n_products = 0
        self.interrupted = False

    def draw(self, count: int) -> None:
        """Draw further vectors and multiply them by H, until there are ``count`` vectors or an interrupt comes."""
        if count > self.V.shape[1]:
            V = sphere(self.request.operator, count - self.V.shape[1], self.request.generator)
            HV = self._product(V)
            self.V, self.HV = torch.cat([self.V, V[:, : HV.shape[1]]], 1), torch.cat([self.HV, HV], 1)
        if self.interrupted and self.V.shape[1] < MIN_SAMPLE:
            raise KeyboardInterrupt

    def _product(self, vectors: Tensor) -> Tensor:
        out = multiplied(self.request.operator, vectors)
        self.n_products += out.shape[1]
        self.interrupted |= out.shape[1] < vectors.shape[1]
        return out

    def deflate(self, rank: int) -> None:
        """Extend Q to a basis of the first ``rank`` products; a linearly dependent product adds no column.

        After an interrupt the basis is that of the products before the first column without a product.
        """
        sizes = torch.linalg.vector_norm(self.HV[:, :rank], dim=0)
        new = self.HV[:, self.rank : rank]
        new, R = torch.linalg.qr(new - self.Q @ (self.Q.mT @ new))
        places = (R.diagonal().abs() > 50 * torch.finfo(new.dtype).eps * sizes.max()).nonzero()[:, 0]
        new = new[:, places]
        new = torch.linalg.qr(new - self.Q @ (self.Q.mT @ new)).Q  # twice, for orthogonality to rounding
        products = self._product(new)
        done = products.shape[1]
        self.rank = rank if done == len(places) else self.rank + int(places[done])
        self.Q, self.HQ = torch.cat([self.Q, new[:, :done]], 1), torch.cat([self.HQ, products], 1)

    def estimate(
        self, method: str, rank_of: Callable[[int], int], least: int, leave_one_out: bool = False
    ) -> TraceEstimate:
        """Multiply vectors by H until the request's target or limit is reached, and return the estimate.

        At least ``least`` vectors are multiplied. Of ``total`` products, ``rank_of(total)`` find Q, and the same number
        are ``H Q``. With ``leave_one_out`` the vectors whose products span Q sample the trace too. After an interrupt
        the estimate uses the products so far; without a basis it is Hutchinson's.
        """

        def draw_up_to(total: int) -> float:
            self.draw(total - rank_of(total))
            if not self.interrupted:
                self.deflate(rank_of(total))
            if leave_one_out and self.rank > MIN_SAMPLE + LEFT_OUT and self._ends_at_a_drop():
                self._shorten(self.rank - LEFT_OUT)
            samples[:] = [self.leave_one_out()] if leave_one_out and self.rank else []
            samples.extend([self.independent()] if self.V.shape[1] > self.rank else [])
            return 0.0 if self.interrupted else statistics(ALL)[1]

        def statistics(rows: Any) -> Statistics:
            freedom = self.request.max_freedom
            return summary(self.inside(rows), *(sample(rows) for sample in samples), freedom=freedom)

        total = self.request.max_products or PRODUCTS
        size = 2.0 * total * self.n * torch.finfo(self.V.dtype).bits / 8
        require(size, f"keeping the vectors of {total} products with {self.n} weights")
        samples: list[Callable[[Any], Sample]] = []
        self.request.spend(draw_up_to, least)
        return packed(method if self.rank else "hutchinson", self.n_products, self.request.blocks, statistics)

    def _ends_at_a_drop(self) -> bool:
        unit = torch.finfo(self.Q.dtype).eps
        if self.Q.shape[1] < self.rank:  # some products are dependent, so that Q holds the whole range of H
            return False
        outside = self.leave_one_out()(ALL)
        core = _small(self.Q.mT @ self.HQ)
        assert outside.squares is not None
        return at_a_drop(outside.squares, torch.linalg.eigvalsh((core + core.mT) / 2), unit)

    def _shorten(self, rank: int) -> None:
        """Leave out the last columns of Q, and their vectors, whose values have decided this."""
        kept = [*range(rank), *range(self.rank, self.V.shape[1])]
        self.V, self.HV = self.V[:, kept], self.HV[:, kept]
        self.rank, self.Q, self.HQ = rank, self.Q[:, :rank], self.HQ[:, :rank]

    def inside(self, rows: Any) -> float:
        """Return the part of ``tr QᵀHQ`` that belongs to the given rows."""
        return _dots(self.Q[rows], self.HQ[rows]).sum().item()

    def independent(self) -> Callable[[Any], Sample]:
        """Return a function of rows that samples their part of ``tr PHP`` with the vectors not used for Q."""
        V, HV = self.V[:, self.rank :], self.HV[:, self.rank :]
        W, room = self.Q.mT @ V, self.n - self.Q.shape[1]
        V, HV = V - self.Q @ W, HV - self.HQ @ W
        scale = _ratio(room, _dots(V, V))

        def sample(rows: Any) -> Sample:
            values = scale * _dots(V[rows], HV[rows])
            inner = self.Q[rows].mT @ HV[rows]
            squares = scale * (_dots(HV[rows], HV[rows]) - _dots(inner, inner))
            swaps = None if rows is ALL else swapped(scale * _small(V[rows].mT @ HV[rows]))
            return Sample(values, variance(values, squares, room, swaps))

        return sample

    def leave_one_out(self) -> Callable[[Any], Sample]:
        """Return a function of rows that samples their part of ``tr H - tr QᵀHQ`` with the vectors used for Q.

        The sample x_i uses v_i and the basis without the product of v_i. The sample x_i is unbiased for any values of
        the other vectors. The sample y_ij uses v_i and the basis without the products of v_i and v_j. The mean of
        ``(x_i - y_ij)(x_j - y_ji)`` over all pairs is an unbiased estimate of the covariance of two samples x_i, x_j.
        """
        V, HV, Q, HQ = self.V[:, : self.rank], self.HV[:, : self.rank], self.Q, self.HQ
        S, W = _own_directions(_small(Q.mT @ HV)), _small(Q.mT @ V)
        V, HV = V - Q @ W.to(V), HV - HQ @ W.to(V)
        # Q without the product of v_i lacks the direction s_i, and the projected v_i gains a s_i. Without the product
        # of v_j as well, it gains A s_i + B s_j. Rows are j, columns i.
        U, c = S.mT @ W, S.mT @ S
        a, lost = U.diagonal(), (c.diagonal() > 0).double()
        D = (1 - c**2).fill_diagonal_(1).clamp(min=1e-12)
        A, B = (a - c * U) / D, (U - c * a) / D
        length, room = _dots(V, V), self.n - Q.shape[1]
        scale = _ratio(room + lost, length + a**2)
        scales = _ratio(room + lost + lost[:, None], length + A**2 + B**2 + 2 * c * A * B)

        def sample(rows: Any) -> Sample:
            Qb, HQb = Q[rows], HQ[rows]
            vv, vs = _small(V[rows].mT @ HV[rows]), _small(V[rows].mT @ HQb) @ S
            sv, ss = S.mT @ _small(Qb.mT @ HV[rows]), S.mT @ _small(Qb.mT @ HQb) @ S
            pull, base, p, q = sv + vs.mT, vv.diagonal(), vs.diagonal(), ss.diagonal()
            x = scale * (base + a * pull.diagonal() + a**2 * q) - q
            y = base + A * pull.diagonal() + B * pull + A**2 * q + B**2 * q[:, None] + A * B * (ss + ss.mT)
            covariance = swapped(x - scales * y + (q + q[:, None] - c * (ss + ss.mT)) / D)
            image = HV[rows] + HQb @ (S * a).to(V)
            inner = _small(Qb.mT @ image)
            squares = scale * (_dots(image, image) - _dots(inner, inner) + _dots(S, inner) ** 2)
            swaps = None
            if rows is not ALL:  # forms of both vectors of a pair, with Q without both products
                M = vv + A * vs + B * p[:, None] + A.mT * sv + B.mT * sv.diagonal()
                M += A * A.mT * ss + B * A.mT * q[:, None] + A * B.mT * q + B * B.mT * ss.mT
                swaps = swapped(scales * M)
            one = variance(x + q, squares, room + 1, swaps)
            return Sample(x, one, covariance if len(x) > 1 else 0.0, squares)

        return sample


def _own_directions(R: Tensor) -> Tensor:
    """Return for each product the unit vector orthogonal to all other products, in the basis Q, or zero if none is."""
    if R.shape[0] < R.shape[1]:
        return torch.zeros_like(R)
    S: Tensor = torch.linalg.inv(R).mT
    S /= torch.linalg.vector_norm(S, dim=0)
    return S


def _dots(X: Tensor, Y: Tensor) -> Tensor:
    """Return the inner product of each column of X with the same column of Y, in double precision on the CPU."""
    return _small((X * Y).sum(0))


def _small(X: Tensor) -> Tensor:
    """Return a small tensor, whose size does not grow with n, in double precision on the CPU."""
    return X.double().cpu()


def _ratio(a: Tensor | int, b: Tensor) -> Tensor:
    """Return a / b, and 0 where b is zero because a vector lies in the span of Q."""
    return torch.where(b > 0, a / b, torch.zeros_like(b))
