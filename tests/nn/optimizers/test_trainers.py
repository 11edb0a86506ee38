"""Seekers in whole training loops: everything at once in a plain loop, in Lightning, and in Hugging Face's Trainer."""

import logging
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatmin.nn as fnn
from tests.nn.optimizers.training import WRAPPERS, bits, data, mlp, same, wrappers


def everything(wrapper, dtype, steps, saved=None):
    """Train in mixed precision with accumulation, clipping, compilation and a schedule; return weights and a state."""
    torch.manual_seed(0)
    model, loss = mlp(dropout=0.2, dtype=torch.float32), nn.MSELoss()
    called = torch.compile(model, backend="eager")
    base = torch.optim.AdamW(model.parameters(), lr=0.01)

    def clip(*_):
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)

    base.register_step_pre_hook(clip)
    optimizer = WRAPPERS[wrapper](base, called, loss)
    parts = {
        "model": model,
        "optimizer": optimizer,
        "schedule": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6),
        "scaler": torch.amp.GradScaler("cpu", init_scale=256.0, enabled=dtype == torch.float16),
    }
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        torch.set_rng_state(saved["random"])
    for step in steps:
        optimizer.zero_grad()
        for x, y in data(2, dtype=torch.float32, seed=step):
            with torch.autocast("cpu", dtype=dtype):
                value = loss(called(x), y) / 2
            parts["scaler"].scale(value).backward()
        parts["scaler"].step(optimizer)
        parts["scaler"].update()
        parts["schedule"].step()
    return bits(model), {**{name: part.state_dict() for name, part in parts.items()}, "random": torch.get_rng_state()}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@wrappers
def test_everything_at_once_and_resumed(wrapper, dtype, tmp_path):
    start, _ = everything(wrapper, dtype, [])
    whole, _ = everything(wrapper, dtype, range(6))
    _, state = everything(wrapper, dtype, range(3))
    torch.save(state, tmp_path / "state.pt")
    resumed, _ = everything(wrapper, dtype, range(3, 6), torch.load(tmp_path / "state.pt"))
    assert same(whole, resumed)
    assert not same(whole, start)
    assert all(bool(torch.isfinite(t).all()) for t in whole)


def lightning_run(folder, wrapper, epochs, resume=None, **options):
    lightning = pytest.importorskip("lightning.pytorch")

    class Task(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.loss = mlp(dtype=torch.float32), nn.MSELoss()

        def training_step(self, batch, index):
            return self.loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            base = torch.optim.Adam(self.net.parameters(), lr=0.01)
            optimizer = WRAPPERS[wrapper](base, self.net, self.loss) if wrapper else base
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    task = Task()
    saving = lightning.callbacks.ModelCheckpoint(folder, filename="at{step}", save_top_k=-1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=epochs, callbacks=[saving], default_root_dir=folder, **quiet, **options)
    x, y = data(1, size=32, dtype=torch.float32)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(task, DataLoader(TensorDataset(x, y), batch_size=4), ckpt_path=resume)
    return bits(task.net)


def by_hand(wrapper, epochs, accumulate):
    model, loss = mlp(dtype=torch.float32), nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.Adam(model.parameters(), lr=0.01), model, loss)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    x, y = data(1, size=32, dtype=torch.float32)[0]
    for _ in range(epochs):
        for start in range(0, 32, 4 * accumulate):
            optimizer.zero_grad()
            for i in range(start, start + 4 * accumulate, 4):
                (loss(model(x[i : i + 4]), y[i : i + 4]) / accumulate).backward()
            optimizer.step()
        schedule.step()
    return bits(model)


@pytest.mark.slow
@wrappers
def test_lightning_takes_the_steps_of_a_plain_loop(wrapper, tmp_path):
    whole = lightning_run(tmp_path / "whole", wrapper, 2, accumulate_grad_batches=2)
    assert same(whole, by_hand(wrapper, 2, 2))
    first = next((tmp_path / "whole").glob("*step=4*.ckpt"))
    assert same(whole, lightning_run(tmp_path / "again", wrapper, 2, resume=first, accumulate_grad_batches=2))
    mixed = lightning_run(tmp_path / "mixed", wrapper, 1, precision="bf16-mixed")
    assert all(bool(torch.isfinite(t).all()) for t in mixed)


def trainer_run(folder, wrapper, resume=None, **options):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    transformers.set_seed(0)
    sizes = {"vocab_size": 11, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
    base, loss = torch.optim.AdamW(model.parameters(), lr=0.01), fnn.TokenCrossEntropy()
    optimizer = WRAPPERS[wrapper](base, model, loss)
    arguments = transformers.TrainingArguments(
        str(folder), max_steps=4, save_steps=2, per_device_train_batch_size=2, gradient_accumulation_steps=2,
        use_cpu=True, report_to=[], disable_tqdm=True, max_grad_norm=0.0, **options,
    )  # fmt: skip
    rows = torch.randint(11, (16, 8), generator=torch.Generator().manual_seed(0))
    trainer = transformers.Trainer(
        model,
        arguments,
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        optimizers=(optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)),
        compute_loss_func=lambda outputs, labels, num_items_in_batch: optimizer.loss(outputs.logits, labels),
    )
    trainer.train(resume_from_checkpoint=resume)
    return bits(model)


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["SAM", "NoiseInjection", "WeightDecay"])
def test_the_trainer_of_hugging_face_takes_seekers_and_resumes(wrapper, tmp_path):
    whole = trainer_run(tmp_path / "whole", wrapper)
    assert same(whole, trainer_run(tmp_path / "again", wrapper, str(tmp_path / "whole" / "checkpoint-2")))
    mixed = trainer_run(tmp_path / "mixed", wrapper, bf16=True)
    assert all(bool(torch.isfinite(t).all()) for t in mixed)
