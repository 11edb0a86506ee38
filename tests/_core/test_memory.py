"""Computations that do not fit in memory are refused before they start."""

import pytest

from flatmin._core import memory
from flatmin.errors import InputError


def test_what_fits_is_allowed_and_what_does_not_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2.0**30)
    memory.require(2.0**29, "this")
    with pytest.raises(InputError, match=r"this would need about 4\.0 GiB of memory and 1\.0 GiB are free"):
        memory.require(2.0**32, "this")


def test_without_a_report_of_the_system_memory_is_infinite(monkeypatch):
    assert memory.available_bytes() > 0
    monkeypatch.setattr(memory.Path, "read_text", lambda self, encoding: (_ for _ in ()).throw(OSError()))
    assert memory.available_bytes() == float("inf")
