"""Marks of tests that need what only some systems have."""

import os
from pathlib import Path

import pytest

__all__ = ["needs_full_device", "needs_posix"]

#: Users, forks, signals that kill, and pipes with names.
needs_posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system is none of POSIX")
#: The device that is always full.
needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
