"""Callbacks that measure the trace of the Hessian while a trainer of Lightning or of Hugging Face trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from torch import nn

from flatmin._core.validation import whole_number
from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate
from flatmin.nn.operators.streaming import Loss
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["TraceLog", "lightning_callback", "trainer_callback"]

#: Packages that have Lightning's class of callbacks, in the order in which they are tried.
_LIGHTNING = ("lightning.pytorch", "pytorch_lightning")


class TraceLog:
    """The trace of the Hessian with its interval, measured every n steps of a training run.

    Parameters
    ----------
    loss, data
        As for `hessian_trace`; the data are those on which the trace is measured.
    every : int
        Number of optimizer steps between measurements.
    name : str
        The key of the trace; the ends of its interval have the keys ``NAME_low`` and ``NAME_high``.
    part : callable, optional
        A function from the trained module to the module that is measured, for instance ``lambda module: module.net``.
    **options
        Other arguments of `hessian_trace`.

    Attributes
    ----------
    history : list of dict
        For each measurement the ``step``, the trace and the ends of its interval.

    Examples
    --------
    >>> import torch
    >>> model, x = torch.nn.Linear(3, 1), torch.ones(4, 3)
    >>> log = TraceLog(torch.nn.MSELoss(), (x, torch.zeros(4, 1)), every=2)
    >>> for step in range(1, 5):
    ...     found = log.measure(model, step)
    >>> [(row["step"], row["hessian_trace"]) for row in log.history]
    [(2, 8.0), (4, 8.0)]
    """

    def __init__(
        self,
        loss: Loss | None,
        data: Any,
        every: int = 100,
        *,
        name: str = "hessian_trace",
        part: Callable[[nn.Module], nn.Module] | None = None,
        **options: Any,
    ) -> None:
        self.loss, self.data, self.every = loss, data, whole_number(every, "every", 1)
        if part is not None and not callable(part):
            raise InputError(f"part is a {type(part).__name__}, expected a function of the trained module")
        self.name, self.part, self.options = name, part, options
        self.history: list[dict[str, float]] = []

    def measure(self, model: nn.Module, step: int) -> dict[str, float] | None:
        """Measure after a step if it is due, once; return the trace and the ends of its interval."""
        if step < 1 or step % self.every or (self.history and self.history[-1]["step"] == step):
            return None
        with _in_full_precision(model):
            measured = model if self.part is None else self.part(model)
            found: TraceEstimate = hessian_trace(measured, self.loss, self.data, **self.options)
        numbers = found.value, *found.interval
        row = dict(zip((self.name, f"{self.name}_low", f"{self.name}_high"), numbers, strict=True))
        self.history.append({"step": step, **row})
        return row


def lightning_callback(loss: Loss | None, data: Any, every: int = 100, **options: Any) -> Any:
    """Return a callback of Lightning that logs the trace of the Hessian with its interval every n steps.

    The numbers go to the loggers of the trainer as ``hessian_trace``, ``hessian_trace_low`` and ``hessian_trace_high``.
    The attribute ``history`` has all of them, is part of each checkpoint, and continues in a resumed run. The weights
    and random numbers of the run are the same as without the callback.

    Parameters
    ----------
    loss, data, every, **options
        As for `TraceLog`.

    Returns
    -------
    lightning.pytorch.Callback
        Its class is made from the package ``lightning`` or ``pytorch_lightning``, whichever is installed.

    Raises
    ------
    InputError
        If an argument is out of range.
    ImportError
        If neither package is installed.

    Examples
    --------
    >>> import lightning  # doctest: +SKIP
    >>> callback = lightning_callback(torch.nn.MSELoss(), (x, y), every=50)  # doctest: +SKIP
    >>> lightning.Trainer(callbacks=[callback]).fit(module, loader)  # doctest: +SKIP
    >>> callback.history[-1]["hessian_trace"]  # doctest: +SKIP
    """
    log = TraceLog(loss, data, every, **options)
    base = _base("Callback", *_LIGHTNING)

    class LightningTrace(base):  # type: ignore[misc, valid-type]
        """Measures after the batch that completes a step."""

        history = property(lambda self: log.history)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
            row = log.measure(pl_module, trainer.global_step)
            if row is not None:
                pl_module.log_dict(row, rank_zero_only=True)

        @property
        def state_key(self) -> str:
            return f"{type(self).__name__}.{log.name}"

        def state_dict(self) -> dict[str, Any]:
            return {"history": list(log.history)}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            log.history[:] = state_dict["history"]

    return LightningTrace()


def trainer_callback(loss: Loss | None, data: Any, every: int = 100, **options: Any) -> Any:
    """Return a callback of Hugging Face's ``Trainer`` that logs the trace of the Hessian every n steps.

    The numbers are rows of ``trainer.state.log_history``, with the keys ``step``, ``epoch``, ``hessian_trace``,
    ``hessian_trace_low`` and ``hessian_trace_high``. The history is part of each checkpoint (``trainer_state.json``),
    and continues in a resumed run. The weights and random numbers of the run are the same as without the callback.

    Parameters
    ----------
    loss, data, every, **options
        As for `TraceLog`. ``loss=None`` is the loss of the model itself, for batches that are mappings with labels.

    Returns
    -------
    transformers.TrainerCallback

    Raises
    ------
    InputError
        If an argument is out of range.
    ImportError
        If ``transformers`` is not installed.

    Examples
    --------
    >>> callback = trainer_callback(None, batch, every=50)  # doctest: +SKIP
    >>> transformers.Trainer(model, arguments, train_dataset=data, callbacks=[callback]).train()  # doctest: +SKIP
    >>> callback.history[-1]["hessian_trace"]  # doctest: +SKIP
    """
    log = TraceLog(loss, data, every, **options)
    base = _base("TrainerCallback", "transformers")

    class TrainerTrace(base):  # type: ignore[misc, valid-type]
        """Measures at the end of a step."""

        history = property(lambda self: log.history)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            rows = (row for row in state.log_history if log.name in row)
            log.history[:] = [{key: number for key, number in row.items() if key != "epoch"} for row in rows]

        def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            if log.measure(model, state.global_step) is not None:
                state.log_history.append({"epoch": state.epoch, **log.history[-1]})

    return TrainerTrace()


def _base(name: str, *packages: str) -> type:
    """Return a class of the first of some packages that is installed."""
    for package in packages:
        try:
            found: type = getattr(import_module(package), name)
        except ImportError:
            continue
        return found
    project = packages[0].split(".")[0]
    raise ImportError(f"the callback needs {project}, which is not installed: pip install {project}")


@contextmanager
def _in_full_precision(model: nn.Module) -> Iterator[None]:
    """Use the forward methods that accelerate has replaced by others under autocast, and restore these afterwards."""
    replaced = [(m, vars(m)["forward"]) for m in model.modules() if {"forward", "_original_forward"} <= vars(m).keys()]
    try:
        for module, _ in replaced:
            vars(module)["forward"] = vars(module)["_original_forward"]
        yield
    finally:
        for module, forward in replaced:
            vars(module)["forward"] = forward
