"""Packing: values as arrays and JSON, without pickle."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["Packing"]


@dataclass(eq=False)
class Packing:
    """Arrays, and the classes whose values may be packed; all other values become JSON.

    Packed are None, truth values, numbers, texts, arrays, tuples, lists, mappings, and values of the given enumerations
    and dataclasses, the latter field by field. Reading builds only these: a file cannot name any other class. A value
    with a method ``unchecked`` is packed as that returns it, because a file can state anything and prove nothing.

    Parameters
    ----------
    classes : iterable of type
        Enumerations and dataclasses.
    arrays : dict of str to ndarray
        The arrays of the packed values by name.

    Examples
    --------
    >>> packing = Packing(())
    >>> text = packing.pack({"sizes": (2, 3), "values": np.arange(3)}, "it")
    >>> packing.unpack(text)
    {'sizes': (2, 3), 'values': array([0, 1, 2])}
    """

    classes: Iterable[type]
    arrays: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = {known.__name__: known for known in self.classes}
        self._names: dict[int, str] = {}
        self._kept: list[Array] = []  # so that no other array gets the identity of a packed one

    def pack(self, value: Any, name: str) -> Any:
        """Return a value as JSON and keep its arrays, or raise `InputError` with its ``name`` for other values."""
        if hasattr(value, "unchecked"):
            value = value.unchecked()
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, np.ndarray):
            return self._packed_array(value, name)
        if isinstance(value, tuple | list):
            return {type(value).__name__: [self.pack(item, f"{name}[{k}]") for k, item in enumerate(value)]}
        if isinstance(value, Mapping):
            items = ((self.pack(key, f"a key of {name}"), self.pack(v, f"{name}[{key!r}]")) for key, v in value.items())
            return {"mapping": [list(item) for item in items]}
        kind = type(value).__name__
        if self._known.get(kind) is type(value):
            if isinstance(value, Enum):
                return {"enum": kind, "member": value.name}
            if is_dataclass(value):
                parts = {f.name: self.pack(getattr(value, f.name), f"{name}.{f.name}") for f in fields(value) if f.init}
                return {"class": kind, "fields": parts}
        if kind == "NAType":  # pandas' mark of a missing cell
            return None
        raise InputError(f"{name} is a {kind}, which cannot be saved, expected numbers, texts, arrays or None")

    def unpack(self, packed: Any) -> Any:
        """Return the value of JSON by `pack`; damaged JSON raises KeyError, TypeError, ValueError or RecursionError."""
        if not isinstance(packed, dict):
            if isinstance(packed, list):
                raise ValueError("a list stands where a value was expected")
            return packed
        if "array" in packed:
            return self.arrays[packed["array"]]
        if "objects" in packed:
            items = self._items(packed["objects"])
            array = np.empty(len(items), dtype=object)
            array[:] = items
            return array
        if "tuple" in packed:
            return tuple(self._items(packed["tuple"]))
        if "list" in packed:
            return self._items(packed["list"])
        if "mapping" in packed:
            return {self.unpack(key): self.unpack(value) for key, value in packed["mapping"]}
        if "enum" in packed:
            return self._known[packed["enum"]][packed["member"]]  # type: ignore[index]
        return self._known[packed["class"]](**{k: self.unpack(v) for k, v in packed["fields"].items()})

    def _items(self, packed: Any) -> list[Any]:
        return [self.unpack(item) for item in packed]

    def _packed_array(self, value: Array, name: str) -> dict[str, Any]:
        if value.dtype.hasobject:
            if value.ndim != 1:
                raise InputError(f"{name} is an array of objects of {value.ndim} dimensions, which cannot be saved")
            return {"objects": [self.pack(item, f"{name}[{k}]") for k, item in enumerate(value)]}
        if id(value) not in self._names:
            self._names[id(value)] = f"array_{len(self.arrays)}"
            self._kept.append(value)
            self.arrays[self._names[id(value)]] = value
        return {"array": self._names[id(value)]}
