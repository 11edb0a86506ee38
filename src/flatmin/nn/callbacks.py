"""Callbacks that measure the trace of the Hessian while a trainer of Lightning or of Hugging Face trains."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from flatmin._core.validation import is_whole, shown, whole_number
from flatmin.errors import InputError
from flatmin.nn.operators.curvature import check_options
from flatmin.nn.operators.streaming import Loss
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["TraceLog", "lightning_callback", "trainer_callback"]

#: Packages that have Lightning's class of callbacks, in the order in which they are tried.
_LIGHTNING = ("lightning.pytorch", "pytorch_lightning")
#: Number of weights of the model on which options are tried, and largest number of products with it.
_TRIED = 120


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
        Other arguments of `hessian_trace`. They are tried on a small model at once, so that no mistake ends a training.

    Attributes
    ----------
    history : list of dict
        For each measurement the ``step``, the trace and the ends of its interval.

    Raises
    ------
    InputError
        If an argument is out of range.

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
        if loss is not None and not callable(loss):
            raise InputError(f"loss is {shown(loss)}, expected a module, a function of outputs and targets, or None")
        if not isinstance(name, str) or not name:
            raise InputError(f"name is {shown(name)}, expected the key of the trace in the log, a text")
        check_options(hessian_trace, options)
        _try(options)
        if part is not None and not callable(part):
            raise InputError(f"part is a {type(part).__name__}, expected a function of the trained module")
        self.name, self.part, self.options = name, part, options
        self.history: list[dict[str, float]] = []
        self._failed = False

    def measure(self, model: nn.Module, step: int) -> dict[str, float] | None:
        """Measure after a step if it is due, once; return the trace and the ends of its interval.

        A measurement that raises `InputError`, as at a loss that is NaN, gives NaN; the first one also gives a warning.
        """
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}, expected a torch.nn.Module")
        if step < 1 or step % self.every or (self.history and self.history[-1]["step"] == step):
            return None
        try:
            with _in_full_precision(model):
                measured = model if self.part is None else self.part(model)
                found = hessian_trace(measured, self.loss, self.data, **self.options)
            numbers = found.value, *found.interval
        except InputError as error:
            numbers = math.nan, math.nan, math.nan
            if not self._failed:
                warnings.warn(f"the trace at step {step} is NaN: {error}", RuntimeWarning, stacklevel=2)
            self._failed = True
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


def trainer_callback(
    loss: Loss | None,
    data: Any,
    every: int = 100,
    *,
    log: Callable[[dict[str, float]], None] | None = None,
    **options: Any,
) -> Any:
    """Return a callback of Hugging Face's ``Trainer`` that logs the trace of the Hessian every n steps.

    The numbers are rows of ``trainer.state.log_history``, with the keys ``step``, ``epoch``, ``hessian_trace``,
    ``hessian_trace_low`` and ``hessian_trace_high``. TensorBoard, W&B and other reports get them only with
    ``log=trainer.log``, because the trainer does not pass its log to callbacks. The history is part of each checkpoint
    (``trainer_state.json``), and continues in a resumed run. The weights and random numbers of the run are the same as
    without the callback.

    Parameters
    ----------
    loss, data, every, **options
        As for `TraceLog`. ``loss=None`` is the loss of the model itself, for batches that are mappings with labels.
    log : callable, optional
        The method ``log`` of the trainer, which then writes the rows itself and passes them to all reports.

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
    >>> trainer = transformers.Trainer(model, arguments, train_dataset=data)  # doctest: +SKIP
    >>> callback = trainer_callback(None, batch, every=50, log=trainer.log)  # doctest: +SKIP
    >>> trainer.add_callback(callback)  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    >>> callback.history[-1]["hessian_trace"]  # doctest: +SKIP
    """
    if log is not None and not callable(log):
        raise InputError(f"log is a {type(log).__name__}, expected the method log of a trainer")
    traces = TraceLog(loss, data, every, **options)
    base = _base("TrainerCallback", "transformers")

    class TrainerTrace(base):  # type: ignore[misc, valid-type]
        """Measures at the end of a step."""

        history = property(lambda self: traces.history)

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            keys = ("step", traces.name, f"{traces.name}_low", f"{traces.name}_high")
            rows = (row for row in state.log_history if traces.name in row)
            traces.history[:] = [{key: row[key] for key in keys if key in row} for row in rows]

        def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            row = traces.measure(model, state.global_step)
            if row is None:
                return
            if log is None:
                state.log_history.append({"epoch": state.epoch, **traces.history[-1]})
                return
            due = control.should_log
            log(row)
            control.should_log = due  # which the trainer resets after every row

    return TrainerTrace()


def _try(options: Mapping[str, Any]) -> None:
    """Raise `InputError` if the options of `hessian_trace` cannot be used, by measuring a linear model of zeros."""
    given = {name: value for name, value in options.items() if name not in ("parameters", "distributed")}
    if not isinstance(given.get("groups"), str):
        given.pop("groups", None)
    if is_whole(given.get("max_products")):
        given["max_products"] = min(given["max_products"], _TRIED)
    size = 1 if given.get("method") == "exact" else _TRIED
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(size, 1, bias=False)
    hessian_trace(model, nn.MSELoss(), (torch.zeros(1, size), torch.zeros(1, 1)), **given)


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
