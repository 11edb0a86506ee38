"""Tangent spaces: maps, projections and least squares, against formed matrices."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.cones.semidefinite import StackedGram
from flatmin.cones.symmetric import StackedSignedGram
from flatmin.solvers.factored.tangent import TangentSpace, Weights


def sample(name, shape, rank, m, **kwargs):
    return fm.families.find(name).sample(shape, rank, m, **kwargs)


def error(X, truth):
    return np.linalg.norm(X - truth) / np.linalg.norm(truth)


class TestLooseRows:
    """A row with fewer data than the rank: any of many continuations fits, and the rest is found all the same."""

    @pytest.fixture
    def starved(self):
        instance = sample("matrix-completion", (24, 20), 2, 300, seed=0)
        A = instance.problem.measurement
        kept = np.ones(A.size, bool)
        kept[np.flatnonzero(A.rows == 5)[1:]] = False
        return fm.Problem(A.take(kept), instance.problem.data[kept]), instance.truth

    def test_it_is_named_and_the_rest_is_right(self, starved):
        problem, truth = starved
        s = fm.reweighted_minimum(problem)
        assert s.parts["loose_rows"].tolist() == [5]
        assert s.parts["loose_cols"].tolist() == []
        assert s.parts["local_injectivity"] == 0
        rest = np.delete(np.arange(24), 5)
        assert error(s.matrix[rest], truth[rest]) < 1e-10

    def test_another_matrix_of_this_rank_fits_as_well(self, starved):
        s = fm.reweighted_minimum(starved[0])
        L, R = s.factors[0].copy(), s.factors[1]
        (seen,) = starved[0].measurement.cols[starved[0].measurement.rows == 5]
        L[5] += np.array([-R[seen, 1], R[seen, 0]])
        assert np.linalg.norm(L[5] - s.factors[0][5]) > 0.1 * np.linalg.norm(s.factors[0][5])
        np.testing.assert_allclose(starved[0].residual((L, R)), 0, atol=1e-9)

    def test_what_depends_on_a_loose_column_is_loose(self):
        """Row 0 is seen in two columns, one of which is seen nowhere else: both are loose at rank 2, no other is."""
        rng = np.random.default_rng(1)
        pattern = np.ones((9, 7), bool)
        pattern[0, 2:] = pattern[1:, 0] = False
        U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (9, 7))
        space = TangentSpace(StackedProduct(fm.measurements.Entries(*np.nonzero(pattern), (9, 7))), U, V)
        rows, cols = space.loose()
        assert rows.tolist() == [0]
        assert cols.tolist() == [0]


class TestTangentSpace:
    """Against dense matrices."""

    @pytest.fixture(params=["dense", "rank one", "entries", "operator", "gram", "complex gram", "signed gram"])
    def space(self, request):
        rng = np.random.default_rng(0)
        if request.param in ("gram", "complex gram", "signed gram"):
            x = rng.standard_normal((30, 6)) + (1j * rng.standard_normal((30, 6)) if "complex" in request.param else 0)
            U = np.linalg.qr(rng.standard_normal((6, 2)) + (1j * x[:6, :2] if "complex" in request.param else 0))[0]
            signs = np.array([1.0, -1.0]) if request.param == "signed gram" else 1.0
            model = (StackedSignedGram if request.param == "signed gram" else StackedGram)(fm.measurements.RankOne(x))
            return TangentSpace(model, U, U * signs)
        T = rng.standard_normal((25, 6, 5))
        whitened = {
            "dense": fm.measurements.Dense(T),
            "rank one": fm.measurements.RankOne(T[:, :, 0], T[:, 0]),
            "entries": fm.measurements.Entries(*np.divmod(np.arange(0, 30, 1)[:25], 5), (6, 5), weights=T[:, 0, 0]),
            "operator": fm.measurements.FromLinearOperator(T.reshape(25, -1), (6, 5)),
        }[request.param]
        U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (6, 5))
        return TangentSpace(StackedProduct(whitened, 0.7), U, V)

    def element(self, space, seed):
        rng, n = np.random.default_rng(seed), len(space.U) + len(space.V)
        d = rng.standard_normal((n, 2)) + (1j * rng.standard_normal((n, 2)) if np.iscomplexobj(space.U) else 0)
        return space.project(d)

    def form(self, space, d):
        M1, M2 = space.split(d)
        return space.U @ M2.conj().T + M1 @ space.V.conj().T

    def test_forward_and_adjoint(self, space):
        d, y = self.element(space, 1), np.random.default_rng(2).standard_normal(space.model.whitened.size)
        Z = self.form(space, d)
        np.testing.assert_allclose(space.forward(d), space.model.scale * space.model.whitened.forward(Z), atol=1e-12)
        assert np.vdot(space.project(space.adjoint(y)), d).real == pytest.approx(space.forward(d) @ y)

    def test_projection(self, space):
        d = self.element(space, 3)
        np.testing.assert_allclose(space.project(d), d, atol=1e-13)
        raw = np.random.default_rng(4).standard_normal(d.shape) + 0 * d
        Z = self.form(space, raw)
        if not isinstance(space.model, StackedProduct):
            Z = (Z + Z.conj().T) / 2
        np.testing.assert_allclose(self.form(space, space.project(raw)), Z, atol=1e-13)

    def test_products_with_an_element_and_a_residual(self, space):
        d, y = self.element(space, 5), np.random.default_rng(6).standard_normal(space.model.whitened.size)
        total = self.form(space, d) + space.model.scale * space.model.whitened.adjoint(y)
        x = np.random.default_rng(7).standard_normal((total.shape[1], 3))
        apply, adjoint = space.operator(d, y)
        np.testing.assert_allclose(apply(x), total @ x, atol=1e-12)
        x = np.random.default_rng(8).standard_normal((total.shape[0], 3))
        np.testing.assert_allclose(adjoint(x), total.conj().T @ x, atol=1e-12)

    def test_weights_are_those_of_the_formed_matrix(self, space):
        rng = np.random.default_rng(9)
        core = rng.random((2, 2))
        weights = Weights(core + core.T, rng.random(2))
        d = self.element(space, 10)
        Z, (U, V) = self.form(space, d), (space.U, space.V)
        inner = U.conj().T @ Z @ V
        left, right = Z @ V - U @ inner, Z.conj().T @ U - V @ inner.conj().T
        cost = np.sum(weights.core * np.abs(inner) ** 2)
        cost += np.sum(weights.off * (np.abs(left) ** 2).sum(axis=0))
        cost += np.sum(weights.off * (np.abs(right) ** 2).sum(axis=0))
        assert np.vdot(space.weigh(d, weights), d).real == pytest.approx(cost)

    def test_least_squares_are_stationary(self, space):
        target = np.random.default_rng(11).standard_normal(space.model.whitened.size)
        weights = Weights(np.full((2, 2), 0.1), np.full(2, 0.2))
        d = space.solve(target, space.diagonal(np.ones(2)), weights, 1e-12, 500, Clock())
        slope = space.project(space.adjoint(target - space.forward(d)) - space.weigh(d, weights))
        assert np.linalg.norm(slope) < 1e-9 * np.linalg.norm(target)

    def test_injectivity_is_near_the_dense_one_and_not_below(self, space):
        n = len(space.U) + len(space.V)
        units = np.eye(2 * n).reshape(-1, n, 2)
        units = np.concatenate([units, 1j * units]) if np.iscomplexobj(space.U) else units
        elements = np.array([space.project(unit) for unit in units])
        real = np.concatenate([elements.real, elements.imag], axis=2).reshape(len(units), -1)
        _, values, basis = np.linalg.svd(real)
        parts = basis[: np.count_nonzero(values > 1e-10)].reshape(-1, n, 4)
        images = [space.forward(d[:, :2] + 1j * d[:, 2:] if np.iscomplexobj(space.U) else d[:, :2]) for d in parts]
        dense = np.linalg.svd(np.array(images), compute_uv=False)
        exact = dense[-1] / dense[0] if len(images) <= len(images[0]) else 0.0
        found = space.injectivity(self.element(space, 12))
        assert exact * (1 - 1e-6) - 1e-12 <= found <= 1.5 * exact + 1e-7
