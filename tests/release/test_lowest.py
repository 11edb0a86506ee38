"""Constraints to the lowest versions."""

import pytest
from packaging.requirements import Requirement
from release.lowest import constraints
from release.requirements import lowest, project, stated


def test_every_dependency_has_a_lowest_version():
    lines = constraints(project()["optional-dependencies"])
    assert len({line.partition("==")[0] for line in lines}) == len(lines)
    assert "numpy==1.26" in lines
    assert {r.name.lower() for r in stated()} <= {line.partition("==")[0] for line in lines}


def test_the_largest_of_several_lowest_versions_counts():
    assert "pyarrow==16" in constraints(["parquet"])
    assert "pyarrow==18" in constraints(["parquet", "spark"])
    assert "pyarrow==18" in constraints(["test"])


def test_a_requirement_without_a_lowest_version_is_refused():
    with pytest.raises(ValueError, match="states no lowest version"):
        lowest(Requirement("numpy<3"))
