"""Registry: the named objects of one kind, so that an addition needs no change anywhere else."""

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from flatmin.errors import InputError

__all__ = ["Registry", "public_names", "submodules"]

Entry = TypeVar("Entry")


def submodules(path: list[str]) -> list[str]:
    """Return the sorted names of a package's modules, without ``base`` and private ones."""
    return sorted(m.name for m in iter_modules(path) if not m.name.startswith("_") and m.name != "base")


def public_names(package: str, path: list[str]) -> dict[str, Any]:
    """Import a package's modules, and return the objects that their ``__all__`` lists, by name."""
    modules = [import_module(f"{package}.{name}") for name in submodules(path)]
    return {name: getattr(module, name) for module in modules for name in module.__all__}


class Registry(Generic[Entry]):
    """The known objects of one kind, by name. They come from three sources.

    1. The files of a ``package``, which are found automatically: each module defines ``attribute`` (for instance
    ``FAMILY``), which    holds one object or a list of them. The attribute ``__all__`` stands for the public classes of
    the module. 2. `register`, called from outside. 3. Entry points of installed distributions in ``group``. They are
    listed when a name or a list is first asked for,    and loaded when their own name is asked for.

    An object's name is its attribute ``name`` if it has one. Without this attribute, a class has the name of the class,
    and any other object the name of its file or entry point. Underscores in a file's name become hyphens. Names are
    unique over all sources. The ``noun`` names the kind in messages; objects are instances of ``kind``, or its
    subclasses if ``classes``.
    """

    def __init__(
        self,
        noun: str,
        kind: type[Any],
        *,
        classes: bool = False,
        package: str | None = None,
        attribute: str = "__all__",
        group: str | None = None,
    ) -> None:
        self.noun, self.kind, self.classes = noun, kind, classes
        self.package, self.attribute, self.group = package, attribute, group
        self._own: dict[str, Entry] = {}
        self._registered: dict[str, Entry] = {}
        self._loaded: dict[str, Entry] = {}
        self._entry_points: dict[str, EntryPoint] | None = None

    def __iter__(self) -> Iterator[Entry]:
        return map(self.find, self.names())

    def register(self, entry: Entry, name: str | None = None) -> Entry:
        """Add an object and return it, or raise `InputError` if its kind is wrong, or its name missing or taken.

        Examples
        --------
        >>> from dataclasses import replace
        >>> import flatmin as fm
        >>> mine = fm.families.register(replace(fm.families.find("matrix-sensing"), name="my-model"))
        >>> fm.families.find("my-model") is mine
        True
        >>> fm.families.unregister("my-model")
        """
        name = self._checked(entry, name)
        if name in self.own() or name in self._registered or name in (self._entry_points or ()):
            raise InputError(f"there already is a {self.noun} {name!r}, expected another name")
        self._registered[name] = entry
        return entry

    def unregister(self, name: str) -> None:
        """Remove the object that `register` added under a name, if there is one.

        Examples
        --------
        >>> import flatmin as fm
        >>> fm.families.unregister("a model that nobody registered")
        """
        self._registered.pop(name, None)

    def own(self) -> list[str]:
        """Return the names that the package's own files define, in the order of the files."""
        if self.package is not None and not self._own:
            self._own = {name: entry for file in self._files() for name, entry in self._read(file).items()}
        return list(self._own)

    def names(self) -> list[str]:
        """Return the names of all objects, ascending.

        Examples
        --------
        >>> import flatmin as fm
        >>> fm.families.names()[:3]
        ['bilinear-sensing', 'covariance', 'matrix-completion']
        """
        return sorted({*self.own(), *self._registered, *self._found()})

    def find(self, name: str) -> Entry:
        """Return the object of a name, or raise `InputError` if there is none or its entry point cannot be loaded.

        Examples
        --------
        >>> import flatmin as fm
        >>> fm.families.find("matrix-sensing").name
        'matrix-sensing'
        """
        file = name.replace("-", "_")
        if not self._own and self.package is not None and file in self._files() and name in (one := self._read(file)):
            return one[name]
        if name in self.own():
            return self._own[name]
        if name in self._registered:
            return self._registered[name]
        if name not in self._found():
            near = get_close_matches(name, self.names(), 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"there is no {self.noun} {name!r}, expected one of {', '.join(self.names())}{meant}")
        if name not in self._loaded:
            self._loaded[name] = self._load(self._found()[name])
        return self._loaded[name]

    def attribute_of(self, name: str) -> Any:
        """Return the object of a name as an attribute of the package; this is the package's ``__getattr__``."""
        if name.startswith("_") or name not in self.names():
            found = ", ".join(self.names())
            raise AttributeError(f"module {self.package!r} has no attribute {name!r}; it has {found}")
        return self.find(name)

    def _files(self) -> list[str]:
        return submodules(list(import_module(str(self.package)).__path__))

    def _read(self, file: str) -> dict[str, Entry]:
        """Return the objects that one of the package's files defines, by name; there may be none."""
        module = import_module(f"{self.package}.{file}")
        found = getattr(module, self.attribute, [])
        if self.attribute == "__all__":
            found = [getattr(module, name) for name in found]
        entries = found if isinstance(found, list | tuple) else [found]
        return {self._checked(entry, None, file.replace("_", "-")): entry for entry in entries}

    def _found(self) -> dict[str, EntryPoint]:
        """Return the entry points by name; their objects are loaded by `find`."""
        if self._entry_points is None:
            found: dict[str, EntryPoint] = {}
            for point in entry_points(group=self.group) if self.group is not None else ():
                if point.name in found or point.name in self._registered or point.name in self.own():
                    raise InputError(f"{_say(point)} defines a {self.noun} that already exists, expected another name")
                found[point.name] = point
            self._entry_points = found
        return self._entry_points

    def _load(self, point: EntryPoint) -> Entry:
        try:
            entry: Entry = point.load()
        except Exception as error:  # the code of others may raise anything
            raise InputError(f"{_say(point)} cannot be loaded: {type(error).__name__}: {error}") from error
        self._checked(entry, point.name)
        return entry

    def _checked(self, entry: Entry, name: str | None, fallback: str | None = None) -> str:
        """Return the name of an object, or raise `InputError` if its kind or its name is wrong."""
        right = (
            isinstance(entry, type) and issubclass(entry, self.kind) if self.classes else isinstance(entry, self.kind)
        )
        if not right:
            expected = f"{'a subclass' if self.classes else 'an instance'} of {self.kind.__name__}"
            raise InputError(f"the {self.noun} {name or fallback or entry!r} is {entry!r}, expected {expected}")
        own = getattr(entry, "name", None)
        own = own if isinstance(own, str) else entry.__name__ if isinstance(entry, type) else None
        if own is not None and name is not None and own != name:
            raise InputError(f"the {self.noun} {name!r} calls itself {own!r}, expected one name")
        if (own or name or fallback) is None:
            raise InputError(f"the {self.noun} {entry!r} has no name, expected register(…, name=…)")
        return str(own or name or fallback)


def _say(point: EntryPoint) -> str:
    """Return words that name an entry point and its distribution."""
    distribution = f" of the distribution {point.dist.name}" if point.dist is not None else ""
    return f"the entry point '{point.name} = {point.value}' in {point.group}{distribution}"
