"""Arguments of every kind: a public function works or raises `InputError`, never an error from deep inside."""

import inspect
import warnings

import numpy as np
import pytest

import flatmin as fm

VALUES = {
    "None": None,
    "huge": 10**400,
    "minus huge": -(10**400),
    "too long to write": 10**5000,
    "minus one": -1,
    "zero": 0,
    "fraction": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "largest": 1e308,
    "more than 63 bits": 2**70,
    "text": "x",
    "empty text": "",
    "bytes": b"x",
    "list": [],
    "dictionary": {},
    "truth": True,
    "imaginary": 1j,
    "complex of NumPy": np.complex128(1),
    "duration": np.timedelta64(3),
    "small whole number": np.int8(3),
    "object": object(),
    "pair": (1, 2),
    "flat shape": (0, 3),
    "huge shape": (2**40, 2**40),
    "function": lambda: 0,
    "holes": np.full((3, 3), np.nan),
    "matrix": np.ones((3, 3)),
    "tensor": np.ones((2, 3, 3)),
    "letters": np.array(["a"]),
    "objects": np.array([None]),
    "ragged": [[1, 2], [3]],
    "class": fm.Gram,
    "model": fm.Product(),
}

PROBLEM = fm.families.matrix_sensing.sample((4, 3), 1, 20, noise=0.1).problem
SOLUTION = fm.flat_minimum(PROBLEM, alpha=0.1)
VECTORS = fm.families.phase_retrieval.sample(4, 1, 24).problem
M = fm.measurements

#: A function and arguments with which it works; each of its arguments is replaced by each of the values.
CALLS = {
    "Dense": (M.Dense, {"tensor": np.ones((2, 3, 3))}),
    "RankOne": (M.RankOne, {"left": np.ones((2, 3)), "right": np.ones((2, 3))}),
    "Entries": (M.Entries, {"rows": [0, 1], "cols": [0, 1], "shape": (3, 3), "weights": [1.0, 2.0]}),
    "Identity": (M.Identity, {"shape": (3, 3)}),
    "CodedDiffraction": (M.CodedDiffraction, {"masks": np.ones((2, 3))}),
    "FromLinearOperator": (M.FromLinearOperator, {"op": np.ones((2, 9)), "shape": (3, 3)}),
    "take": (PROBLEM.measurement.take, {"index": [0]}),
    "Product": (fm.Product, {"rank": 2}),
    "Gram": (fm.Gram, {"rank": 2}),
    "SignedGram": (fm.SignedGram, {"rank": 2}),
    "Hadamard": (fm.Hadamard, {"depth": 2}),
    "Chain": (fm.Chain, {"widths": (3,)}),
    "Absolute": (fm.losses.Absolute, {}),
    "Problem": (fm.Problem, {"measurement": PROBLEM.measurement, "data": PROBLEM.data}),
    "flat_minimum": (fm.flat_minimum, {"problem": PROBLEM, "alpha": 0.1, "max_iter": 3}),
    "certify": (fm.certify, {"problem": PROBLEM, "factors_or_matrix": SOLUTION.factors, "dual": SOLUTION.duals[0]}),
    "flatness": (fm.flatness, {"problem": PROBLEM, "factors": SOLUTION.factors}),
    "flatness_gap": (fm.flatness_gap, {"problem": PROBLEM, "factors": SOLUTION.factors}),
    "reweighted_minimum": (fm.reweighted_minimum, {"problem": PROBLEM, "max_iter": 3}),
    "alpha_max": (fm.alpha_max, {"problem": PROBLEM}),
    "flat_path": (fm.flat_path, {"problem": PROBLEM, "n_alphas": 2, "max_iter": 3}),
    "cross_validate": (fm.cross_validate, {"problem": PROBLEM, "n_alphas": 2, "max_iter": 3}),
    "refit": (fm.refit, {"problem": PROBLEM, "solution": SOLUTION, "max_iter": 3}),
    "robust_pca": (fm.robust_pca, {"Y": np.ones((4, 3)), "max_iter": 3}),
    "stabilize_variance": (fm.stabilize_variance, {"problem": VECTORS}),
    "error_radius": (SOLUTION.certificate.error_radius, {}),
    "matrix-sensing": (fm.families.matrix_sensing.sample, {"shape": (4, 3), "rank": 1, "n_measurements": 12}),
    "robust-pca": (fm.families.robust_pca.sample, {"shape": (4, 3), "rank": 1}),
    "quadratic-network": (fm.families.quadratic_network.sample, {"shape": 4, "rank": 1, "n_measurements": 12}),
    "phase-retrieval": (fm.families.phase_retrieval.sample, {"shape": 4, "rank": 1, "n_measurements": 12}),
    "matrix-completion": (fm.families.matrix_completion.sample, {"shape": (4, 3), "rank": 1, "n_measurements": 9}),
    "sparse-regression": (fm.families.sparse_regression.sample, {"n": 4, "sparsity": 1, "n_measurements": 9}),
}
#: Functions of the user, whose own errors are the user's.
CALLED = {"callback", "pair"}


@pytest.mark.parametrize("name", CALLS)
def test_any_argument_works_or_is_refused_in_one_sentence(name):
    function, good = CALLS[name]
    function(**good)
    refused = []
    arguments = inspect.signature(function).parameters
    flags = {name for name, parameter in arguments.items() if isinstance(parameter.default, bool)}
    for argument in set(arguments) - CALLED - flags:
        for kind, value in VALUES.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    function(**{**good, argument: value})
                except fm.InputError as error:
                    refused.append((argument, kind, str(error)))
    assert refused
    assert [case for case in refused if "\n" in case[2] or len(case[2]) > 500] == []


def test_what_a_linear_operator_must_have():
    from scipy.sparse.linalg import LinearOperator

    with pytest.raises(fm.InputError, match=r"the operator has no adjoint that .*, expected one with rmatvec"):
        M.FromLinearOperator(LinearOperator((2, 9), matvec=lambda x: x[:2], dtype=float), (3, 3))
    with pytest.raises(fm.InputError, match="the operator contains NaN or infinity"):
        M.FromLinearOperator(np.full((2, 9), np.inf), (3, 3))
    with pytest.raises(fm.InputError, match="the operator is a NoneType, expected a linear operator or a matrix"):
        M.FromLinearOperator(None, (3, 3))
