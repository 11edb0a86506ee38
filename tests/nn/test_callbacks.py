"""Callbacks in the trainers themselves: what they log, what checkpoints keep, and that the run does not change."""

import json
import logging
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatmin.errors import InputError
from flatmin.nn import TraceLog, hessian_trace, lightning_callback, trainer_callback

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


@pytest.mark.parametrize("options", [{"every": 0}, {"part": "net"}])
def test_bad_arguments_are_one_sentence(options):
    with pytest.raises(InputError, match="expected"):
        TraceLog(nn.MSELoss(), data(), **options)


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


def trainer_run(folder, callbacks=(), resume=None, **options):
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
    trainer.train(resume_from_checkpoint=resume)
    return trainer


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
