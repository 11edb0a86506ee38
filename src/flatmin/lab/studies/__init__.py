"""Questions about flatness that are answered by an experiment, one file each, found by themselves."""

from importlib import import_module

from flatmin._core.registry import submodules
from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.studies.base import Findings, Study, write_findings

__all__ = ["Claim", "Findings", "Study", "find", "names", "write_findings"]


def names() -> list[str]:
    """Return the names of all studies, as on the command line."""
    found = submodules(list(__path__))
    return [name.replace("_", "-") for name in found if hasattr(import_module(f"{__name__}.{name}"), "STUDY")]


def find(name: str) -> Study:
    """Return the study of a name such as "relu-bias", or raise `InputError`."""
    known = name.replace("_", "-")
    if known not in names():
        raise InputError(f"there is no study {name!r}, expected one of {', '.join(names())}")
    study = import_module(f"{__name__}.{known.replace('-', '_')}").STUDY
    assert isinstance(study, Study)
    return study


def __dir__() -> list[str]:
    return __all__
