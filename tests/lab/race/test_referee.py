"""One run of a competitor: its budget, its errors, and the state it leaves."""

import copy

import pytest
import torch

from flatmin.lab.race import CompetitorError, competitors
from tests.lab.race.small_tasks import Greedy, greedy_grad, modest, small


def greedy_copy(model, loss, x, y, spent):

    copied = copy.deepcopy(model)
    for _ in range(3):
        loss(copied(x), y).backward()
    return loss(model(x), y)


def greedy_look(model, loss, x, y, spent):
    with torch.no_grad():
        values = [loss(model(x), y) for _ in range(6)]
    return loss(model(x), y) + 0 * sum(values)


@pytest.mark.parametrize(
    ("way", "steps"), [(modest, 60), (greedy_grad, 15), (greedy_copy, 15), (greedy_look, 15)], ids=lambda v: str(v)[:22]
)
def test_hidden_gradients_are_charged(way, steps):
    who = Greedy(way=way)
    result = small(who=[who], seeds=1)
    assert result.table[0]["gradients"] == 60
    assert who.count == steps


@pytest.mark.sampled(6)
@pytest.mark.parametrize("who", competitors.names())
def test_nobody_exceeds_the_budget_nor_wastes_it(who):
    row = small(who=[who], seeds=1, budget=40, trials=1).table[0]
    assert row["diverged"] or 37 <= row["gradients"] <= 40


def test_a_competitor_that_computes_nothing_is_stopped():
    idle = Greedy(way=lambda model, loss, x, y, spent: sum((p * 0).sum() for p in model.parameters()))
    with pytest.raises(CompetitorError, match="computed nothing"):
        small(who=[idle])


def test_an_error_of_a_competitor_is_no_divergence():
    def broken(model, loss, x, y, spent):
        raise ValueError("a mistake")

    with pytest.raises(CompetitorError, match=r"greedy failed with seed 1000000 .* a mistake"):
        small(who=[Greedy(way=broken)])


def test_global_states_are_left_alone():
    torch.manual_seed(3)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    small(seeds=1)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
