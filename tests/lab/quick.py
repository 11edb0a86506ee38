"""Quick versions of recipes, run in memory for tests."""

from dataclasses import replace
from functools import cache

from flatmin.lab import Evidence, Store, recipes, sweep
from flatmin.lab.pages.findings import Finding


@cache
def quick_finding(name, seed=1):
    """Return the finding of a recipe's quick version with a base seed."""
    recipe = replace(recipes.find(name).quickly(), seed=seed)
    with Store(None) as store:
        return Finding.from_evidence(Evidence(recipe, sweep(recipe, store).results))


def check_finding(finding, *, holding):
    """Check that no claim fails, enough hold, and every figure can be drawn."""
    assert not finding.evidence.failed
    assert not finding.trouble
    verdicts = [claim.verdict for claim in finding.claims]
    assert "fails" not in verdicts
    assert verdicts.count("holds") >= holding
    for display in finding.displays:
        ax = display.plot().ax_
        assert any(each.get_xlabel() for each in (ax, *ax.child_axes))
