"""SavedEstimator: the base class that writes fitted estimators to files and reads them back, without pickle."""

from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from flatmin._core.packing import Packing
from flatmin._core.stored_arrays import read_described, write_described
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.proofs.flatness import Flatness
from flatmin.proofs.radius import Stability
from flatmin.solution import Noise, Solution, Status

__all__ = ["SavedEstimator"]

#: The version of the format of model files.
MODEL_VERSION = 1


class SavedEstimator(BaseEstimator):  # type: ignore[misc]
    """An estimator whose parameters and fitted attributes can be written to a file.

    Attributes
    ----------
    saved_classes : tuple of type
        The dataclasses of fitted attributes that a class adds to those of its base classes.
    unsaved : tuple of str
        The names of attributes that a class leaves out of its files.
    """

    saved_classes: ClassVar[tuple[type, ...]] = (
        Solution,
        Status,
        Noise,
        Flatness,
        Stability,
        Product,
        Gram,
        SignedGram,
    )
    unsaved: ClassVar[tuple[str, ...]] = ("certificate_", "status_", "_metadata_request")

    def save(self, path: str | Path) -> None:
        """Write parameters and fitted attributes as an ``.npz`` file of arrays and JSON, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written, or an attribute is neither a number, a text, an array nor a known class.
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        parameters = self._saved_parameters()
        unsaved = {*parameters, *(name for base in type(self).__mro__ for name in vars(base).get("unsaved", ()))}
        packing = self._packing()
        description = {
            "estimator": type(self).__name__,
            "version": __version__,
            "parameters": {name: packing.pack(value, f"the parameter {name}") for name, value in parameters.items()},
            "attributes": {name: packing.pack(v, name) for name, v in vars(self).items() if name not in unsaved},
        }
        write_described(path, packing.arrays, description, MODEL_VERSION)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an estimator written by `save`. It predicts bit by bit what the saved one predicts.

        Nothing in the file is executed. A file can state anything, so ``certificate_`` is None and ``status_`` is
        not_checked, as after `Solution.load`; the statements of the file are in ``solution_.claimed``.

        Raises
        ------
        InputError
            If the file is missing, damaged, or holds something else.
        """
        arrays, about = read_described(path, MODEL_VERSION, "a model")
        found = about.get("estimator")
        if found != cls.__name__:
            content = "no model" if found is None else f"a {found}"
            raise InputError(f"{path} holds {content}, expected a {cls.__name__}")
        packing = cls._packing()
        packing.arrays.update(arrays)
        try:
            model = cls(**{name: packing.unpack(value) for name, value in about["parameters"].items()})
            for name, value in about["attributes"].items():
                if hasattr(cls, name):
                    raise ValueError(f"{name} cannot be an attribute of a file")
                setattr(model, name, packing.unpack(value))
            model.certificate_, model.status_ = None, Status.not_checked
            check_is_fitted(model, "solution_")
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            reason = f"{error} is missing or unknown" if isinstance(error, KeyError) else error
            raise InputError(f"{path} is no model saved by this version of flatmin: {reason}") from error
        return model

    def _saved_parameters(self) -> dict[str, Any]:
        """Return the parameters as they are saved."""
        return dict(self.get_params(deep=False))

    @classmethod
    def _packing(cls) -> Packing:
        return Packing([known for base in cls.__mro__ for known in vars(base).get("saved_classes", ())])
