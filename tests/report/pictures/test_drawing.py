"""Drawings: text, ids and colours."""

import re

import numpy as np

from flatmin.report.pictures import figures
from tests.report.pictures.test_figures import block_of, parsed


def test_labels_are_text_not_markup_or_mathematics() -> None:
    svg = figures.heat_map("map", block_of(np.eye(2)), (0.0, 1.0), labels=(["<b>", "a\nb\0"], ["$x$", "y" * 99]))
    texts = ["".join(node.itertext()).strip() for node in parsed(svg).iter("text")]
    assert {"<b>", "a b", "$x$", "y" * 13 + "…"} <= set(texts)


def test_ids_do_not_collide_and_colours_follow_the_page() -> None:
    history = {"iteration": np.array([1.0, 2.0]), "residual": np.array([1e-2, 0.0]), "gap": np.array([-1e-3, 0.0])}
    final = {"residual": 0.0, "gap": -1e-18}
    both = [figures.convergence(name, history, final, {"gap": 1e-6}) for name in ("one", "two")]
    ids = [re.findall(r'\bid="([^"]*)"', svg) for svg in both]
    assert not set(ids[0]) & set(ids[1])
    references = re.findall(r"url\(#([^)]*)\)", both[0]) + re.findall(r'href="#([^"]*)"', both[0])
    assert references
    assert set(references) <= set(ids[0])
    assert "var(--first)" in both[0]
    assert both[0] == figures.convergence("one", history, final, {"gap": 1e-6})
