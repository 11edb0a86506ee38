"""The limit on threads of linear algebra."""

import threading

from flatmin._core.threads import _controller, one_thread


def _threads():
    return [info["num_threads"] for info in _controller().info() if info["user_api"] == "blas"]


def test_blocks_that_overlap_restore_what_was_there():
    with _controller().limit(limits=2, user_api="blas"):
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


def test_an_exception_restores_it_too():
    before = _threads()
    try:
        with one_thread(), one_thread():
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert _threads() == before
