"""Competitors: their settings, their units, their step sizes, and what identifies them in a store."""

import dataclasses
import importlib.util
import linecache
import sys

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab.race import FactoredTask, competitors
from tests.lab.race.small_tasks import METHOD, Greedy, Plain, greedy_grad, instance, modest, network, task


def test_a_changed_method_reuses_nothing(tmp_path):
    first = Greedy(way=modest)
    assert Greedy(way=modest).facts == first.facts
    assert Greedy(way=greedy_grad).facts != first.facts
    classes = []
    for text in (METHOD, METHOD.replace("/ 2", "/ 3")):
        (tmp_path / "edited.py").write_text(text)
        linecache.checkcache()
        spec = importlib.util.spec_from_file_location("edited", tmp_path / "edited.py")
        sys.modules["edited"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["edited"])
        classes.append(sys.modules["edited"].COMPETITORS[0].facts)
    del sys.modules["edited"]
    assert classes[0] != classes[1]


def test_units_make_step_sizes_free_of_scale():
    small, large = task(), type(task())(rescaled(task().problem, 1000.0))
    for who in (Plain(), competitors.find("label-noise"), competitors.find("trace-penalty")):
        ratio = who.unit(small) / who.unit(large)
        assert ratio == pytest.approx(1000, rel=0.02)


def rescaled(problem, factor):
    return dataclasses.replace(problem, data=factor * problem.data)


def test_strengths_are_tuned_on_networks_in_as_many_trials():
    who = competitors.find("trace-penalty")
    on_network, on_factors = who.tuning_grid(network(), 6), who.tuning_grid(task(), 6)
    assert len(on_network) == len(on_factors) == 6
    assert {strength for _, strength in on_factors} == {who.strength}
    strengths = [strength for _, strength in on_network]
    assert np.allclose(sorted(strengths), who.strength * np.logspace(-2, 1, 6))
    steps = [step for step, _ in on_network]
    assert abs(np.corrcoef(np.log(steps), np.log(strengths))[0, 1]) < 0.7


def test_settings_make_a_variant():
    strong = competitors.find("label-noise").variant(name="strong-noise", strength=2.0)
    assert (strong.name, strong.strength, competitors.find("label-noise").strength) == ("strong-noise", 2.0, 0.7)
    assert strong.facts != competitors.find("label-noise").facts
    with pytest.raises(InputError, match="no setting"):
        competitors.find("label-noise").variant(power=2)


def test_batches_are_for_losses_that_are_means():

    made = fm.families.robust_pca.sample((6, 5), 1)
    assert "no batches" in competitors.find("sgd").objection(FactoredTask(made.problem, made.truth))
    assert instance() is not None


@pytest.mark.parametrize("batch", [0, -1, 2.5, True])
def test_a_batch_is_a_positive_number(batch):
    with pytest.raises(InputError, match="batch is"):
        competitors.find("label-noise").variant(batch=batch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": ""}, "name of the competitor Competitor is '', expected words"),
        ({"title": None}, "title of the competitor Competitor is None"),
        ({"steps": (0, 1)}, "steps of sgd are"),
        ({"steps": (2, 1)}, "expected two positive numbers, ascending"),
    ],
    ids=str,
)
def test_a_competitor_that_is_not_described_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        competitors.find("sgd").variant(**settings)
