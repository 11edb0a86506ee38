"""Files of displays: PNG and SVG files for print, and SVG code for HTML pages."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from flatmin._core.files import atomic_path, refused_if_unwritable
from flatmin.errors import InputError
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.style import printed

__all__ = ["FORMATS", "PNG_RESOLUTION", "check_figures", "page_svg", "save_figures", "sheet"]

#: Resolution of PNG files, in dots per inch.
PNG_RESOLUTION = 200
#: The font with which Matplotlib measures texts, as named in SVG files; other fonts are added after it.
SVG_FONT = "'DejaVu Sans'"
#: The field "Software" of PNG files, by which former figures are recognised before they are replaced.
PNG_SOFTWARE = "flatmin"


def page_svg(display: Display, address: str) -> str:
    """Return a display as SVG for an HTML page, in the page's colours and font.

    The ids in the SVG begin with ``address``, so that ids of several drawings differ. Screen readers skip the drawing;
    the page has ``display.alt`` as text.
    """
    from flatmin.report.pictures.drawing import draw

    def paint(figure: Any) -> None:
        display.paint(figure.add_subplot())

    return draw(re.sub(r"[^A-Za-z0-9_-]+", "-", address), display.size, paint)


def sheet(displays: Sequence[Display], title: str = "") -> Any:
    """Return one Matplotlib figure for print with one or more displays; narrow displays stand side by side."""
    if not displays:
        raise InputError("a sheet of no displays was requested, expected at least one display")
    with printed():
        return _sheet(displays, title)


def save_figures(displays: Sequence[Display], directory: Any, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write every display to its own files, and all displays of a recipe to a sheet named after the recipe.

    The same results give the same bytes with the same version of Matplotlib. An existing file is replaced only if
    flatmin wrote it as a figure of the same name.

    Parameters
    ----------
    displays : sequence of Display
        The displays, of one recipe or several.
    directory : path
        The directory, which is created if needed. Files are called ``RECIPE-NAME.png``, and sheets ``RECIPE.png``. In
        the recipe's name, characters other than letters and digits become hyphens.
    formats : sequence of str
        The formats to write: "png", "svg" or both.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    InputError
        If a format is unknown, two displays have the same name, the directory cannot be written to, or a file that
        would be replaced is not a former figure. Nothing is written in these cases.
    """
    check_figures(displays, directory, formats)
    directory = Path(directory)
    written = []
    with refused_if_unwritable(f"the figures in {directory}"):
        directory.mkdir(parents=True, exist_ok=True)
        for name, title, words, make in _pictures(displays):
            for extension in formats:
                path = directory / f"{name}.{extension}"
                with printed(**{"svg.hashsalt": name}), atomic_path(path) as temporary:
                    temporary.write_bytes(FORMATS[extension](make(), name, title, words))
                written.append(path)
    return written


def check_figures(displays: Sequence[Display], directory: Any, formats: Sequence[str] = ("png", "svg")) -> None:
    """Raise `InputError` if a name, a format or an existing file would make `save_figures` fail; write nothing."""
    for extension in formats:
        if extension not in FORMATS:
            raise InputError(f"the format {extension!r} was asked for, expected one of {', '.join(FORMATS)}")
    names = [name for name, _, _, _ in _pictures(displays)]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two displays would be written to {name}.{formats[0]}, expected names that differ")
        for path in (Path(directory) / f"{name}.{extension}" for extension in formats):
            if not _replaceable(path, name):
                raise InputError(f"{path} is no figure that flatmin wrote; choose another directory, or move the file")


def _replaceable(path: Path, name: str) -> bool:
    """Return whether the file does not exist or is a former figure of this name."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except IsADirectoryError:
        return False
    except OSError as error:
        raise InputError(f"{path}, which would be replaced, cannot be read: {error.strerror or error}") from error
    if path.suffix == ".svg":
        return f'<desc id="{name}-description">'.encode() in content
    return content.startswith(b"\x89PNG") and f"tEXtSoftware\0{PNG_SOFTWARE}".encode() in content.partition(b"IDAT")[0]


def _pictures(displays: Sequence[Display]) -> Iterator[tuple[str, str, str, Callable[[], Any]]]:
    """Yield the name, the title, the description and the drawing function of each figure to be written."""
    for recipe in dict.fromkeys(display.recipe for display in displays):
        own = [display for display in displays if display.recipe == recipe]
        # The name of a recipe may have any characters, even slashes; those of file names are safe.
        stem = re.sub(r"[^\w-]+", "-", recipe).strip("-") or "recipe" * bool(recipe)
        for display in own:
            name = f"{stem}-{display.name}" if stem else display.name
            yield name, display.title, _description(display), partial(_sheet, [display])
        if recipe and len(own) > 1:
            words = " ".join(f"{display.title}. {_description(display)}" for display in own)
            yield stem, recipe, words, partial(_sheet, own)


def _description(display: Display) -> str:
    return f"{display.alt} {display.caption}".strip()


def _sheet(displays: Sequence[Display], title: str = "") -> Any:
    """Return one Matplotlib figure with all displays, in the current style."""
    from matplotlib.figure import Figure

    columns = 1 if len(displays) == 1 else 2 if len(displays) < 5 else 3
    rows = _rows(displays, columns)
    narrow, wide = Display.WIDTHS
    width = max(columns * narrow, wide if any(display.wide for display in displays) else 0)
    heights = [max(display.size[1] for display in row) + 28 for row in rows]
    size = (width / 72, sum(heights) / 72 + 0.4 * bool(title))
    figure = Figure(figsize=size, layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
    for down, row in enumerate(rows):
        for across, display in enumerate(row):
            place = grid[down, :] if display.wide else grid[down, across]
            part = figure if len(displays) == 1 else figure.add_subfigure(place)
            part.suptitle(_wrapped(display.title, part), x=0.02, ha="left", fontweight="bold")
            display.paint(part.add_subplot())
    return figure


def _rows(displays: Sequence[Display], columns: int) -> list[list[Display]]:
    rows: list[list[Display]] = []
    for display in displays:
        full = not rows or rows[-1][0].wide or len(rows[-1]) == columns
        if display.wide or full:
            rows.append([display])
        else:
            rows[-1].append(display)
    return rows


def _wrapped(title: str, part: Any) -> str:
    """Return a title, broken into lines if it is wider than the figure."""
    import textwrap

    points = part.bbox.width / part.dpi * 72
    return "\n".join(textwrap.wrap(title, max(20, int(points / 6.3))))


def _svg(figure: Any, name: str, title: str, words: str) -> bytes:
    """Return a figure as SVG with a title and a description for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    head, _, rest = buffer.getvalue().partition("<svg ")
    attributes, _, body = rest.partition(">")
    ids = f"{name}-title", f"{name}-description"
    about = f'<title id="{ids[0]}">{escape(title)}</title>\n <desc id="{ids[1]}">{escape(words)}</desc>'
    body = body.replace(SVG_FONT, f"{SVG_FONT}, Verdana, sans-serif")
    return f'{head}<svg role="img" aria-labelledby="{ids[0]} {ids[1]}" {attributes}>\n {about}{body}'.encode()


def _png(figure: Any, name: str, title: str, words: str) -> bytes:
    buffer, about = io.BytesIO(), {"Software": PNG_SOFTWARE, "Title": title, "Description": words}
    figure.savefig(buffer, format="png", dpi=PNG_RESOLUTION, metadata=about)
    return buffer.getvalue()


#: The function that writes a figure in each format, by the ending of its files.
FORMATS: dict[str, Callable[[Any, str, str, str], bytes]] = {"png": _png, "svg": _svg}
