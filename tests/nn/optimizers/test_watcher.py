"""Hooks on modules: removed with their owner, without effect on copies, and silent during a replay."""

import copy
import gc
import pickle

import torch
from torch import nn

from flatmin.nn.optimizers._watcher import RUNNING, Watcher


class Owner:
    """An object that can be deleted."""


class Recorder(Watcher):
    """Counts the calls of watched modules."""

    def __init__(self, owner, *modules):
        super().__init__(owner, *modules)
        self.calls = 0
        for module in modules:
            self.hook(module.register_forward_hook, self.record)

    def record(self, module, args, kwargs, output):
        if self.watches(module):
            self.calls += 1


def test_hooks_act_on_the_watched_module_only():
    owner, module = Owner(), nn.Linear(2, 2)
    recorder = Recorder(owner, module)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        other(torch.ones(2))
    assert recorder.calls == 0
    module(torch.ones(2))
    assert recorder.calls == 1


def test_nothing_is_recorded_during_a_replay():
    owner, module = Owner(), nn.Linear(2, 2)
    recorder = Recorder(owner, module)
    token = RUNNING.set(True)
    module(torch.ones(2))
    RUNNING.reset(token)
    assert recorder.calls == 0


def test_hooks_are_removed_with_their_owner():
    owner, module = Owner(), nn.Linear(2, 2)
    Recorder(owner, module)
    assert len(module._forward_hooks) == 1
    del owner
    gc.collect()
    assert not module._forward_hooks
