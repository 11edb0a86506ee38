"""The limit on PyTorch's threads, of which every thread that calls it has its own number."""

import threading

import pytest
import torch

from flatmin.nn.threads import one_torch_thread


@pytest.fixture
def two_threads():
    """Let PyTorch have two threads, whatever other tests have set."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _elsewhere(call):
    """Return the answer of a call in another thread."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join()
    return answers[0]


def _inside(entered, leave, seen):
    with one_torch_thread():
        entered.set()
        leave.wait(10)
        seen.append(torch.get_num_threads())
    seen.append(torch.get_num_threads())


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("first", [True, False])
def test_blocks_that_overlap(first):
    """The other thread enters first or second, and leaves last or first."""
    entered, leave, seen = threading.Event(), threading.Event(), []
    other = threading.Thread(target=_inside, args=(entered, leave, seen))
    if first:
        other.start()
        entered.wait(10)
    with one_torch_thread():
        if not first:
            other.start()
            entered.wait(10)
        else:
            leave.set()
            other.join()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    leave.set()
    other.join()
    assert seen == [1, 2]
    assert _elsewhere(torch.get_num_threads) == 2


@pytest.mark.usefixtures("two_threads")
def test_nested_blocks_and_exceptions():
    with one_torch_thread():
        with pytest.raises(KeyboardInterrupt), one_torch_thread():
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert _elsewhere(torch.get_num_threads) == 2
