"""Callbacks in the trainers themselves: what they log, what checkpoints keep, and that the run does not change."""

import json
import logging
import math
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatmin.errors import InputError
from flatmin.nn import (
    LowRankAdapter,
    TraceLog,
    adapter_flatness,
    hessian_trace,
    lightning_callback,
    rebalance_,
    trainer_callback,
)

KEYS = ("hessian_trace", "hessian_trace_low", "hessian_trace_high")


def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 3, generator=generator), torch.randn(32, 1, generator=generator)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Tanh(), nn.Linear(4, 1))


def bits(model):
    return [p.detach().clone() for p in model.parameters()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_log_measures_when_it_is_due_and_once():
    model, loss = network(), nn.MSELoss()
    log = TraceLog(loss, data(), 3, name="sharpness", of="gauss_newton")
    rows = [log.measure(model, step) for step in (0, 1, 3, 3, 6)]
    assert [row is None for row in rows] == [True, True, False, True, False]
    wanted = hessian_trace(model, loss, data(), of="gauss_newton")
    assert rows[2] == {
        "sharpness": wanted.value,
        "sharpness_low": wanted.interval[0],
        "sharpness_high": wanted.interval[1],
    }
    assert [row["step"] for row in log.history] == [3, 6]


def test_a_part_of_the_module_can_be_measured():
    outer = nn.ModuleDict({"net": network()})
    log = TraceLog(nn.MSELoss(), data(), 1, part=lambda module: module["net"])
    assert log.measure(outer, 1)["hessian_trace"] == hessian_trace(outer["net"], nn.MSELoss(), data()).value


BAD = {
    "every": ({"every": 0}, "every is 0, expected a whole number"),
    "part": ({"part": "net"}, "part is a str, expected a function"),
    "option": ({"metod": "exact"}, "hessian_trace has no option 'metod', did you mean 'method'"),
    "method": ({"method": "exakt"}, "method is 'exakt', expected one of auto, exact"),
    "of": ({"of": "fisher"}, "of is 'fisher', expected one of hessian, gauss_newton"),
    "number": ({"max_products": 3}, "max_products is 3, expected at least 8"),
    "target": ({"target_std_error": -1.0}, "target_std_error is -1.0, expected a positive"),
    "groups": ({"groups": "layers"}, "groups is 'layers', expected 'parameter', 'module'"),
    "seed": ({"seed": -1}, "seed is -1, expected a whole number"),
    "name": ({"name": 3}, "name is 3, expected the key"),
    "loss": ({"loss": "mse"}, "loss is 'mse', expected a module, a function"),
}


@pytest.mark.parametrize(("options", "sentence"), BAD.values(), ids=BAD)
def test_bad_arguments_are_one_sentence_before_the_training_begins(options, sentence):
    for made in (TraceLog, lightning_callback, trainer_callback):
        with pytest.raises(InputError, match=sentence):
            made(**{"loss": nn.MSELoss(), "data": data(), **options})


def test_good_options_draw_no_random_numbers_and_fit_models_of_any_size():
    state = torch.get_rng_state()
    for options in ({"method": "exact", "max_products": 20}, {"method": "hutch++", "target_std_error": 1e-9}, {}):
        TraceLog(nn.MSELoss(), data(), **options, groups={"last": ["3.weight"]}, parameters=["3.weight"])
    TraceLog(nn.MSELoss(), data(), method="xtrace", max_products=10**6)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loss_that_is_nan_does_not_end_the_training_and_warns_once():
    model, log = network(), TraceLog(nn.MSELoss(), data(), 1)
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    with pytest.warns(RuntimeWarning, match="the trace at step 1 is NaN: batch 0: the loss is nan"):
        row = log.measure(model, 1)
    assert all(math.isnan(number) for number in row.values())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log.measure(model, 2)
    with torch.no_grad():
        model[0].weight.fill_(0.0)
    assert log.measure(model, 3)["hessian_trace"] > 0
    assert [row["step"] for row in log.history] == [1, 2, 3]
    with pytest.raises(InputError, match=r"model is a str, expected a torch.nn.Module"):
        log.measure("net", 4)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr("flatmin.nn.callbacks.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ImportError, match="pip install lightning"):
        lightning_callback(nn.MSELoss(), data())
    with pytest.raises(ImportError, match="pip install transformers"):
        trainer_callback(None, data())


def lightning_run(folder, epochs, callbacks=(), resume=None):
    lightning = pytest.importorskip("lightning.pytorch")

    class Task(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            torch.manual_seed(8 * self.current_epoch + index)  # checkpoints of Lightning have no random states
            return nn.functional.mse_loss(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.manual_seed(1)
    task = Task()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    saving = lightning.callbacks.ModelCheckpoint(folder, filename="at{step}", save_top_k=-1)
    trainer = lightning.Trainer(
        max_epochs=epochs, accumulate_grad_batches=2, callbacks=[saving, *callbacks], default_root_dir=folder, **quiet
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, DataLoader(TensorDataset(*data()), batch_size=4), ckpt_path=resume)
    return trainer, task


@pytest.mark.slow
def test_adapters_train_in_lightning_and_are_rebalanced_there(tmp_path):
    """The callback measures the factors alone, and rebalanced factors give the outputs of the trained ones."""
    lightning = pytest.importorskip("lightning.pytorch")

    class Adapted(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            adapter = LowRankAdapter(nn.Linear(4, 4), rank=2, scale=0.5)
            self.net = nn.Sequential(
                nn.Linear(3, 4).requires_grad_(False), nn.Tanh(), adapter, nn.Tanh(), nn.Linear(4, 1)
            )
            self.net[4].requires_grad_(False)

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return nn.functional.mse_loss(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam((p for p in self.parameters() if p.requires_grad), lr=0.05)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    callback, task = lightning_callback(nn.MSELoss(), data(), 4, of="gauss_newton"), Adapted()
    frozen = task.net[2].base_layer.weight.detach().clone()
    trainer = lightning.Trainer(
        max_epochs=4, callbacks=[callback], default_root_dir=tmp_path, enable_checkpointing=False, **quiet
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, DataLoader(TensorDataset(*data()), batch_size=8))
    found = adapter_flatness(task, nn.MSELoss(), data())
    assert list(found.adapters) == ["net.2"]
    assert callback.history[-1]["step"] == 16
    assert callback.history[-1]["hessian_trace"] == pytest.approx(found.trace.value, rel=1e-5)
    assert torch.equal(task.net[2].base_layer.weight, frozen)
    before = task(data()[0]).detach()
    rebalance_(found)
    assert torch.allclose(task(data()[0]), before, atol=1e-5)
    after = hessian_trace(task, nn.MSELoss(), data(), of="gauss_newton")
    assert after.value == pytest.approx(found.fibre_minimum.value, rel=1e-3)
    assert after.value < found.trace.value


@pytest.mark.slow
def test_lightning_logs_saves_and_goes_on(tmp_path):
    callback = lightning_callback(nn.MSELoss(), data(), 2)
    trainer, task = lightning_run(tmp_path / "whole", 2, [callback])
    assert [row["step"] for row in callback.history] == [2, 4, 6, 8]
    for key in KEYS:
        assert float(trainer.logged_metrics[key]) == pytest.approx(callback.history[-1][key])
    assert callback.history[-1][KEYS[0]] == hessian_trace(task, nn.MSELoss(), data()).value
    _, unmeasured = lightning_run(tmp_path / "plain", 2)
    assert same(bits(task), bits(unmeasured))
    first = next((tmp_path / "whole").glob("*step=4*.ckpt"))
    again = lightning_callback(nn.MSELoss(), data(), 2)
    _, resumed = lightning_run(tmp_path / "again", 2, [again], resume=first)
    assert same(bits(task), bits(resumed))
    assert [row["step"] for row in again.history] == [2, 4, 6, 8]
    assert again.history[:2] == callback.history[:2]


def trainer_run(folder, callbacks=(), resume=None, prepare=lambda trainer: None, **options):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    transformers.set_seed(0)
    sizes = {"vocab_size": 11, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2, "resid_pdrop": 0.1}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=6, save_steps=3, logging_steps=3, per_device_train_batch_size=2, use_cpu=True,
        report_to=[], disable_tqdm=True, save_strategy="steps", **options,
    )  # fmt: skip
    trainer = transformers.Trainer(model, arguments, train_dataset=tokens(), callbacks=list(callbacks))
    prepare(trainer)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.slow
def test_the_log_of_the_trainer_reaches_its_reports(tmp_path):
    transformers = pytest.importorskip("transformers")
    measured = {"of": "gauss_newton", "method": "hutchinson", "max_products": 8}
    seen = []

    class Report(transformers.TrainerCallback):
        """Stands for TensorBoard and others, which come before the callbacks of the user."""

        def on_log(self, args, state, control, logs, **kwargs):
            seen.append((state.global_step, dict(logs)))

        def on_train_begin(self, args, state, control, **kwargs):
            pass

    def prepared(trainer):
        trainer.add_callback(trainer_callback(None, batch(), 3, log=trainer.log, **measured))

    trainer = trainer_run(tmp_path / "logged", [Report()], prepare=prepared)
    assert [step for step, logs in seen if KEYS[0] in logs] == [3, 6]
    assert [step for step, logs in seen if "loss" in logs] == [3, 6]  # the rows of the trainer itself are not lost
    rows = [row for row in trainer.state.log_history if KEYS[0] in row]
    assert [row["step"] for row in rows] == [3, 6]
    again = trainer_callback(None, batch(), 3, **measured)
    again.on_train_begin(None, trainer.state, None)
    assert [set(row) for row in again.history] == [{"step", *KEYS}] * 2
    with pytest.raises(InputError, match="log is a str, expected the method log of a trainer"):
        trainer_callback(None, batch(), log="tensorboard")


def tokens():
    rows = torch.randint(11, (16, 8), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in rows]


def batch():
    rows = torch.stack([row["input_ids"] for row in tokens()[:4]])
    return {"input_ids": rows, "labels": rows}


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"bf16": True}], ids=["float32", "bfloat16"])
def test_the_trainer_of_hugging_face_logs_saves_and_goes_on(tmp_path, options, capsys):
    measured = {"of": "gauss_newton", "method": "hutchinson", "max_products": 8}
    callback = trainer_callback(None, batch(), 2, **measured)
    trainer = trainer_run(tmp_path / "whole", [callback], **options)
    assert [row["step"] for row in callback.history] == [2, 4, 6]
    logged = [row for row in trainer.state.log_history if KEYS[0] in row]
    assert [{key: row[key] for key in ("step", *KEYS)} for row in logged] == callback.history
    assert callback.history[-1][KEYS[0]] == hessian_trace(
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False), None, batch(), **measured
    ).value  # fmt: skip
    saved = json.loads((tmp_path / "whole" / "checkpoint-6" / "trainer_state.json").read_text())
    assert [row["step"] for row in saved["log_history"] if KEYS[0] in row] == [2, 4, 6]
    if options:
        return
    unmeasured = trainer_run(tmp_path / "plain")
    assert same(bits(trainer.model), bits(unmeasured.model))
    again = trainer_callback(None, batch(), 2, **measured)
    resumed = trainer_run(tmp_path / "again", [again], resume=str(tmp_path / "whole" / "checkpoint-3"))
    assert again.history == callback.history
    assert same(bits(trainer.model), bits(resumed.model))
