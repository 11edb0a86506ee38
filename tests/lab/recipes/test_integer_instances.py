"""Instances in integers, and the comparison of a proved point with the truth."""

import base64
import json
from dataclasses import replace
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes._integer_instances import MODELS, is_truth, sample
from flatmin.measurements import Entries
from flatmin.proofs.exact.theorems import encoded

#: For each model a number of measurements of 8×8 matrices at which draws are theorems.
ENOUGH = {"covariance": 33, "phase-retrieval": 40, "quadratic-network": 36, "robust-pca": 58}


def whole(values):
    parts = [np.real(values), np.imag(values)]
    return all(np.array_equal(part, np.rint(part)) and np.abs(part).max() < 2**53 for part in parts)


def gram(signal):
    """Return ``s s*`` in Python's integers, as real and imaginary parts."""
    a, b = ([int(x) for x in part] for part in (signal.real, signal.imag))
    n = range(len(a))
    real = [[a[i] * a[j] + b[i] * b[j] for j in n] for i in n]
    return real, [[b[i] * a[j] - a[i] * b[j] for j in n] for i in n]


@pytest.mark.parametrize("name", MODELS)
def test_data_are_exactly_those_of_an_integer_truth(name):
    instance = sample(name, 8, 50, 3)
    problem, truth, model = instance.problem, instance.truth, MODELS[name]
    assert whole(truth)
    assert whole(problem.data)
    real, imaginary = gram(truth) if truth.ndim == 1 else (truth.astype(int).tolist(), np.zeros((8, 8), int).tolist())
    assert np.linalg.matrix_rank(np.array(real) + 1j * np.array(imaginary)) == model.rank
    assert np.all(np.any(np.array(real), axis=0))
    if isinstance(problem.measurement, Entries):
        X = np.array(real, float)[problem.measurement.rows, problem.measurement.cols]
        wrong = np.flatnonzero(problem.data != X)
        assert len(wrong) == (64 - 50 if name == "robust-pca" else 0)
        return
    for row, b in zip(np.eye(problem.measurement.size)[:5], problem.data, strict=False):
        A = problem.measurement.adjoint(row)
        assert whole(A)
        parts = zip((A.real, np.imag(A)), (real, imaginary), strict=True)
        total = sum(Fraction(x) * y for P, X in parts for x, y in zip(P.ravel(), chain(*X), strict=True))
        assert total == Fraction(b)


@pytest.mark.parametrize("name", MODELS)
def test_a_theorem_is_about_the_truth_and_no_matrix_near_it(name):
    instance = sample(name, 8, ENOUGH.get(name, 58), 1)
    proof = fm.prove(instance.problem, fm.flat_minimum(instance.problem))
    assert proof.statement("T") is not None
    assert is_truth(proof, instance.truth)
    other = instance.truth.copy()
    other.flat[0] += 1
    assert not is_truth(proof, other)
    assert not is_truth(proof, np.zeros_like(instance.truth))


def test_a_point_that_is_not_in_integers_is_never_the_truth():
    instance = sample("gaussian", 8, 58, 1)
    proof = fm.prove(instance.problem, fm.flat_minimum(instance.problem))
    document = json.loads(proof.text)
    for name in ("L", "C"):
        array = np.frombuffer(base64.b64decode(document["point"][name]["base64"]), "<f8")
        changed = array.reshape(document["point"][name]["shape"]) * (1 + 2.0**-40)
        point = document["point"] | {name: encoded(changed)}
        moved = replace(proof, text=json.dumps(document | {"point": point}))
        assert not is_truth(moved, instance.truth)
    zero = replace(proof, text=json.dumps(document | {"point": None}))
    assert is_truth(zero, np.zeros((8, 8)))
    assert not is_truth(zero, instance.truth)


def test_completion_sees_each_cell_by_chance():
    sizes = {sample("completion", 10, 50, seed).problem.measurement.size for seed in range(20)}
    assert len(sizes) > 5
    assert 44 < np.mean(list(sizes)) < 56
