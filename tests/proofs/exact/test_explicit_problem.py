import hashlib
import io
import math

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.proofs import checker
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from tests.proofs.exact.integer_problems import PROBLEMS

M = fm.measurements


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_file_holds_the_numbers_of_the_problem(name):
    problem = PROBLEMS[name]()
    explicit = ExplicitProblem.from_problem(problem)
    with np.load(io.BytesIO(explicit.file), allow_pickle=False) as data:
        arrays = dict(data)
    assert arrays.keys() == checker.read_instance(explicit.file).keys()
    if "Y" in arrays:
        assert np.array_equal(arrays["Y"][~np.isnan(arrays["Y"])], problem.data)
    else:
        assert np.array_equal(arrays["b"], problem.data)
    assert explicit.sha256 == hashlib.sha256(explicit.file).hexdigest()
    checker.check_model(explicit.model)


def test_the_same_numbers_have_the_same_hash():
    first, second, other = (ExplicitProblem.from_problem(PROBLEMS["completion"](seed)) for seed in (0, 0, 1))
    assert first.sha256 == second.sha256 != other.sha256


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("name", PROBLEMS)
def test_squares_are_those_of_the_metric(name, power):
    problem = PROBLEMS[name]()
    explicit = ExplicitProblem.from_problem(problem, 0.0, power)
    if explicit.kind == "cells":
        power = 1.0
    for G, D in zip(explicit.squares, problem.metric, strict=True):
        D = D.tempered(power)
        expected = D.dense @ D.dense
        np.testing.assert_allclose(np.diag(G) if G.ndim == 1 else G, expected, rtol=1e-12, atol=1e-12 * expected.max())


def test_masks_become_vectors():
    problem = fm.Problem(M.CodedDiffraction(np.ones((2, 4))), np.ones(8), fm.Gram())
    explicit = ExplicitProblem.from_problem(problem)
    assert explicit.transformed
    assert explicit.kind == "vectors"
    signal = np.random.default_rng(0).standard_normal((4, 1))
    pair = (signal, signal)
    made, fast = (p.measurement.forward_factors(*pair) for p in (explicit.problem, problem))
    np.testing.assert_allclose(made, fast, rtol=1e-12)


def entries(shape):
    return fm.Problem(M.Entries([0], [0], shape), [1.0])


@pytest.mark.parametrize(
    ("problem", "settings", "message"),
    [
        (fm.Problem(M.Dense(np.eye(3)), np.ones(3), fm.Hadamard(2)), {}, "irrational"),
        (entries((2, 2)), {"metric_power": 0.5}, "metric_power 0.5, expected 0 or 1"),
        (entries((4000, 2000)), {}, r"d1 \+ d2 is 6000, expected at most 5000 .* about 4 min and 0.72 GB"),
        (fm.Problem(M.FromLinearOperator(np.eye(4), (2, 2)), np.ones(4)), {}, "expected Dense, RankOne, Entries"),
        (fm.Problem(M.Identity((2, 2)), np.ones(4), loss=fm.losses.Absolute(tau=1.0)), {}, "expected a weight"),
        (fm.Problem(M.Identity((2, 2)), np.ones(4), loss=fm.losses.Absolute()), {"alpha": 1.0}, "expected a weight"),
        (fm.Problem(M.Entries([0, 1], [0, 1], (2, 2)), np.ones(2), fm.Gram()), {}, "expected Dense or RankOne"),
        (fm.Problem(M.Dense(np.ones((1, 2, 2)) * (1 + 0j)), [1.0], fm.Gram()), {}, "complex"),
        (
            fm.Problem(M.Dense([[[1, 1 + 1e-14], [1, 1]]]), [1.0], fm.Gram()),
            {},
            "not exactly symmetric, expected A_i = A_i",
        ),
    ],
)
def test_problems_without_theorems_are_refused(problem, settings, message):
    with pytest.raises(InputError, match=message):
        ExplicitProblem.from_problem(problem, **settings)


def test_the_weight_is_the_default_of_the_table():
    explicit = ExplicitProblem.from_problem(PROBLEMS["table"]())
    assert explicit.weight == 1 / math.sqrt(24)
