"""Show documents of the repository that lie outside this folder as pages, and let links lead to those pages."""

import os
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

#: Pages of this folder whose text is followed by that of another document.
DOCUMENTS = {
    "contribute": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
    "conduct": "CODE_OF_CONDUCT.md",
    "data": "examples/data/README.md",
    "governance": "GOVERNANCE.md",
    "security": "SECURITY.md",
}
#: An example, which is a page of the gallery.
SCRIPT = re.compile(r"^examples/(?!data/)(\w+/\w+)\.py$")
#: A link to a file in Markdown.
LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)")


def add_document(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the document that belongs to a page, and let its links and those of the page lead to pages."""
    root, own = Path(app.srcdir).parent, f"docs/{page}.md"
    text = _relinked(source[0], own, own)
    if document := DOCUMENTS.get(page):
        content = (root / document).read_text(encoding="utf-8").partition("\n")[2]
        text += "\n" + _relinked(content, document, own)
    source[0] = text


def _relinked(text: str, document: str, page: str) -> str:
    """Return the text of a document with links that are right on a page; both are paths from the root."""
    pages = {outside: f"docs/{name}.md" for name, outside in DOCUMENTS.items()}

    def link(found: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(document), found[1]))
        target = SCRIPT.sub(r"docs/gallery/\1.rst", target)
        return "](" + os.path.relpath(pages.get(target, target), os.path.dirname(page))

    return LINK.sub(link, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler, and the language of the picture of layers."""
    app.connect("source-read", add_document)
    app.add_lexer("layers", TextLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
