from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from flatmin.report.pictures import blocks, figures
from flatmin.report.pictures.drawing import draw


def block_of(values):
    values = np.asarray(values, dtype=float)
    return blocks.Block(values, np.arange(len(values)), np.arange(values.shape[1]), values.shape)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (160, 3), (3, 160)])
def test_heat_maps_of_any_shape_are_well_formed(shape) -> None:
    block = block_of(np.random.default_rng(0).standard_normal(shape))
    svg = figures.heat_map("map", block, figures.scale_of([block]))
    assert parsed(svg).get("aria-hidden") == "true"
    assert "#0102" not in svg
    assert "http" not in svg


@pytest.mark.parametrize("fill", [0.0, 3.0, -3.0, np.nan])
def test_heat_map_of_a_constant(fill: float) -> None:
    block = block_of(np.full((4, 5), fill))
    low, high = figures.scale_of([block])
    assert low < high
    assert "nan" not in re.sub(r'"data:[^"]*"', "", figures.heat_map("map", block, (low, high))).lower()


@pytest.mark.parametrize("values", [[1.0], [1.0, 1e-9], [3.0, 2.0, 1.0], [0.0]])
def test_singular_values_mark_the_rank(values) -> None:
    svg = figures.singular_values("s", np.array(values), max(3, len(values)))
    assert f"rank {len(values)}" in "".join(parsed(svg).itertext())


def test_picture_is_small_and_transparent_where_nothing_was_seen() -> None:
    image = np.random.default_rng(0).random((30, 2000, 3))
    image[0, :100] = np.nan
    uri = figures.picture(image)
    result = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert max(result.size) == figures.LARGEST_IMAGE
    assert result.mode == "RGBA"
    assert result.getpixel((0, 0))[3] < 255
    assert Image.open(io.BytesIO(base64.b64decode(figures.picture(np.ones((4, 5))).split(",")[1]))).size == (5, 4)


def test_negative_eigenvalues_are_told_apart() -> None:
    svg = figures.singular_values("s", np.array([2.0, 1.0]), 4, negative=np.array([False, True]))
    assert "negative" in "".join(parsed(svg).itertext())
    assert "negative" not in "".join(parsed(figures.singular_values("s", np.array([2.0, 1.0]), 4)).itertext())


def test_angles_have_their_own_scale() -> None:
    block = block_of([[-3.0, 0.0], [np.nan, 3.0]])
    texts = "".join(parsed(figures.heat_map("angles", block, (-np.pi, np.pi), angles=True)).itertext())
    assert "−π" in texts
    assert "π" in texts


def test_convergence_without_a_gap() -> None:
    history = {"iteration": np.array([1.0, 2.0]), "residual": np.array([1e-2, 1e-9])}
    texts = "".join(parsed(figures.convergence("c", history, {"residual": 1e-12}, {"residual": 1e-8})).itertext())
    assert "relative residual" in texts
    assert "gap" not in texts


def test_drawings_are_short_and_words_in_them_are_left_alone():
    """Names that nothing refers to go, and what looks like markup in a label is a label."""
    label = 'd="1.23456" id="x" url(#y) font-family: z; <b>'

    def paint(figure):
        axes = figure.add_subplot()
        axes.plot([0, 1], [0.123456, 1], "o-", label=label)
        axes.legend()

    svg = draw("a-long-name-of-a-drawing", (200.0, 100.0), paint)
    assert 'd="1.23456" id="x" url(#y) font-family: z; &lt;b&gt;' in svg
    tags = "".join(re.findall("<[^>]*>", svg))
    ids, used = re.findall(r' id="([^"]*)"', tags), re.findall(r'(?:url\(|href=")#([^)"]+)', tags)
    assert set(ids) == set(used)
    assert not re.search(r"\d\.\d{3,}|font-family", re.sub(r'style="[^"]*"|viewBox="[^"]*"', "", tags))
    assert draw("another", (200.0, 100.0), paint).count(ids[0]) == 0
