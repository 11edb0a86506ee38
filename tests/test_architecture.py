"""The shape of the package: who imports whom, what an import costs, and that every name can be found and read."""

import ast
import importlib
import inspect
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flatmin

ROOT = Path(flatmin.__file__).parent

#: Each module or package may import from earlier lines only; neighbours on a line know nothing of each other.
LAYERS = [
    {"errors", "_version", "_registry", "_files", "_threads", "_progress"},
    {"metric", "_memory", "claim"},
    {"_validation", "losses", "kernels", "krylov", "subspaces"},
    {"measurements", "random_starts", "factorizations"},
    {"operator_norm", "margins"},
    {"parametrizations"},
    {"problem", "noise"},
    {"flatness", "stability"},
    {"uniqueness"},
    {"certificates", "robust_uniqueness"},
    {"robust_certificates"},
    {"solution"},
    {"solvers"},
    {"flattest"},
    {"families", "spark"},
    {"estimators"},
    {"testing", "formats"},
    {"report"},
    {"nn"},
    {"experiments"},
    {"cli"},
    {"__main__"},
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "flatmin.") if not m.name.endswith("__main__"))

HEAVY = {
    "matplotlib",
    "sklearn",
    "numba",
    "pandas",
    "PIL",
    "jinja2",
    "typer",
    "rich",
    "torch",
    "cvxpy",
    "dask",
    "joblib",
}


def _top(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path):
    """Return the top-level names inside flatmin that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"flatmin.{a.name}" for a in node.names} if node.module == "flatmin" else {node.module or ""}
    return {name.split(".")[1] for name in found if name.startswith("flatmin.")}


def _run(code, **environment):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment or None)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_flow_one_way(path):
    top = _top(path)
    assert top in DEPTH, f"{top} has no place in LAYERS; give it one"
    for other in _imports(path) - {top}:
        assert DEPTH[other] < DEPTH[top], f"{top} imports {other}, which stands above it or beside it"


def test_the_direction_test_can_fail(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "from flatmin import solvers\ndef f():\n    import flatmin.cli.main\n    from flatmin.report import x\n"
    )
    assert _imports(path) == {"solvers", "cli", "report"}


def test_import_loads_numpy_and_scipy_only():
    loaded = json.loads(_run("import json, sys, flatmin; print(json.dumps(sorted(sys.modules)))"))
    tops = {name.split(".")[0] for name in loaded}
    assert not tops & HEAVY
    assert {"flatmin", "numpy"} <= tops


@pytest.mark.parametrize("path", [p for p in FILES if _top(p) != "nn"], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_nn_imports_torch(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
        assert not any(name.split(".")[0] in {"torch", "curvlinops"} for name in names)


def test_without_torch_one_sentence_says_what_to_install():
    message = _run(
        "import sys; sys.modules['torch'] = None\nimport flatmin\ntry: flatmin.nn\nexcept ImportError as e: print(e)"
    )
    assert message.strip() == "flatmin.nn needs PyTorch, which is not installed: pip install 'flatmin[torch]'"


@pytest.mark.parametrize("name", ["flatmin", *MODULES])
def test_public_names_are_documented_and_reachable(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    private = any(part.startswith("_") for part in name.split("."))
    assert private or hasattr(module, "__all__"), f"{name} does not say what is public"
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert inspect.getdoc(value), f"{name}.{public} has no docstring"
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if not method.startswith("_") and (inspect.isfunction(function) or isinstance(function, property)):
                    assert inspect.getdoc(getattr(value, method)), f"{name}.{public}.{method} has no docstring"


def test_every_public_name_is_in_some_list():
    """A class or function without underscore that ``__all__`` does not list is public by accident.

    Files, reports and the command line are exempt: their own Python names are nobody's contract.
    """
    for name in MODULES:
        module = importlib.import_module(name)
        if not hasattr(module, "__all__") or name.split(".")[1] in {"formats", "report", "cli"}:
            continue
        own = {
            key
            for key, value in vars(module).items()
            if not key.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
            and value.__module__ == name
        }
        assert own <= set(module.__all__) | INTERNAL.get(name, set()), name


#: Results of `Measurement` methods: reached through them, never by name.
INTERNAL: dict[str, set[str]] = {}


def test_the_contract_is_there():
    top = "Problem Product Solution Status Certificate Flatness InputError flat_minimum certify flatness __version__"
    below = {
        "measurements": "Measurement Dense RankOne Entries Identity FromLinearOperator",
        "losses": "Squared",
        "families": "matrix_sensing bilinear_sensing matrix_completion",
        "testing": "check_measurement check_parametrization check_solution",
    }
    assert set(top.split()) | set(below) <= set(flatmin.__all__)
    for name, listed in below.items():
        assert set(listed.split()) <= set(getattr(flatmin, name).__all__)


NEW_MEASUREMENT = '''
"""The trace."""

import numpy as np

from flatmin.measurements.base import Measurement

__all__ = ["Trace"]


class Trace(Measurement):
    """``tr X``."""

    def __init__(self, n):
        self.shape, self.size, self.dtype = (n, n), 1, np.dtype(float)

    def forward(self, X):
        """Return the trace."""
        return np.array([np.trace(X)])

    def adjoint(self, y):
        """Return a multiple of the identity."""
        return y[0] * np.eye(self.shape[0])
'''
NEW_FAMILY = '''
"""A new model."""

from flatmin.families.base import Family, Instance
from flatmin.measurements import Trace
from flatmin.problem import Problem

__all__ = ["FAMILY", "sample"]


def sample(shape, rank, n_measurements, *, noise=0.0, seed=0):
    """Return the same problem every time."""
    return Instance(Problem(Trace(shape[0]), [1.0]))


FAMILY = Family("new-model", "New model", {}, lambda arrays: None, lambda problem: {}, sample)
'''


def test_new_files_are_found_by_themselves(tmp_path):
    """Dropping a file into ``measurements/`` or ``families/`` is all it takes."""
    copy = shutil.copytree(ROOT, tmp_path / "flatmin", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "measurements" / "trace.py").write_text(NEW_MEASUREMENT)
    (copy / "families" / "new_model.py").write_text(NEW_FAMILY)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import flatmin as fm
assert fm.__file__.startswith({str(tmp_path)!r})
fm.testing.check_measurement(fm.measurements.Trace(3))
p = fm.families.find("new-model").sample((3, 3), 1, 1).problem
print(fm.families.names(), fm.measurements.__all__, fm.flat_minimum(p).status.name, fm.families.new_model.__doc__)
"""
    out = _run(code)
    assert "'new-model'" in out
    assert "'Trace'" in out
    assert "flat_minimum A new model." in out


def test_registries_list_every_file():
    for package in ("measurements", "parametrizations", "families"):
        listed = set(getattr(flatmin, package).__all__)
        for path in (ROOT / package).glob("[!_]*.py"):
            if path.stem != "base":
                module = importlib.import_module(f"flatmin.{package}.{path.stem}")
                assert {path.stem} <= listed if package == "families" else set(module.__all__) <= listed


def test_random_numbers_need_a_seed_and_nothing_is_printed():
    """No global random state, no print: randomness comes through ``seed`` and progress through callbacks."""
    for path in FILES:
        if _top(path) in {"cli"}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called != "print", f"{path} prints"
                assert not called.startswith(("np.random.seed", "np.random.randn", "np.random.rand", "random.")), path
                assert not (called.endswith("default_rng") and not node.args), f"{path}: a generator without a seed"
