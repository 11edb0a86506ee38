"""The shape of the package: who imports whom, what an import costs, and that every name can be found and read."""

import ast
import importlib
import inspect
import json
import pkgutil
import shutil
import subprocess
import sys
from types import ModuleType

import pytest

import flatmin
from tests.imports import ROOT, WITHOUT_TORCH, children, circle, graph, modules, statements, tree

FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
MODULES = sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "flatmin.") if not m.name.endswith("__main__"))
PACKAGES = [name for name, path in modules().items() if path.name == "__init__.py" and "._" not in name]
FOLDERS = sorted({name.rpartition(".")[0] for name in modules()} - {""})

#: The checker of proofs: a program of its own, which is read as one page and imports nothing of flatmin.
CHECKER = ROOT / "proofs" / "checker.py"

#: Folders in which a file is an entry of a registry may have any number of them.
REGISTRIES = {
    "measurements",
    "parametrizations",
    "families",
    "formats",
    "estimators",
    "report/views",
    "nn/estimators",
    "nn/optimizers",
    "lab/recipes",
}

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


def _run(code, **environment):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment or None)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_imports_itself_by_a_circle():
    assert circle(graph()) is None


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_between_the_parts_of_a_folder_flow_one_way(folder):
    """The files and subfolders of a folder, each subfolder taken as a whole, form layers."""
    assert circle(children(graph(), folder)) is None


def test_a_circle_is_found_in_functions_and_in_imports_for_type_checkers(tmp_path):
    package = tmp_path / "made"
    (package / "below").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "above": "from made.below import first\n",
        "below/__init__": "",
        "below/first": "def f():\n    import made.below.second\n",
        "below/second": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made.above import x\n",
    }.items():
        (package / f"{name}.py").write_text(text)
    edges = graph(package)
    assert edges["made.below.second"] == {"made.above"}
    assert set(circle(edges)) == {"made.above", "made.below.first", "made.below.second"}
    assert set(circle(children(edges, "made"))) == {"above", "below"}
    assert circle(children(edges, "made.below")) is None


def test_only_the_command_line_imports_the_laboratory():
    """`flatmin.nn.race` finds the race when it is used, which no import statement shows."""
    for name, others in graph().items():
        if name.split(".")[1] not in {"lab", "cli"}:
            assert not {other for other in others if f"{other}.".startswith("flatmin.lab.")}, name


def test_folders_are_small():
    assert len(list(ROOT.glob("*.py"))) <= 8
    for folder in {path.parent for path in FILES} - {ROOT}:
        if str(folder.relative_to(ROOT)) not in REGISTRIES:
            assert len(set(folder.glob("*.py")) - {CHECKER}) <= 12, folder


@pytest.mark.parametrize("name", PACKAGES)
def test_what_a_package_shows_is_its_list_of_names(name):
    package = importlib.import_module(name)
    assert set(dir(package)) == set(package.__all__)
    assert len(package.__all__) == len(set(package.__all__))
    for public in package.__all__:
        value, shadowed = getattr(package, public), f"{name}.{public}" in modules()
        assert isinstance(value, ModuleType) or not shadowed, f"{name} binds {public} twice: a file has this name too"


def _loaded(code):
    """Return the modules that a program has loaded at its end."""
    return set(json.loads(_run(f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))")))


def test_import_loads_nothing():
    assert not _loaded("import flatmin") & (HEAVY | {"numpy", "scipy"})


def test_first_names_load_numpy_and_the_linear_algebra_of_scipy_only():
    later = [*flatmin.NAMES["estimators"], *flatmin.NAMES["proofs.exact"]]
    names = sorted({*flatmin.__all__} - {*later})
    loaded = _loaded(f"import flatmin\nfor name in {names}:\n    getattr(flatmin, name)")
    assert not loaded & (HEAVY | {"scipy.optimize", "scipy.special", "scipy.fft", "scipy.stats"})
    assert {"numpy", "scipy.linalg"} <= loaded


def test_every_public_name_has_a_home():
    """The names that type checkers see are those that are imported when they are used."""
    block = next(node for node in tree(ROOT / "__init__.py").body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("flatmin").removeprefix(".") for node in block.body for alias in node.names
    }
    later = {name for module in ("estimators", "proofs.exact") for name in flatmin.NAMES[module]}
    assert {name: home for name, home in flatmin.HOMES.items() if name not in later} == {
        name: home for name, home in seen.items() if home
    }
    assert {*seen} | later | {"InputError", "__version__"} == {*flatmin.__all__}


def test_torch_is_imported_in_three_places_only():
    for path in FILES:
        place = path.relative_to(ROOT).parts
        if place[0] in {"nn", "lab"} or place[:2] == ("testing", "torch"):
            continue
        for node in statements(tree(path)):
            names = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "") or ""]
            )
            assert not any(name.split(".")[0] in {"torch", "curvlinops"} for name in names), path


def test_every_public_name_can_be_imported_without_torch():
    """`nn` and `lab` are attributes outside ``__all__``."""
    _run(
        f"{WITHOUT_TORCH}\nfrom flatmin import *\nimport flatmin\n"
        "assert set(dir(flatmin)) == set(flatmin.__all__) <= set(globals())\n"
        "assert not {'nn', 'lab'} & set(globals())"
    )


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

    Files, reports, the command line and the checker of proofs are exempt: their own Python names are nobody's contract.
    """
    for name in MODULES:
        module = importlib.import_module(name)
        exempt = name.split(".")[1] in {"formats", "report", "cli"} or module.__file__ == str(CHECKER)
        if not hasattr(module, "__all__") or exempt:
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


def test_the_checker_of_proofs_imports_the_standard_library_and_numpy_only():
    for node in statements(tree(CHECKER)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "numpy"}


def test_random_numbers_need_a_seed_and_nothing_is_printed():
    """No global random state, no print: randomness comes through ``seed`` and progress through callbacks."""
    for path in FILES:
        text = path.read_text()
        if path.is_relative_to(ROOT / "cli") or not ("print(" in text or "random" in text):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called != "print", f"{path} prints"
                assert not called.startswith(("np.random.seed", "np.random.randn", "np.random.rand", "random.")), path
                assert not (called.endswith("default_rng") and not node.args), f"{path}: a generator without a seed"
