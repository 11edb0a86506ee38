"""Links between the guide, the reference and the gallery, found from the names that stand in code.

A page of the guide ends with the public names that it uses and with scripts of the gallery that use them. The page of a
name says which section of the guide uses it most.
"""

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from api_pages import guide, homes, public_names
from mdit_py_plugins.anchors.index import slugify
from sphinx.application import Sphinx

#: Pages with instructions that the table of contents of the guide does not list.
FURTHER = ("tutorial",)
#: Numbers of names and of scripts below a page.
NAMES, SCRIPTS = 24, 6
#: A script is named below a page if its score exceeds this share of that of the best script. The score is high if the
#: script uses names that few other scripts and few other pages use.
CLOSE = 0.25
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE, HEADING = re.compile(r"^(```|~~~|:::)"), re.compile(r"^#{1,4} (.*)$")
INLINE, DOTTED = re.compile(r"`+([^`]+)`+"), re.compile(r"[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Section:
    """A section of a page of the guide."""

    page: str
    title: str
    is_first: bool

    @property
    def link(self) -> str:
        """A link in Markdown from a page of the folder ``api``."""
        place = "" if self.is_first else f"#{slugify(self.title)}"
        return f"[{self.title}](../{self.page}.md{place})"


def guide_pages(docs: Path) -> list[str]:
    """Return the pages of the guide, in order."""
    listed = (line for tree in TREE.findall((docs / "guide.md").read_text(encoding="utf-8")) for line in tree.split())
    return [*FURTHER, *(name for name in listed if (docs / f"{name}.md").is_file())]


@cache
def known() -> dict[str, str]:
    """Return the paths of public names on the site, by all paths and by single words that can mean nothing else."""
    names = public_names()
    home = homes(names)
    found = {name.path: home[id(name.value)].path for name in names}
    words = defaultdict(set)
    for name in names:
        words[name.name].add(home[id(name.value)].path)
    return found | {
        word: next(iter(paths)) for word, paths in words.items() if len(paths) == 1 and re.search("[A-Z_]", word)
    }


def used(text: str) -> list[str]:
    """Return the public names that stand in a line of code, with repetitions."""
    found = []
    for word in DOTTED.findall(text):
        path = re.sub(r"^fm\.", "flatmin.", word)
        name = next((known()[p] for p in (path, path.rpartition(".")[0], path.partition(".")[0]) if p in known()), None)
        found += [name] if name else []
    return found


def mentions(page: str, text: str) -> dict[Section, Counter[str]]:
    """Return how often each section of a page uses public names in code."""
    section, fenced, counts = Section(page, page, True), False, defaultdict(Counter)
    for line in text.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and (heading := HEADING.match(line)):
            section = Section(page, heading[1].replace("`", ""), line.startswith("# "))
        else:
            code = [line] if fenced else INLINE.findall(line)
            if found := [name for part in code for name in used(part)]:
                counts[section].update(found)
    return counts


@cache
def counted(docs: Path) -> dict[Section, Counter[str]]:
    """Return the numbers of uses of names in all sections of the guide."""
    pages = {page: (docs / f"{page}.md").read_text(encoding="utf-8") for page in guide_pages(docs)}
    return {section: names for page, text in pages.items() for section, names in mentions(page, text).items()}


def sections(docs: Path, name: str, most: int = 3) -> list[Section]:
    """Return the section of each page that uses a name most, for the pages that use it most."""
    best = {}
    for section, names in counted(docs).items():
        if names[name] > (best[section.page][0] if section.page in best else 0):
            best[section.page] = (names[name], section)
    return [section for _, section in sorted(best.values(), key=lambda found: -found[0])[:most]]


def scripts(docs: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the pages of the gallery, as path and title, that use a public name."""
    file = docs / "gallery" / "backreferences" / "backreferences_all.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {
        name: [
            (Path(target, Path(script).stem).relative_to(docs).as_posix(), title)
            for script, _, target, _, title in uses
        ]
        for name, uses in found.items()
    }


def footer(docs: Path, page: str, text: str) -> str:
    """Return the links that end a page of the guide."""
    counts = Counter[str]()
    for section, names in counted(docs).items():
        counts.update(names if section.page == page else {})
    rows = []
    if "**API**" not in text:
        rows.append("**API**: " + ", ".join(f"{{py:obj}}`{name}`" for name, _ in counts.most_common(NAMES)))
    uses, scores, titles = scripts(docs), Counter[str](), {}
    everywhere = Counter[str]()
    for names in counted(docs).values():
        everywhere.update(names)
    for name, count in counts.items():
        for path, title in uses.get(name, ()):
            titles[path] = title
            scores[path] += count / everywhere[name] / len(uses[name])
    best = [path for path, score in scores.most_common(SCRIPTS) if score > CLOSE * max(scores.values())]
    rows.append("**Gallery**: " + ", ".join(f"[{titles[path]}]({path}.rst)" for path in best))
    return "\n\n" + "\n\n".join(row for row in rows if not row.endswith(": ")) + "\n"


def ending(docs: Path, name: str) -> str:
    """Return the links that end the page of a public name."""
    links = ", ".join(section.link for section in sections(docs, name))
    text = f"\nGuide: {links}.\n" if links else f"\n{guide(name.rpartition('.')[0])}\n"
    if name in scripts(docs):
        text += f"\n## In the gallery\n\n```{{eval-rst}}\n.. minigallery:: {name}\n```\n"
    return text


def add_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Add the links at the end of a page of the guide or of the reference."""
    docs = Path(app.srcdir)
    if page in guide_pages(docs):
        source[0] += footer(docs, page, source[0])
    elif page.startswith("api/flatmin"):
        source[0] += ending(docs, page.removeprefix("api/"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler, before the one that rewrites links."""
    app.connect("source-read", add_links, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
