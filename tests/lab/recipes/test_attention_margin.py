"""Attention's separators against a general solver, its gradient against differences, and where training leads."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab.recipes._attention_margin import (
    AttentionData,
    largest_frobenius_margin,
    largest_nuclear_margin,
    trained,
)


def _loss(data, W):
    """The exponential loss by its definition, with scores 1 and 0."""
    logits = np.einsum("itd,de,ie->it", data.tokens, W, data.queries)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return np.exp(-p[:, 0] / p.sum(1)).mean()


def test_scores_are_one_for_the_first_token_and_zero_for_others():
    data = AttentionData.sample(5, 3, 4, seed=1)
    plane = data.tokens[:, 1:].reshape(-1, 4)
    v = np.linalg.svd(plane)[2][-1]
    assert plane @ v == pytest.approx(0, abs=1e-12)
    first = np.abs(data.tokens[:, 0] @ v)
    assert first == pytest.approx(first[0])


@pytest.mark.parametrize("tokens", [2, 4])
def test_the_gradient_is_a_multiple_of_that_of_the_loss(tokens):
    data, h = AttentionData.sample(5, tokens, 4, seed=2), 1e-6
    W = np.random.default_rng(0).standard_normal((4, 4))
    differences = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            E = np.zeros((4, 4))
            E[i, j] = h
            differences[i, j] = (_loss(data, W + E) - _loss(data, W - E)) / (2 * h)
    G = data.gradient(W)
    assert G / np.linalg.norm(G) == pytest.approx(differences / np.linalg.norm(differences), abs=1e-6)
    assert np.isfinite(data.gradient(1e4 * W)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "tokens", "d"), [(6, 2, 5), (4, 4, 6)])
def test_least_norms_are_those_of_a_general_solver(n, tokens, d):
    cvxpy = pytest.importorskip("cvxpy")
    data = AttentionData.sample(n, tokens, d, seed=3)
    for norm, found, order in (
        (cvxpy.normNuc, largest_nuclear_margin(data), "nuc"),
        (lambda X: cvxpy.norm(X, "fro"), largest_frobenius_margin(data), "fro"),
    ):
        X = cvxpy.Variable((d, d))
        rows = zip(data.differences, data.repeated_queries, strict=True)
        problem = cvxpy.Problem(cvxpy.Minimize(norm(X)), [a @ X @ q >= 1 for a, q in rows])
        problem.solve(solver="CLARABEL")
        assert found.norm == pytest.approx(problem.value, rel=1e-5)
        assert abs(found.gap) < 1e-6
        assert data.margins(found.matrix).min() == pytest.approx(1)
        assert found.excess(data, found.matrix, order) == pytest.approx(0, abs=1e-6)
        assert found.excess(data, X.value + 0.1, order) > 1e-3


def test_tokens_that_cannot_be_separated_are_refused():
    data = AttentionData.sample(1, 2, 3, seed=0)
    both = AttentionData(np.concatenate([data.tokens, data.tokens[:, ::-1]]), np.repeat(data.queries, 2, axis=0))
    for least in (largest_nuclear_margin, largest_frobenius_margin):
        with pytest.raises(InputError, match="expected"):
            least(both)


def test_apart_and_together_lean_to_different_norms():
    data = AttentionData.sample(6, 2, 5, seed=1)
    nuclear, frobenius = largest_nuclear_margin(data), largest_frobenius_margin(data)
    apart, product = (list(trained(data, start, 0.02, 1500, 1))[-1] for start in (0.1, 0.0))
    assert nuclear.excess(data, apart, "nuc") < 0.02 < 0.1 < nuclear.excess(data, product, "nuc")
    assert frobenius.excess(data, product, "fro") < 0.02 < 0.03 < frobenius.excess(data, apart, "fro")


@pytest.mark.parametrize("tokens", [2, 4])
def test_separators_are_certified_and_best_in_their_norm(tokens):
    data = AttentionData.sample(4, tokens, 6, seed=5)
    nuclear, frobenius = largest_nuclear_margin(data), largest_frobenius_margin(data)
    assert abs(nuclear.gap) < 1e-6
    assert abs(frobenius.gap) < 1e-9
    assert 0 < nuclear.excess(data, frobenius.matrix, "nuc") < 0.5
    assert 0 < frobenius.excess(data, nuclear.matrix, "fro") < 0.5
