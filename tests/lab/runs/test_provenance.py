"""Provenance: stores, environments and times of results."""

import json

from flatmin.lab import Store, sweep
from flatmin.lab.runs.provenance import Origin, Provenance, provenance_of
from flatmin.lab.runs.source import library_digest
from tests.lab.experiments import instant, recipe_of


def test_origins_are_counted_by_environment():
    facts = json.dumps({"library": library_digest()})
    origins = [Origin("a.db", facts, 2.0), Origin("b.db", facts, 1.0), Origin("a.db", None, 3.0)]
    found = Provenance.from_origins(origins, repeated=1)
    assert (found.files, found.first, found.last, found.repeated) == (("a.db", "b.db"), 1.0, 3.0, 1)
    assert [(each.trials, each.differs) for each in found.environments] == [(2, False), (1, True)]


def test_a_sweep_leaves_its_provenance_in_the_store(tmp_path):
    recipe, file = recipe_of(instant, 3), tmp_path / "trials.db"
    with Store(file) as store:
        results = sweep(recipe, store).results
    found = provenance_of(file, recipe, results[:2])
    assert found.files == ("trials.db",)
    assert [(each.trials, each.differs) for each in found.environments] == [(2, False)]
    assert {"flatmin", "python", "numpy", "scipy", "machine"} <= set(found.environments[0].facts)
