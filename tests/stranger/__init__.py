"""Additions to flatmin in a package of their own; `tests/test_extension.py` installs a copy and uses it."""
