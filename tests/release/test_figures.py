"""Figures of an installation."""

from release.figures import TIMED, seconds, sizes


def test_sizes_are_those_of_the_files():
    found = dict(sizes())
    assert {"numpy", "scipy", "numba", "flatmin"} <= found.keys()
    assert 1e7 < found["numpy"] < 1e9


def test_times_are_those_of_a_process_with_its_own_environment():
    code = "import os; print('noise'); assert os.environ['PLACE'] == 'here'"
    assert 0 < seconds(TIMED.format(code), PLACE="here") < 60
