"""Data as batches: repeated readings, weights of batches, and data and losses that cannot be used."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatmin as fm
from flatmin.nn import Curvature
from flatmin.nn.operators.streaming import Batches
from tests.nn.networks import classes, dense, inputs, matrix, mlp, pieces, same, values


def test_weights_are_numbers_of_samples_or_weights_of_their_classes():
    batches = pieces(inputs(), classes(), 5, 12)
    assert [batch.weight for batch in Batches(batches, nn.MSELoss())] == [5, 12]
    assert [batch.size for batch in Batches(batches, nn.MSELoss())] == [5, 12]
    weight = torch.tensor([0.5, 1.0, 4.0])
    for loss in (nn.CrossEntropyLoss(weight=weight), nn.NLLLoss(weight=weight)):
        wanted = [weight[y].sum().item() for _, y in batches]
        assert [batch.weight for batch in Batches(batches, loss)] == pytest.approx(wanted)
    ignoring = Batches(batches, nn.CrossEntropyLoss(ignore_index=1))
    assert [batch.weight for batch in ignoring] == [(y != 1).sum().item() for _, y in batches]


def test_a_pair_is_one_batch_and_a_list_of_pairs_is_several():
    pair = inputs(), values()
    for data, is_one in ((pair, True), (list(pair), True), ([pair], False), (DataLoader(TensorDataset(*pair)), False)):
        assert Batches(data, nn.MSELoss()).is_one is is_one


def test_nested_tensors_are_moved_and_other_values_stay():
    x = {"a": [inputs(), "text"], "b": (values(), None)}
    (batch,) = Batches((x, classes()), nn.MSELoss(), torch.device("meta"))
    assert (batch.x["a"][0].device.type, batch.x["b"][0].device.type, batch.y.device.type) == ("meta",) * 3
    assert (batch.x["a"][1], batch.x["b"][1]) == ("text", None)


def test_a_shuffled_loader_has_the_same_order_at_every_reading():
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(inputs(), values()), 5, shuffle=True, generator=generator)
    batches, state = Batches(loader, nn.MSELoss()), generator.get_state()
    first, second = ([batch.x for batch in batches] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(generator.get_state(), state)


class Augmented(torch.utils.data.Dataset):
    """Adds noise to inputs, by a generator of its own if there is one; or flips some of them."""

    def __init__(self, generator, flip=False):
        self.generator, self.flip = generator, flip

    def __len__(self):
        return 17

    def __getitem__(self, i):
        chance = torch.rand((), generator=self.generator, dtype=torch.float64)
        x = inputs()[i]
        return (x.flip(0) if chance < 0.5 else x) if self.flip else x + chance, values()[i]


@pytest.mark.parametrize("flip", [False, True])
def test_augmentation_is_repeated_or_refused(flip):
    v = torch.ones(43, dtype=torch.float64)
    C = Curvature(mlp(), nn.MSELoss(), DataLoader(Augmented(None, flip), 5, shuffle=True))
    assert torch.equal(C @ v, C @ v)
    C = Curvature(mlp(), nn.MSELoss(), DataLoader(Augmented(torch.Generator(), flip), 5))
    C @ v
    with pytest.raises(fm.InputError, match="data gives other samples when it is read again"):
        C @ v


def test_orders_may_change():
    class Shuffled:
        def __iter__(self):
            order = torch.randperm(17, generator=generator)
            yield from ((inputs()[i], values()[i]) for i in order.split(5))

    generator = torch.Generator()
    C = Curvature(mlp(), nn.MSELoss(), Shuffled())
    v = torch.ones(43, dtype=torch.float64)
    first = C @ v
    same(C @ v, first)
    assert not torch.equal(C @ v, first)


BAD_DATA = {
    "batch 0: the loss is nan": [(inputs() * torch.nan, values())],
    "only once": zip(inputs(), values(), strict=True),
    "no samples": [],
    "wrap it: DataLoader": TensorDataset(inputs(), values()),
    "expected a pair": inputs(),
    "batch 0 is a Tensor": [inputs(), inputs(), inputs()],
    "batch 0 has 3 entries": [(inputs(), values(), values())],
    "is a int": 3,
    "raised RuntimeError": (inputs(d=5), values()),
    "no tensor": (2.0, 1.0),
}


@pytest.mark.parametrize("message", BAD_DATA)
def test_data_that_cannot_be_used(message):
    with pytest.raises(fm.InputError, match=message):
        matrix(mlp(), nn.MSELoss(), BAD_DATA[message])


BAD_LOSSES = {
    "reduction='sum'": nn.MSELoss(reduction="sum"),
    "is a str": "mse",
    r"a tensor of shape \(9, 3\)": lambda o, y: (o - y) ** 2,
    "expected a scalar tensor": lambda o, y: 1.0,
    "expected a mean over samples": lambda o, y: ((o - y) ** 2).sum(),
    "in two halves": lambda o, y: F.cross_entropy(o, classes(len(o)), weight=torch.tensor([0.1, 1, 5]).double()),
}


@pytest.mark.parametrize("message", BAD_LOSSES)
def test_losses_that_are_no_average(message):
    with pytest.raises(fm.InputError, match=message):
        matrix(mlp(), BAD_LOSSES[message], pieces(inputs(), values(), 9, 8))


def test_a_loss_of_the_whole_batch_is_fine_where_there_is_one_batch():
    def spread(outputs, targets):
        return (outputs - targets).var()

    same(matrix(mlp(), spread, (inputs(), values())), dense(mlp(), spread, inputs(), values()))
    with pytest.raises(fm.InputError, match="in two halves"):
        matrix(mlp(), spread, pieces(inputs(), values(), 9, 8))


def test_batches_without_a_share_are_left_out():
    x, y = inputs(), classes()
    loss = nn.CrossEntropyLoss(ignore_index=-1)
    ignored = [(x[:3], torch.full((3,), -1)), (x[:0], y[:0])]
    same(matrix(mlp(), loss, [*ignored, (x, y)]), dense(mlp(), loss, x, y))
    with pytest.raises(fm.InputError, match="no samples"):
        matrix(mlp(), loss, ignored)
