"""Where displays are drawn: into axes, pages and files, which are the same for the same evidence."""

import dataclasses
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import pytest
from matplotlib.figure import Figure

from flatmin.errors import InputError
from flatmin.lab.displays import (
    CurvesDisplay,
    Display,
    check_figures,
    figure_files,
    page_svg,
    save_figures,
    sheet,
)
from flatmin.lab.displays.style import COLOURS
from tests.lab.evidence_of_displays import DIMENSIONS, evidence_of, kinds, mapped, noisy


@pytest.fixture(scope="module")
def displays():
    return kinds(mapped(), evidence_of(noisy))


def test_plot_draws_into_given_axes_in_the_style_that_is_set(displays):
    with matplotlib.rc_context({"axes.prop_cycle": matplotlib.cycler(color=["#123456", "#654321"])}):
        for display in displays:
            figure = Figure()
            axes = figure.add_subplot()
            assert display.plot(axes) is display
            assert display.ax_ is axes
            assert display.figure_ is figure
            assert axes.lines or axes.patches
        (line,) = (line for line in displays[2].ax_.lines if line.get_label() == "nuclear")
        assert line.get_color() == "#654321"


def test_plot_makes_axes_of_its_own_in_print(displays):
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    try:
        for display in displays:
            display.plot()
            assert display.figure_.axes == [display.ax_]
        (line,) = (line for line in displays[2].ax_.lines if line.get_label() == "nuclear")
        assert line.get_color() == COLOURS[1].lower()
    finally:
        plt.close("all")
    assert dict(matplotlib.rcParams) == before


def test_settings_stay_as_they_were(displays, tmp_path):
    with matplotlib.rc_context({"font.size": 17, "axes.prop_cycle": matplotlib.cycler(color=["r"])}):
        before = dict(matplotlib.rcParams)
        page_svg(displays[0], "x")
        save_figures(displays[:1], tmp_path)
        sheet(displays)
        assert dict(matplotlib.rcParams) == before


def test_pages_get_their_own_colours_and_ids(displays):
    ids = []
    for display in displays:
        svg = page_svg(display, f"made {display.name}")
        root = ET.fromstring(svg)
        own = [element.get("id") for element in root.iter() if element.get("id")]
        ids += own
        for name in re.findall(r'(?:href="#|url\(#)([^")]+)', svg):
            assert name in own
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg), "a colour that does not follow the page"
        assert {"var(--first)", "var(--ink)", "var(--muted)"} <= set(re.findall(r"var\(--\w+\)", svg))
        assert root.get("aria-hidden") == "true"
        assert display.x_label in {"".join(text.itertext()).strip() for text in root.iter("text")}
    assert len(set(ids)) == len(ids)
    assert svg == page_svg(display, f"made {display.name}")


def test_five_lines_of_a_page_have_five_colours():
    many = evidence_of(noisy, method=tuple("abcdef"), d=DIMENSIONS)
    svg = page_svg(CurvesDisplay.from_evidence(many, "many", "Many", x="d", y="error", by="method"), "many")
    drawn = dict.fromkeys(re.findall(r"stroke: var\(--(\w+)\)", svg))
    assert [tone for tone in drawn if tone not in ("line", "muted")] == ["first", "second", "third", "fourth", "ink"]


def test_files_are_the_same_for_the_same_evidence(displays, tmp_path):
    displays, again = displays[::2], kinds(mapped(), evidence_of(noisy))[::2]
    formats = ("png", "svg")
    one, two = (save_figures(made, tmp_path / place) for made, place in ((displays, "a"), (again, "b/c")))
    stems = ["made-map", "made-curves", "made"]
    assert [path.name for path in one] == [f"{stem}.{extension}" for stem in stems for extension in formats]
    assert sorted(one) == sorted((tmp_path / "a").iterdir())
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name
    for path in (path for path in one if path.suffix == ".svg"):
        root = ET.fromstring(path.read_text())
        space = {"s": "http://www.w3.org/2000/svg"}
        title, about = root.find("s:title", space), root.find("s:desc", space)
        assert root.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
        assert [root[0], root[1]] == [title, about]
        wanted = {display.x_label for display in displays if path.stem in ("made", f"made-{display.name}")}
        assert wanted <= {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
        for display in displays:
            assert (display.alt in about.text) == (path.stem in ("made", f"made-{display.name}"))
    from PIL import Image

    with Image.open(one[0]) as image:
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert image.size[0] == int(displays[0].size[0] / 72 * 200)


PROGRAM = """
import sys
import flatmin.lab.displays as displays
assert "matplotlib" not in sys.modules, "drawing is loaded before anything is drawn"
from tests.lab.evidence_of_displays import evidence_of, kinds, mapped, noisy
displays.save_figures(kinds(mapped(), evidence_of(noisy))[:2], sys.argv[1], ("svg", "png"))
"""


@pytest.mark.slow
def test_files_are_the_same_from_another_process(displays, tmp_path):
    here = save_figures(displays[:2], tmp_path / "here", ("svg", "png"))
    for seed in "12":
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "MPLBACKEND": "Agg", "HOME": str(tmp_path)}
        subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / seed)], check=True, env=environment)
        for path in here:
            assert path.read_bytes() == (tmp_path / seed / path.name).read_bytes()


def test_sheets_stand_in_a_grid(displays):
    wide = CurvesDisplay.from_evidence(evidence_of(noisy), "wide", "Wide", x="d", y="error", by="method", wide=True)
    figure = sheet([displays[0], displays[1], wide, displays[2]], "All")
    figure.canvas.draw()
    parts = [part.bbox for part in figure.subfigs]
    assert parts[0].y0 == pytest.approx(parts[1].y0)
    assert parts[0].x1 == pytest.approx(parts[1].x0)
    assert (parts[2].x0, parts[2].x1) == pytest.approx((parts[0].x0, parts[1].x1))
    assert parts[2].y1 <= parts[0].y0 + 1
    assert parts[3].y1 <= parts[2].y0 + 1
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["Share of successes", "Boundary", "Wide", "Error"]
    assert figure.get_suptitle() == "All"


def test_errors_of_files_are_named_and_leave_nothing(displays, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="the format 'jpg' was asked for, expected one of png, svg"):
        save_figures(displays, tmp_path / "new", ("png", "jpg"))
    with pytest.raises(InputError, match=r"two displays would be written to made-map\.svg"):
        save_figures([displays[0], displays[0]], tmp_path / "new", ("svg",))
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"the figures in .*file cannot be written"):
        save_figures(displays, tmp_path / "file", ("svg",))
    assert (tmp_path / "file").read_text() == "mine"

    def breaks(*_):
        raise OSError(28, "No space left on device")

    target = tmp_path / "full"
    target.mkdir()
    (old,) = save_figures(displays[:1], target, ("svg",))
    before = old.read_bytes()
    monkeypatch.setitem(figure_files.FORMATS, "svg", breaks)
    with pytest.raises(InputError, match="No space left on device"):
        save_figures(displays[:1], target, ("svg",))
    assert [path.name for path in target.iterdir()] == ["made-map.svg"]
    assert old.read_bytes() == before


def test_only_former_figures_are_replaced(displays, tmp_path):
    written = save_figures(displays[:2], tmp_path)
    before = {path: path.read_bytes() for path in written}
    assert save_figures(displays[:2], tmp_path) == written
    assert {path: path.read_bytes() for path in written} == before
    image = io.BytesIO()
    Figure().savefig(image, format="png")
    for path in written:
        for own in (b"mine", b"", image.getvalue(), b'<svg><desc id="another-description">a</desc></svg>'):
            path.write_bytes(own)
            for refuses in (check_figures, save_figures):
                with pytest.raises(InputError, match=f"{path.name} is no figure that flatmin wrote; choose another"):
                    refuses(displays[:2], tmp_path)
            assert path.read_bytes() == own
            assert all(other.read_bytes() == before[other] for other in written if other != path)
        path.write_bytes(before[path])
    written[-1].unlink()
    written[-1].mkdir()
    with pytest.raises(InputError, match="is no figure that flatmin wrote"):
        save_figures(displays[:2], tmp_path)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("recipe", "stem"), [("../evil", "evil"), ("my recipe/ü", "my-recipe-ü"), ("a\\b\n\0c", "a-b-c"), ("/..", "recipe")]
)
def test_figures_stay_in_their_directory_whatever_a_recipe_is_called(displays, tmp_path, recipe, stem):
    renamed = [dataclasses.replace(display, recipe=recipe) for display in displays[1:3]]
    written = save_figures(renamed, tmp_path / "own", ("svg",))
    assert [path.name for path in written] == [f"{stem}-boundary.svg", f"{stem}-curves.svg", f"{stem}.svg"]
    assert sorted(tmp_path.rglob("*.*")) == sorted(written)


def test_a_recipe_has_all_its_displays_on_one_sheet(displays, tmp_path):
    other = dataclasses.replace(displays[3], recipe="other")
    written = save_figures([*displays[:3], other], tmp_path, ("svg",))
    assert [path.stem for path in written] == ["made-map", "made-boundary", "made-curves", "made", "other-scatter"]
    root = ET.fromstring((tmp_path / "made.svg").read_text())
    texts = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {display.title for display in displays[:3]} <= texts
    assert other.title not in texts


def test_a_display_of_ones_own_needs_three_methods():
    class Own(Display):
        """A line."""

        alt = "A line."

        def table(self):
            return ["x"], [(1,)]

        def paint(self, ax):
            ax.plot([0, 1])

    own = Own(name="own", title="Own")
    assert "var(--first)" in page_svg(own, "own")
    assert own.plot(Figure().add_subplot()).ax_.lines
