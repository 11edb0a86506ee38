"""Versions: digests of the code of a cell."""

import importlib
import sys

import pytest

from flatmin.errors import InputError
from flatmin.lab.recipes import digits
from flatmin.lab.runs.source import digest_of, library_digest
from tests.lab import experiments as made

SOURCE = '''
"""A module."""
from flatmin.lab.recipes._recovery import RECOVERED

FACTOR = 2
UNUSED = 3


def helper(x):
    """Return something."""
    return FACTOR * x


def cell(parameters, seed):
    # a comment
    return {"value": helper(parameters["a"]) + RECOVERED}
'''


def digest(tmp_path, monkeypatch, text, name="cells_of_a_test"):
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    return digest_of(module.cell)


def test_the_version_changes_with_what_the_cell_computes_and_with_nothing_else(tmp_path, monkeypatch):
    same = [
        SOURCE.replace("# a comment", "# another, longer comment"),
        SOURCE.replace("UNUSED = 3", "UNUSED = 4"),
        SOURCE.replace('"""Return something."""', '"""Return something else."""'),
        SOURCE.replace('    """Return something."""\n', ""),
        SOURCE + "\n\ndef other():\n    return FACTOR\n",
    ]
    other = [
        SOURCE.replace("FACTOR = 2", "FACTOR = 3"),
        SOURCE.replace("FACTOR * x", "FACTOR + x"),
        SOURCE.replace("import RECOVERED", "import HERMITIAN as RECOVERED"),
    ]
    usual = digest(tmp_path, monkeypatch, SOURCE)
    names = iter(range(100))
    assert {digest(tmp_path, monkeypatch, text, f"same_{next(names)}") for text in same} == {usual}
    assert len({usual} | {digest(tmp_path, monkeypatch, text, f"other_{next(names)}") for text in other}) == 4


def test_the_version_does_not_change_with_the_grid_but_with_the_cell():
    assert made.recipe_of(count=3).version == made.recipe_of(count=5, repetitions=7, seed=2).version
    assert made.recipe_of(made.instant).version != made.recipe_of(made.slow).version


def test_a_cell_without_a_name_is_refused():
    with pytest.raises(InputError, match="expected a function at the top level of a module"):
        _ = made.recipe_of(lambda parameters, seed: {}).version
    with pytest.raises(InputError, match="has no cell"):
        _ = made.recipe_of(resolve=lambda parameters: None).cells


def test_the_code_that_a_cell_imports_inside_is_part_of_its_version(tmp_path, monkeypatch):
    from flatmin.lab.runs import source

    before = source.digest_of(digits.train)
    known = source._source_of

    def changed(module):
        return known(module).replace("products = ", "items = ").replace("PRODUCTS = 40", "PRODUCTS = 41")

    monkeypatch.setattr(source, "_source_of", changed)
    assert source.digest_of(digits.train) != before


def test_the_digest_of_the_library_is_short_and_stable():
    assert len(library_digest()) == 16
    assert library_digest() == library_digest()
