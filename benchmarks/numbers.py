"""Odd numbers: what every estimator and every family does with them.

``python -m benchmarks.numbers [--page FILE]`` prints a table and writes it into a document. "no" stands for a refusal
by one sentence, "yes" for a finite answer. Anything else is a fault: another exception, a message of several lines, a
warning of NumPy, or an answer with NaN.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.load import estimators
from benchmarks.markdown import cells, replace_block

__all__ = ["ESTIMATORS", "FAMILIES", "INPUTS", "verdict_of_estimator", "verdict_of_family"]

BLOCK = "numbers"
FAMILIES = (
    *("matrix-sensing", "bilinear-sensing", "matrix-completion", "covariance", "phase-retrieval"),
    *("quadratic-network", "robust-pca"),
)


def _first(value: float) -> Callable[[Any], Any]:
    """Return a change that sets the first number."""

    def change(X: Any) -> Any:
        X = np.array(X, float)
        X.flat[:1] = value
        return X

    return change


def _but_one(X: Any) -> Any:
    X = np.array(X, float)
    X.flat[1:] = np.nan
    return X


def _columns(X: Any, k: int) -> Any:
    X = np.array(X, float)
    if X.ndim > 1 and X.shape[1] > 1:
        X[:, -1] = X[:, 0] if k else 1.0
    return X


#: Changes of an array by name.
INPUTS: dict[str, Callable[[Any], Any]] = {
    "as it is": np.array,
    "one NaN": _first(np.nan),
    "one infinity": _first(np.inf),
    "one −infinity": _first(-np.inf),
    "one 1e300": _first(1e300),
    "times 1e300": lambda X: np.array(X) * 1e300,
    "times 1e-300": lambda X: np.array(X) * 1e-300,
    "denormal": lambda X: np.array(X) * 1e-310,
    "integers beyond 2^53": lambda X: (
        np.where(np.isfinite(X), np.nan_to_num(X) * 0 + 1, 0).astype(np.int64) * (2**60 + 1)
    ),
    "float16": lambda X: np.array(X).astype(np.float16),
    "complex, imaginary part 0": lambda X: np.array(X).astype(complex),
    "empty": lambda X: np.array(X)[:0],
    "one row": lambda X: np.array(X)[:1],
    "one column": lambda X: np.array(X)[:, :1] if np.ndim(X) > 1 else np.array(X),
    "all equal": lambda X: np.full(np.shape(X), 3.0),
    "all zero": lambda X: np.zeros(np.shape(X)),
    "all missing but one": _but_one,
    "a constant column": lambda X: _columns(X, 0),
    "a duplicated column": lambda X: _columns(X, 1),
    "text": lambda X: np.array(X).astype(str),
}
ESTIMATORS = tuple(estimators())
#: The columns of the three tables.
TABLES = (
    tuple(name for name in ESTIMATORS if not name.endswith("CV")),
    tuple(name for name in ESTIMATORS if name.endswith("CV")),
    FAMILIES,
)


def verdict_of_estimator(name: str, change: str) -> str:
    """Return "yes", "no" or a sentence about a fault, for a changed array of samples."""
    make, (X, *rest) = estimators()[name]

    def answer() -> Any:
        changed = INPUTS[change](X)
        model = make().fit(changed, *(y[tuple(map(slice, changed.shape[: np.ndim(y)]))] for y in rest))
        if name == "PanelEffect":
            return model.counterfactual_
        return model.transform(changed) if name == "RobustPCA" else model.predict(changed)

    return _verdict(answer)


def verdict_of_family(name: str, change: str) -> str:
    """Return "yes", "no" or a sentence about a fault, for changed data of a problem."""
    family = fm.families.find(name)
    assert family is not None
    shape: Any = 4 if name == "phase-retrieval" else (4, 4)
    problem = family.sample(shape, 1, 24 if shape == 4 else 16, seed=0).problem

    def answer() -> Any:
        changed = fm.Problem(problem.measurement, INPUTS[change](problem.data), problem.parametrization, problem.loss)
        return fm.flat_minimum(changed).matrix

    return _verdict(answer)


def verdict(name: str, change: str) -> str:
    """Return the verdict on an estimator or a family."""
    return (verdict_of_family if name in FAMILIES else verdict_of_estimator)(name, change)


def _verdict(answer: Callable[[], Any]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("error", category=np.exceptions.ComplexWarning)
        try:
            found = answer()
        except (ValueError, TypeError) as error:
            return "no" if len(str(error).splitlines()) == 1 else f"a message of several lines: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return "yes" if np.all(np.isfinite(np.asarray(found))) else "the answer has NaN or infinity"


def main() -> int:
    """Return 1 if there is any fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help=f"a document with the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    asked = parser.parse_args()
    rows, faults = [], []
    for names in TABLES:
        rows += ["", cells(["numbers", *names]), cells(["---"] * (1 + len(names)))]
        for change in INPUTS:
            verdicts = [verdict(name, change) for name in names]
            for name, found in zip(names, verdicts, strict=True):
                if found not in ("yes", "no"):
                    faults.append(f"{name}, {change}: {found}")
                    print(" ".join(faults[-1].split())[:300], flush=True)
            rows.append(cells([change, *(found if found in ("yes", "no") else "**fault**" for found in verdicts)]))
    print("\n".join(rows))
    if asked.page and not replace_block(asked.page, BLOCK, "\n".join(rows)):
        parser.error(f"{asked.page} lacks the marks <!-- {BLOCK} --> and <!-- /{BLOCK} -->")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
