import numpy as np

from flatmin.report.separation.split_pictures import shown_frames, split_pictures
from tests.report.separation.conftest import DATA, WRONG


def test_errors_of_a_table_are_outlined(separated):
    before, after = split_pictures(separated(DATA[:30], WRONG[:30], names=list("abcdef")))
    outlined = before.svg.count("fill: none; stroke: #000000; stroke-width: 1.4")
    assert outlined == WRONG[:30].sum()
    assert before.caption == "Outlined cells are gross errors."
    assert after.title == "Low rank"


def test_a_part_with_all_errors_is_shown_and_said_to_be_one(separated):
    data, mask = np.zeros((500, 40)), np.zeros((500, 40), bool)
    mask[100:110, 7] = True
    before, _ = split_pictures(separated(data, mask))
    assert "36 of 500 rows, 24 of 40 columns." in before.caption
    assert "10 gross errors outlined" in before.alt


def test_three_frames_have_three_pictures_each(separated):
    mask = np.zeros((9, 4, 5, 3), bool)
    mask[[1, 5, 8], 2, 3, 0] = True
    figures = split_pictures(separated(np.full((9, 60), 0.5), mask.reshape(9, 60), frames=mask.shape))
    titles = [figure.title for figure in figures]
    assert titles == [f"{part}, frame {k}" for k in (1, 5, 8) for part in ("Input", "Low rank", "Errors")]
    assert figures[2].caption == "1 pixel in red."
    assert shown_frames(np.eye(2, dtype=bool)) == [0, 1]


def test_a_picture_has_its_parts_next_to_each_other(separated):
    figures = split_pictures(separated(picture=lambda matrix: np.clip(matrix, 0, 1)))
    assert [figure.title for figure in figures] == ["Input", "Low rank", "Errors"]
    assert f"{WRONG.sum()} wrong pixels" in figures[2].alt
