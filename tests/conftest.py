"""What every test shares: reproducible property tests, SIGINT, and the instances that stand for the families."""

import gc
import signal
import socket
import sys
from collections import defaultdict

import numpy as np
import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

import flatmin as fm

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


class Reached(BaseException):
    """A test tried to reach another machine."""


def _only_this_machine(name):
    """Make a method of sockets, whose last argument is an address, refuse every address outside this machine."""
    method = getattr(socket.socket, name)

    def guarded(self, *arguments):
        address = arguments[-1]
        host = str(address[0]) if isinstance(address, tuple) else ""
        if host not in HOSTS and not host.startswith("127."):
            raise Reached(f"{name} to {address}")
        return method(self, *arguments)

    setattr(socket.socket, name, guarded)


#: Names of this machine. Dask, Spark and processes of PyTorch talk to each other by them.
HOSTS = {"", "::1", "localhost", socket.gethostname()}
for _name in ("connect", "connect_ex", "sendto"):
    _only_this_machine(_name)

#: A package that tests install elsewhere.
collect_ignore = ["stranger"]

#: Family and number of measurements of an 8×6 matrix of rank 2, above and below the recovery threshold.
INSTANCES = {
    ("matrix-sensing", "above"): 40,
    ("matrix-sensing", "below"): 16,
    ("bilinear-sensing", "above"): 42,
    ("bilinear-sensing", "below"): 18,
    ("matrix-completion", "above"): 44,
    ("matrix-completion", "below"): 24,
}


@pytest.fixture(autouse=True)
def _torch_seed():
    """Draw the same torch numbers in a test whichever tests ran before it."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect without the garbage collector, which would walk through all modules and tests time and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Look for doctests in the package only: the tests have none."""
    return [found for found in (yield) if not isinstance(found, DoctestModule)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each file to one process, and all files on Spark to the same one: its session takes long to start.

    The formats whose files are damaged are shared among processes, since together they take minutes.
    """
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            scope = super()._split_scope(nodeid)
            if scope == "tests/benchmarks/test_mutants.py":
                return nodeid
            return "tests/spark" if scope.startswith("tests/spark/") else scope

    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the cases of a test slow, except for those that ``@pytest.mark.sampled(n)`` keeps: n, spread evenly."""
    cases = defaultdict(list)
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            cases[item.nodeid.partition("[")[0], *sampled.args].append(item)
    for (_, n), all_of_one in cases.items():
        kept = set(np.linspace(0, len(all_of_one) - 1, n).round())
        for index, item in enumerate(all_of_one):
            if index not in kept:
                item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Let the processes that tests start heed SIGINT; a shell's background jobs ignore it, and so would they."""
    former = signal.getsignal(signal.SIGINT)
    if former == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.fixture(scope="session", params=INSTANCES, ids="-".join)
def instance(request):
    """An instance of each family, above and below the recovery threshold."""
    name, _ = request.param
    return fm.families.find(name).sample((8, 6), 2, INSTANCES[request.param], seed=3)


@pytest.fixture(scope="session")
def solution(instance):
    """Its flat minimum."""
    return fm.flat_minimum(instance.problem)
