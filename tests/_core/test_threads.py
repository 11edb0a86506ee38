"""The limit on threads of linear algebra: blocks that overlap, nest, fail, or are forked."""

import os
import threading
from contextlib import ExitStack

import pytest
from threadpoolctl import ThreadpoolController

from flatmin._core.threads import ThreadLimit, one_thread
from tests.systems import needs_posix


class Library(ThreadLimit):
    """A library with a number of threads, either one for the process or one for each thread that asks."""

    def __init__(self, per_thread):
        super().__init__(per_thread=per_thread)
        self.local = threading.local()
        self.default = 4

    def read(self):
        return [getattr(self.local, "count", self.default)]

    def limit(self):
        self.restore([1])

    def restore(self, former):
        (self.default,) = former
        if self.per_thread:
            self.local.count = self.default


class Worker:
    """A thread that enters and leaves blocks when it is asked to, and reads the number of threads that it has."""

    def __init__(self, library):
        self.library, self.blocks = library, []
        self.asked, self.done, self.task = threading.Semaphore(0), threading.Semaphore(0), None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            self.asked.acquire()
            self.answer = self.task()
            self.done.release()

    def ask(self, task):
        self.task = task
        self.asked.release()
        assert self.done.acquire(timeout=10)
        return self.answer

    def enter(self):
        self.blocks.append(self.library.hold())
        self.ask(self.blocks[-1].__enter__)

    def leave(self):
        block = self.blocks.pop()
        self.ask(lambda: block.__exit__(None, None, None))

    def read(self):
        return self.ask(self.library.read)[0]


#: Orders in which two threads enter (capital) and leave (small).
ORDERS = ["ABab", "ABba", "AaBb", "AABaba", "ABAaab", "ABabABba", "ABaAab", "BAAbBaab"]


@pytest.mark.parametrize("per_thread", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_nobody_inside_is_unlimited_and_nobody_is_limited_in_the_end(order, per_thread):
    library = Library(per_thread)
    workers, depth = {name: Worker(library) for name in "AB"}, dict.fromkeys("AB", 0)
    for step in order:
        name = step.upper()
        if step == name:
            workers[name].enter()
            depth[name] += 1
        else:
            workers[name].leave()
            depth[name] -= 1
        for other, worker in workers.items():
            assert worker.read() == 1 or not depth[other]
    assert [worker.read() for worker in workers.values()] == [4, 4]
    assert Worker(library).read() == 4


@pytest.mark.parametrize("per_thread", [False, True])
def test_many_threads_at_random(per_thread):
    library, wrong = Library(per_thread), []

    def work():
        for _ in range(300):
            with library.hold(), library.hold():
                wrong.extend(count for count in library.read() if count != 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert library.read() == [4]


@pytest.mark.parametrize("per_thread", [False, True])
def test_an_exception_restores_the_number(per_thread):
    library = Library(per_thread)
    with library.hold():
        with pytest.raises(KeyboardInterrupt), library.hold():
            raise KeyboardInterrupt
        assert library.read() == [1]
    assert library.read() == [4]


@needs_posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_is_not_limited_by_threads_that_it_has_not():
    library = Library(per_thread=False)
    worker = Worker(library)
    worker.enter()
    for inside, expected in ((False, 4), (True, 1)):
        with ExitStack() as stack:
            if inside:
                stack.enter_context(library.hold())
            child = os.fork()
            if not child:
                os._exit(library.read()[0])
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == expected
    worker.leave()
    assert library.read() == [4]


def _blas():
    return ThreadpoolController().select(user_api="blas")


def _threads():
    return [library["num_threads"] for library in _blas().info()]


def test_blas_is_limited_until_the_last_block_ends():
    with _blas().limit(limits=2):
        before = _threads()
        inside, leave = threading.Event(), threading.Event()

        def first():
            with one_thread():
                inside.set()
                leave.wait(10)

        other = threading.Thread(target=first)
        other.start()
        inside.wait(10)
        with one_thread():
            leave.set()
            other.join()
            assert set(_threads()) == {1}
        assert _threads() == before


def test_blas_is_restored_after_an_exception():
    before = _threads()
    with pytest.raises(KeyboardInterrupt), one_thread(), one_thread():
        raise KeyboardInterrupt
    assert _threads() == before


def test_any_thread_can_set_limits_of_its_own_afterwards():
    """A library that can use two threads uses two; those that other tests load may be built for one."""
    seen = []

    def two():
        with _blas().limit(limits=2):
            seen.append(_threads())

    two()
    with one_thread():
        pass
    thread = threading.Thread(target=two)
    thread.start()
    thread.join()
    assert 2 in seen[0]
    assert seen[1] == seen[0]
