"""The order of the gallery, which is that of a course: what a script needs is explained in an earlier one."""

import builtins
from pathlib import PurePosixPath
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

#: Folders of examples and their scripts, in order. Others come last, by name.
COURSE: dict[str, tuple[str, ...]] = {
    "first_steps": ("first_table", "matrix_completion", "matrix_sensing", "proof"),
    "tables": ("imputation", "intervals", "cross_validation", "ratings", "panel"),
    "gross_errors": ("robust_pca_estimator", "robust_pca"),
    "signals": ("hankel", "covariance_sketch", "covariance", "phase_retrieval_estimator", "phase_retrieval"),
    "regression": ("trace_regression", "bilinear_sensing", "bilinear_regression", "quadratic_regression"),
    "networks": ("quadratic_network", "network_flatness", "layers", "flat_training", "trace_penalty", "adapters"),
    "theory": ("general_gram", "phase_map", "depth", "reweighting"),
    "tutorials": ("analyst", "imaging", "student"),
}


def folder(path: str) -> tuple[int, str]:
    """Return the sort key of a folder."""
    name = PurePosixPath(path).name
    return (list(COURSE).index(name) if name in COURSE else len(COURSE), name)


def script(file: str) -> tuple[int, str]:
    """Return the sort key of a script among those of its folder."""
    name = PurePosixPath(file).stem
    place = {name: i for names in COURSE.values() for i, name in enumerate(names)}
    return (place.get(name, len(place)), name)


def name_script(conf: dict[str, Any], file: str) -> None:
    """Let a script know its own name, as it does when it runs by itself; it runs in its folder."""
    builtins.__file__ = file  # type: ignore[attr-defined]


def choose_headers(app: Sphinx, config: Config) -> None:
    """Let only a reStructuredText file introduce a folder of the gallery: README.md is for readers of the source."""
    config.sphinx_gallery_conf["source_suffix"] = [".rst"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the choice, after the defaults of the gallery are filled in."""
    app.connect("config-inited", choose_headers, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
