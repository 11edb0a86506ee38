from types import SimpleNamespace

import numpy as np
import pytest

from flatmin.cli.imputation.completed_table import Imputation
from flatmin.cli.imputation.imputation_model import FACTS, ImputationModel
from flatmin.formats.tables import Role, TableColumn


def column(name, values, role=Role.fitted, reason=""):
    values = np.array(values, dtype=float)
    return TableColumn(name, role, values, np.isnan(values), True, reason)


def imputation(completed, *columns, low=None):
    fitted = [c for c in columns if c.role is Role.fitted]
    table = SimpleNamespace(
        columns=list(columns),
        fitted=fitted,
        matrix=np.stack([c.values for c in fitted], axis=1),
        holes_left=sum(c.n_holes for c in columns if c.role is not Role.fitted),
        notes=["read"],
    )
    facts = {
        c.name: dict.fromkeys(FACTS) | {"whole": True, "smallest": c.bounds[0], "largest": c.bounds[1]} for c in fitted
    }
    model = ImputationModel(None, facts, {"cells": 50, "coverage": None, "confidence": 0.9}, True)
    completed = np.array(completed, dtype=float)
    return Imputation(table, model, 0.9, completed, completed - 1 if low is None else np.array(low), completed + 1, 0.0)


def test_intervals_are_written_row_by_row(tmp_path):
    found = imputation([[1, 2.5], [3, 4]], column("a, b", [np.nan, 3]), column("c", [np.nan, 4]))
    found.write_intervals(tmp_path / "i.csv")
    assert (tmp_path / "i.csv").read_text().splitlines() == [
        "row,column,value,low,high",
        '0,"a, b",1,0,2',
        "0,c,2.5,1.5,3.5",
    ]


def test_notes_are_about_cells_that_stay_and_cells_that_stand_out():
    found = imputation(
        [[9, 2.5], [3, 4]],
        column("a", [np.nan, 3]),
        column("b", [np.nan, 4]),
        column("sex", [np.nan, np.nan], Role.carried, "text"),
        low=[[8, np.nan], [2, 3]],
    )
    assert found.notes() == [
        "read",
        "2 missing cells stay in columns that are not filled: 'sex' (2)",
        "filled cells have no intervals, since too few known cells can be held out for this --confidence",
        "1 row has no number and gets the typical value of each column",
        "known cells are whole numbers in 'b'; --round rounds the filled ones",
        "2 filled cells lie outside the range of the column's known cells; --clip observed bounds them",
    ]


@pytest.mark.parametrize(
    ("cells", "coverage", "said"), [(1000, 0.8, True), (1000, 0.86, False), (50, 0.8, False), (50, None, False)]
)
def test_intervals_that_are_clearly_too_narrow_are_said_to_be(cells, coverage, said):
    found = imputation([[1], [3]], column("a", [np.nan, 3]))
    found.model.held_out.update(cells=cells, coverage=coverage)
    assert any("contain 80 % of held-out cells, expected 90 %" in note for note in found.notes()) is said


def test_a_complete_table_is_said_to_be_one():
    assert imputation([[1.0]], column("a", [1])).notes() == [
        "read",
        "no cell is missing in the numeric columns, so the table is written unchanged",
    ]
