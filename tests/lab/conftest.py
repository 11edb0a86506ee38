"""The page of all made-up findings, for the tests of its parts."""

import pytest

from flatmin.lab import write_report
from tests.lab.findings import PROVENANCE, all_evidence


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The page about all evidence, with a command that has nowhere to break."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    command = f"flatmin report {'a-directory-without-any-space-' * 6}"
    write_report(path, all_evidence(), provenance=PROVENANCE, command=command, notes=["A note for the reader."])
    return path


@pytest.fixture(scope="module")
def html(file):
    return file.read_text(encoding="utf-8")
