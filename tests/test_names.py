"""Names: one meaning for the name of a module or a class, words that say what they are, and a test file each."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tests.imports import ROOT, tree
from tests.test_architecture import FILES, REGISTRIES

TESTS = Path(__file__).parent

#: Modules of one name, and what they have in common.
SAME_SUBJECT = {
    "base": "the base class of a folder",
    "certificate": "certificates of flat minima and of robust PCA",
    "uniqueness": "proofs of uniqueness for flat minima and for robust PCA",
    "chain": "a parametrization, its certificate and its solver",
    "hadamard": "a parametrization, its certificate and its solver",
    "hermitian": "what cones, and what models, of Hermitian matrices share",
    "covariance": "one model's family and view",
    "matrix_completion": "one model's family and estimator",
    "phase_retrieval": "one model's family, estimator and view",
    "quadratic_network": "one model's family, estimator and view",
    "robust_pca": "one model's family, estimator, view and recipe",
    "cross_validation": "cross-validation, and how completion calls it",
    "offsets": "the solver of offsets, and how completion calls it",
    "per_example_sam": "an optimizer and its competitor",
    "report": "a command and what it runs",
    "sweep": "a command and what it runs",
    "sweeps": "alternating least squares, on one machine and on Spark",
    "reweighting": "a solver and the recipe that measures it",
    "phase_map": "a phase map and its display",
    "solution": "the solution and the public check of solutions",
    "radius": "the certified radius and its section of the report",
    "minimum": "the minimum of a convex problem, without and with gross errors",
    "pivotal": "noise of unknown level, without and with gross errors",
    "page": "the page of each kind of report",
    "task": "the work that a solver, or a competitor of a race, is given",
    "label_noise": "the optimizer, and the recipe that tests what it leads to",
    "theorems": "theorems in exact arithmetic, and the recipe that counts them",
    "threads": "threads of linear algebra, of compiled loops and of PyTorch",
}

#: Classes of one name, and what they have in common.
SAME_CLASS = {
    "Task": "the work that a solver, or a competitor of a race, is given",
    "Request": "what the user asked of a command",
    "LabelNoise": "an optimizer and its competitor",
    "NoiseInjection": "an optimizer and its competitor",
    "PerExampleSAM": "an optimizer and its competitor",
    "SAM": "an optimizer and its competitor",
    "ScaledGradient": "an optimizer and its competitor",
    "TwoPoint": "an optimizer and its competitor",
    "WeightDecay": "an optimizer and its competitor",
}

#: Words that do not say what they name.
RETIRED = {"likely_rest", "anew", "couple", "offer", "arrive", "Here", "Sight", "Voice", "made", "said", "spot", "told"}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def repeated(found):
    return {name: places for name, places in found.items() if len(places) > 1}


def test_modules_of_one_name_have_one_subject():
    found = defaultdict(list)
    for path in FILES:
        if path.stem not in {"__init__", "__main__"}:
            found[path.stem.lstrip("_")].append(relative(path))
    several = repeated(found)
    assert not {name: several[name] for name in several.keys() - SAME_SUBJECT.keys()}
    assert not SAME_SUBJECT.keys() - several.keys(), "take these names off the list"


def test_public_classes_of_one_name_have_one_meaning():
    found = defaultdict(list)
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(relative(path))
    several = repeated(found)
    assert not {name: several[name] for name in several.keys() - SAME_CLASS.keys()}
    assert not SAME_CLASS.keys() - several.keys(), "take these names off the list"


def names(path):
    """Yield what a file names: classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def test_names_say_what_they_are():
    found = {relative(path): RETIRED & {name.strip("_") for name in names(path)} for path in FILES}
    assert not {file: words for file, words in found.items() if words}


#: Folders whose files, except for a base class, are entries that one test takes one after the other.
ENTRIES = REGISTRIES | {"lab/displays", "lab/race/competitors"}


def has_logic(path):
    """Say whether any function of a file has more than a docstring."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            first, *rest = node.body
            if rest or not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
                return True
    return False


def is_tested(path):
    """Say whether a module has a test file at its path, or is an entry of a registry whose entries are tested at once.

    The test of ``a/_b.py`` is ``tests/a/test_b.py``. That of all entries of ``a`` is ``tests/a/test_every_….py``.
    """
    folder = TESTS / path.relative_to(ROOT).parent
    entry = relative(path.parent) in ENTRIES and path.stem != "base" and not path.stem.startswith("_")
    return (folder / f"test_{path.stem.lstrip('_')}.py").exists() or (entry and any(folder.glob("test_every_*.py")))


def test_every_module_with_logic_has_a_test_file_at_its_path():
    modules = [path for path in FILES if path.stem not in {"__init__", "__main__"} and has_logic(path)]
    assert not [relative(path) for path in modules if not is_tested(path)]


@pytest.mark.parametrize(
    "folder", sorted(TESTS.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(TESTS))
)
def test_every_folder_of_tests_mirrors_one_of_the_package(folder):
    place = folder.parent.relative_to(TESTS)
    assert place.name in {"benchmarks", "release", "stranger"} or (ROOT / place / "__init__.py").exists()
