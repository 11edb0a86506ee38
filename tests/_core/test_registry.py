"""Registry: names from files, calls and entry points; duplicates and broken entry points are refused."""

import sys

import pytest

from flatmin._core.registry import Registry
from flatmin.errors import InputError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that writes files, by path, into a folder that can be imported from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(**files):
        for path, text in files.items():
            file = tmp_path / (path.replace("__", "/") + ".py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def entry_points(folder, text, group="shapes.numbers"):
    info = folder / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{text}\n")


def numbers(**settings):
    return Registry[int]("number", int, group="shapes.numbers", **settings)


def own_files(package):
    package(**{f"shapes__{name}": text for name, text in OWN.items()})
    return numbers(package="shapes", attribute="NUMBER")


OWN = {"one_more": "NUMBER = 1", "some": "NUMBER = []", "_private": "1 / 0", "base": "1 / 0"}


def test_files_give_names_and_a_file_without_the_attribute_gives_none(package):
    registry = own_files(package)
    assert registry.names() == registry.own() == ["one-more"]
    assert registry.find("one-more") == 1
    assert list(registry) == [1]


def test_finding_one_name_imports_its_own_file_only(package):
    registry = own_files(package)
    package(shapes__broken="1 / 0")
    assert registry.find("one-more") == 1
    with pytest.raises(ZeroDivisionError):
        registry.names()


def test_a_call_adds_a_name_once():
    registry = numbers()
    assert registry.register(7, name="seven") == 7
    assert registry.names() == ["seven"]
    with pytest.raises(InputError, match="there already is a number 'seven', expected another name"):
        registry.register(8, name="seven")
    registry.unregister("seven")
    assert registry.register(8, name="seven") == registry.find("seven") == 8


def test_what_is_not_of_the_kind_or_has_no_name_is_refused():
    with pytest.raises(InputError, match=r"the number 'x' is 'text', expected an instance of int"):
        numbers().register("text", name="x")
    with pytest.raises(InputError, match=r"the number 7 has no name, expected register\(…, name=…\)"):
        numbers().register(7)
    classes = Registry[type[int]]("kind of number", int, classes=True)
    assert classes.register(bool) is classes.find("bool") is bool
    with pytest.raises(InputError, match="the kind of number 7 is 7, expected a subclass of int"):
        classes.register(7)
    with pytest.raises(InputError, match="the kind of number 'x' calls itself 'bool', expected one name"):
        classes.register(bool, name="x")


def test_unknown_names_are_refused_with_a_list(package):
    registry = own_files(package)
    with pytest.raises(InputError, match="there is no number 'two', expected one of one-more"):
        registry.find("two")
    with pytest.raises(AttributeError, match="module 'shapes' has no attribute 'two'; it has one-more"):
        registry.attribute_of("two")


def test_entry_points_are_loaded_when_their_own_name_is_asked_for(package, tmp_path):
    package(strange="NUMBER = 5\n", broken="import nowhere_at_all\n")
    entry_points(tmp_path, "five = strange:NUMBER\nbad = broken:NUMBER\nkind = strange:__name__")
    registry = numbers()
    assert registry.names() == ["bad", "five", "kind"]
    assert "strange" not in sys.modules
    assert registry.find("five") == 5
    with pytest.raises(
        InputError,
        match=r"the entry point 'bad = broken:NUMBER' in shapes.numbers of the distribution stranger cannot be loaded: "
        "ModuleNotFoundError: No module named 'nowhere_at_all'",
    ):
        registry.find("bad")
    with pytest.raises(InputError, match="the number 'kind' is 'strange', expected an instance of int"):
        registry.find("kind")


def test_an_entry_point_cannot_take_a_name_that_exists(package, tmp_path):
    registry = own_files(package)
    entry_points(tmp_path, "one-more = strange:NUMBER")
    with pytest.raises(InputError, match=r"'one-more = strange:NUMBER' in .* defines a number that already exists"):
        registry.names()
    later = numbers()
    assert later.names() == ["one-more"]
    with pytest.raises(InputError, match="there already is a number 'one-more'"):
        later.register(2, name="one-more")
