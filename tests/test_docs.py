"""What the documents say is run: Python, command lines, the output shown below them, links and paths."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

import flatmin
from tests.imports import children, graph

ROOT = Path(__file__).parents[1]
#: Pages of the site that its build makes.
MADE = (ROOT / "docs" / "api", ROOT / "docs" / "_build")
#: A document that is there once the source is unpacked, and those that GitHub shows.
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if not any(path.is_relative_to(made) for made in MADE)),
]
PAGES = [*DOCUMENTS, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("README.md"))]
documents = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
#: Documents whose blocks take several seconds.
LONG = {"command_line.md", "comparison.md", "networks.md", "panels.md", "ratings.md", "sweeps.md", "tutorial.md"}
run_documents = pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.slow) if p.name in LONG else p for p in DOCUMENTS],
    ids=[str(p.relative_to(ROOT)) for p in DOCUMENTS],
)
pages = pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))

BLOCK = re.compile(r"(<!-- slow -->\n+)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|&& )(?:\.venv/bin/)?flatmin ([^#&|]*)(?:# exit status (\d))?")
CLI = "import sys; from flatmin.cli import main; sys.exit(main())"
FORGIVING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, first line, whether it is slow, and the output shown right below it."""

    language: str
    text: str
    line: int
    slow: bool
    shown: str | None


def blocks(text: str) -> list[Block]:
    found = list(BLOCK.finditer(text))
    out = []
    for match, following in zip_longest(found, found[1:]):
        shown = None
        if following and following[2] == "text" and not text[match.end() : following.start()].strip():
            shown = following[3]
        line = text.count("\n", 0, match.start(3)) + 1
        out.append(Block(match[2], match[3], line, match[1] is not None, shown))
    return out


def commands(block: Block) -> list[tuple[str, int]]:
    """Return the command lines of flatmin in a block, and the exit status each should have."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [(m[1].strip(), int(m[2] or 0)) for line in lines for m in COMMAND.finditer(line)]


def run_python(block: Block, path: Path, names: dict) -> str:
    if "cvxpy" in block.text:
        pytest.importorskip("cvxpy")
    if "pyspark" in block.text or "spark" in re.findall(r'engine="(\w+)"', block.text):
        pytest.importorskip("pyspark")
        if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
            pytest.skip("there is no Java on this machine")
    printed = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.text, str(path), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def run_commands(block: Block, place: Path) -> str:
    printed = ""
    for command, status in commands(block):
        line = [sys.executable, "-c", CLI, *re.findall(r"[^\s'\"]+", command)]
        done = subprocess.run(line, cwd=place, capture_output=True, text=True)
        assert done.returncode == status, f"flatmin {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        printed += done.stderr if status == 2 else done.stdout
    return printed


def run(chosen: list[Block], path: Path, place: Path) -> None:
    (place / "examples").symlink_to(ROOT / "examples")
    names: dict = {"__name__": path.stem}
    for block in chosen:
        if block.language not in ("python", "bash"):
            continue
        printed = run_python(block, path, names) if block.language == "python" else run_commands(block, place)
        if block.shown is not None:
            same = doctest.OutputChecker().check_output(block.shown, printed, FORGIVING)
            assert same, f"{path.name}, line {block.line}: shown\n{block.shown}\nprinted\n{printed}"


@run_documents
def test_documents_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run([block for block in blocks(path.read_text(encoding="utf-8")) if not block.slow], path, tmp_path)


@pytest.mark.slow
@documents
def test_slow_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run([block for block in blocks(path.read_text(encoding="utf-8")) if block.slow], path, tmp_path)


def test_every_document_has_something_to_run_or_to_check():
    counts = {path.name: len(blocks(path.read_text(encoding="utf-8"))) for path in DOCUMENTS}
    assert counts["README.md"] >= 3
    assert counts["tutorial.md"] >= 10
    assert counts["CONTRIBUTING.md"] >= 2


README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
LINES = re.findall(r"^\|.*`(flatmin generate [^`]*)`.*\|$", MODELS, re.MULTILINE)


def test_the_readme_is_short_and_begins_with_a_picture():
    assert len(README.split()) <= 900
    assert README.splitlines()[2].startswith("![")


def test_the_page_of_models_has_both_commands_of_a_model():
    models = {line.split()[2] for line in LINES}
    assert models == set(flatmin.families.names())
    for name in models:
        assert f"flatmin recover {name} " in MODELS


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split()[2])
def test_the_one_line_of_every_model_runs(line, tmp_path):
    run_commands(Block("bash", line + "\n", 1, True, None), tmp_path)


def test_what_is_wrong_is_noticed(tmp_path):
    wrong = "```python\nprint(1)\n```\n\n```text\n2\n```\n"
    with pytest.raises(AssertionError, match="line 2"):
        run(blocks(wrong), tmp_path / "x.md", tmp_path)
    (tmp_path / "examples").unlink()
    with pytest.raises(AssertionError, match="exit 2"):
        run(blocks("```bash\nflatmin recover no-such-family x\n```\n"), tmp_path / "x.md", tmp_path)
    assert commands(blocks("```bash\nx && .venv/bin/flatmin a b  # exit status 1\nflatmin c\n```\n")[0]) == [
        ("a b", 1),
        ("c", 0),
    ]


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pages
def test_links_lead_somewhere(path):
    prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), f"{path.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", there.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(slug, headings), f"{path.name} links to {target}"


@documents
def test_paths_exist(path):
    """A path in code style is found from the root, from the package, or beside the document."""
    prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
    package = Path(flatmin.__file__).parent
    for name in re.findall(r"`(\.?[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|csv|png|html|css|yml|toml)))`", prose):
        if Path(name).name in PRODUCED:
            continue
        assert any((base / name).exists() for base in (ROOT, package, path.parent)), f"{path.name} mentions {name}"


#: Names of files that a run makes, or that a reader is asked to make.
PRODUCED = {
    "completed.csv",
    "completed.png",
    "intervals.csv",
    "predictions.csv",
    "recommendations.csv",
    "low-rank.csv",
    "sparse.csv",
    "signal.png",
    "report.html",
    "summary.json",
    "race.csv",
    "courses.png",
    "courses.svg",
    "slices.png",
    "slices.svg",
    "block_means.py",
}


def test_layers_are_as_drawn():
    """Every line of the picture imports from lines above it only, and every file and folder is on a line."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = next(block.text for block in blocks(text) if block.language == "layers")
    lines = [re.split(r"[,\s]+", line.split("#")[0].strip()) for line in drawn.splitlines()]
    depth = {name: level for level, names in enumerate(lines) for name in names}
    edges = children(graph(), "flatmin")
    assert set(depth) == set(edges)
    assert all(depth[other] < depth[name] for name, others in edges.items() for other in others)
