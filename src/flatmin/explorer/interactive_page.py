"""The explorer as HTML: a fragment for a page of the site, or a whole page."""

from functools import cache
from pathlib import Path

from flatmin._core.files import check_page, write_page

__all__ = ["fragment", "page", "write_explorer"]

FOLDER = Path(__file__).parent
#: What marks a page of the explorer, which may be replaced.
GENERATOR = "flatmin explorer"
#: The scripts in the order in which they use each other.
SCRIPTS = ("matrices", "completion", "descent", "pictures", "valley", "table", "phase", "start")


@cache
def fragment() -> str:
    """Return the explorer as an HTML element with its style, scripts and stored results.

    Examples
    --------
    >>> fragment().startswith("<style>")
    True
    """
    scripts = "\n".join(_text(f"{name}.js") for name in SCRIPTS)
    results = f'<script type="application/json" id="explorer-results">{_text("figure_3.json")}</script>'
    return f"<style>{_text('explorer.css')}</style>\n{_text('page.html')}\n{results}\n<script>{scripts}</script>\n"


def page() -> str:
    """Return the explorer as a page of its own.

    Examples
    --------
    >>> page().splitlines()[0], page().count("<h1>")
    ('<!doctype html>', 1)
    """
    style = "body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 1rem/1.6 system-ui, sans-serif; }"
    dark = "@media (prefers-color-scheme: dark) { body { background: #11151a; color: #e5e8ec; } }"
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="generator" content="{GENERATOR}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>See a flat minimum</title><style>{style} {dark}</style></head>
<body><main><h1>See a flat minimum</h1>
{fragment()}</main></body>
</html>
"""


def write_explorer(file: Path) -> None:
    """Write the page; an earlier one is replaced. `InputError` is raised if it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "explorer.html"
    >>> write_explorer(file)
    >>> file.read_text(encoding="utf-8") == page()
    True
    """
    check_page(file, GENERATOR, "former page of the explorer")
    write_page(file, page())


def _text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
