"""The directive ``explorer``: the interactive page of the package, inside a page of the site."""

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from flatmin.explorer import fragment


class Explorer(Directive):
    """Show the explorer."""

    def run(self) -> list[nodes.Node]:  # noqa: D102
        return [nodes.raw("", fragment(), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("explorer", Explorer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
