"""The decorator of estimators: parameters from annotations, and docstrings completed from base classes."""

import inspect
import pydoc
import re

import pytest

import flatmin as fm
from flatmin.estimators.base import MatrixRegressor

CLASSES = [getattr(fm.estimators, name) for name in fm.NAMES["estimators"]]


def documented(cls, heading):
    """Return the names that a section of a class docstring describes."""
    body = re.split(r"^(\w+)\n-+\n", inspect.getdoc(cls), flags=re.MULTILINE)
    entries = re.findall(r"^(\w[\w, ]*)(?: : .*)?\n +\S", body[body.index(heading) + 1], flags=re.MULTILINE)
    return [name for entry in entries for name in entry.split(", ")]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_parameter_is_described_once(cls):
    assert sorted(documented(cls, "Parameters")) == sorted(inspect.signature(cls).parameters)
    assert sorted(cls().get_params()) == sorted(inspect.signature(cls).parameters)


@pytest.mark.parametrize("cls", CLASSES)
def test_common_attributes_are_described_once(cls):
    names = documented(cls, "Attributes")
    assert len(set(names)) == len(names)
    assert {"rank_", "solution_", "certificate_", "flatness_", "noise_", "status_", "n_iter_"} <= set(names)


def test_help_shows_inherited_descriptions():
    text = pydoc.plain(pydoc.render_doc(fm.TraceRegressor))
    for words in ("Strength of the penalty", "nearest to a square", "exact flatness", "Rohde, Tsybakov"):
        assert text.count(words) == 1


def test_only_the_strength_is_positional():
    for cls in CLASSES:
        first, *others = inspect.signature(cls).parameters.values()
        assert first.name == ("alphas" if cls.__name__.endswith("CV") else "alpha")
        assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in others)


def test_removed_parameters_are_refused():
    for cls in (fm.PhaseRetrieval, fm.TraceRegressorCV):
        with pytest.raises(TypeError, match="metric_power"):
            cls(metric_power=0.5)
    assert "metric_power" in inspect.signature(MatrixRegressor).parameters
