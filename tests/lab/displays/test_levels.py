"""The names, the order and the positions of levels in figures, and the texts and limits around them."""

import matplotlib
import numpy as np

from flatmin.lab.displays.axes import legend_columns
from flatmin.lab.displays.levels import (
    full_caption,
    level_name,
    level_text,
    ordered,
    positions,
    rank,
    sentence_start,
)
from flatmin.lab.displays.style import colour, look, printed
from flatmin.lab.displays.summary import median_interval, summarise, within_reach


def test_numbers_come_before_words():
    levels = ["auto", 0.1, "exact", 0, (2, "flat"), (1, "nuclear")]
    assert sorted(levels, key=rank) == [0, 0.1, "auto", "exact", (1, "nuclear"), (2, "flat")]


def test_a_level_is_named_with_its_parameter_only_if_it_is_a_number():
    assert [level_text(level) for level in (0.25, True, "flat")] == ["0.25", "yes", "flat"]
    assert level_name("flat", "method") == "flat"
    assert level_name((10, "flat"), ("d", "method")) == "d = 10, flat"
    assert level_name(True, "exact") == "exact"


def test_labels_order_the_levels_and_keep_their_looks():
    assert ordered(["flat", "nuclear"], {"nuclear": "nuclear norm", "flat": "flat minimum"}) == [
        (0, "nuclear"),
        (1, "flat"),
    ]
    assert ordered([(1, "flat"), (2, "flat")], {"flat": "flat minimum"}) == [(0, (1, "flat")), (1, (2, "flat"))]


def test_numbers_stand_at_their_value_and_words_side_by_side():
    assert positions([10, 40]) == {10: 10.0, 40: 40.0}
    assert positions(["chain", "product"]) == {"chain": 0.0, "product": 1.0}


def test_labels_become_sentences_and_captions():
    assert sentence_start("time in s") == "Time in s"
    assert sentence_start("m / r(d1 + d2)") == "m / r(d1 + d2)"
    caption = full_caption("All see the same draws.", ["Bars are bands.", ""])
    assert caption == "All see the same draws. Bars are bands."


def test_a_narrow_legend_has_fewer_columns():
    words = ["flat", "nuclear norm", "predicted"]
    assert (legend_columns(words, 330, 9), legend_columns(words, 200, 9)) == (3, 1)


def test_the_style_for_print_ends_with_its_block():
    before = dict(matplotlib.rcParams)
    with printed():
        assert colour(1) == "#d55e00"
    assert dict(matplotlib.rcParams) == before
    assert len({(str(line["color"]), str(line["linestyle"])) for line in map(look, range(16))}) == 16


def test_summaries_of_few_huge_and_zero_values():
    np.testing.assert_array_equal(within_reach(np.array([1.0, -1e200, 1e-300])), [1.0, -np.inf, 0.0])
    assert median_interval(np.arange(1.0, 11.0)) == (2.0, 9.0)
    assert median_interval(np.arange(5.0)) == (-np.inf, np.inf)
    found = summarise(np.array([1.0, 100.0, 0.0]), logarithm=True)
    assert (round(found.value), found.low > 0, found.trials, found.left_out) == (10, True, 2, 1)
