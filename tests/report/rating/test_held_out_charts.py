import numpy as np

from flatmin.report import HeldOutValues
from flatmin.report.rating.held_out_charts import error_chart, prediction_chart
from tests.report.rating.conftest import HELD_OUT


def test_each_value_has_its_predictions():
    figure = prediction_chart(HELD_OUT)
    assert "for 5 groups of true values" in figure.alt
    assert "grouped" not in figure.caption
    assert figure.svg.startswith("<svg")


def test_many_values_are_grouped():
    values = np.random.default_rng(0).standard_normal(400)
    figure = prediction_chart(HeldOutValues(np.ones(400, int), values, {"model": values}))
    assert "for 11 groups" in figure.alt
    assert "Neighbouring values are grouped" in figure.caption


def test_errors_by_the_number_of_values():
    assert "for 5 groups of rows" in error_chart(HELD_OUT).alt
    same = HeldOutValues(np.full(300, 5), HELD_OUT.values, HELD_OUT.predictions)
    assert error_chart(same) is None


def test_few_values_have_no_picture():
    few = HeldOutValues(np.ones(4, int), np.arange(4.0), {"model": np.zeros(4)})
    assert prediction_chart(few) is None
