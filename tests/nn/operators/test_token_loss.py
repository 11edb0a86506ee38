"""Losses of language models: counted tokens, the model's own loss, and batches of trainers."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

import flatmin as fm
from flatmin.nn import Curvature, HessianTracePenalty, TokenCrossEntropy, check_root, hessian_trace
from flatmin.nn.operators.token_loss import own_loss
from tests.nn.networks import same

torch.set_num_threads(1)

VOCABULARY = 7
#: Hugging Face's models compute their loss in single precision.
TOLERANCE = 1e-5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def hugging_face(kind, **options):
    """Return a small model of Hugging Face with random weights, in double precision."""
    transformers = pytest.importorskip("transformers")
    options = {
        "vocab_size": VOCABULARY,
        "n_positions": 6,
        "n_embd": 4,
        "n_layer": 1,
        "n_head": 2,
        "n_inner": 6,
    } | options
    torch.manual_seed(0)
    model = getattr(transformers, kind)(transformers.GPT2Config(**options)).double()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model


class Causal(nn.Module):
    """A language model without a library: logits at each position from the tokens up to it."""

    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(VOCABULARY, 3).double(), nn.Linear(3, VOCABULARY).double()
        self.scale = scale

    def forward(self, input_ids, labels=None, attention_mask=None):
        logits = self.head(torch.tanh(self.embedding(input_ids).cumsum(1)))
        if labels is None:
            return SimpleNamespace(logits=logits)
        pairs = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        return SimpleNamespace(logits=logits, loss=self.scale * F.cross_entropy(*pairs))


def tokens(n=4, length=5, seed=1):
    """Return sequences of different lengths, padded."""
    ids = torch.randint(VOCABULARY, (n, length), generator=generator(seed))
    lengths = 2 + torch.arange(n) % (length - 1)
    mask = (torch.arange(length) < lengths[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def rows(batch, *sizes):
    parts = {name: part.split(sizes) for name, part in batch.items()}
    return [{name: part[i] for name, part in parts.items()} for i in range(len(sizes))]


def own_hessian(model, batch):
    """Return the Hessian of the loss that the model returns."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def f(theta):
        parts = zip(shapes.items(), theta.split(sizes), strict=True)
        state = {name: part.reshape(shape) for (name, shape), part in parts}
        return functional_call(model, state, (), batch).loss

    model.eval()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        return torch.autograd.functional.hessian(f, theta)


def product(model, loss, data, **options):
    curvature = Curvature(model, loss, data, **options)
    return curvature @ torch.eye(curvature.shape[0], dtype=torch.float64)


@pytest.mark.parametrize("model", [Causal, lambda: hugging_face("GPT2LMHeadModel")], ids=["plain", "gpt2"])
def test_the_own_loss_of_a_causal_model_is_averaged_over_tokens(model):
    model, batch = model(), tokens()
    wanted = own_hessian(model, batch)
    same(product(model, None, batch), wanted, TOLERANCE)
    same(product(model, None, rows(batch, 1, 3)), wanted, TOLERANCE)  # 1 and 6 of 7 counted tokens
    same(product(model, TokenCrossEntropy(), rows(batch, 3, 1)), wanted, TOLERANCE)
    part = product(model, None, batch, of="gauss_newton")
    same(product(model, None, rows(batch, 2, 2), of="gauss_newton"), part, TOLERANCE)
    assert torch.linalg.eigvalsh((part + part.mT) / 2)[0] > -1e-12 < (part - wanted).abs().max()


def test_measures_and_the_penalty_take_batches_of_trainers():
    transformers = pytest.importorskip("transformers")
    model, batch = hugging_face("GPT2LMHeadModel"), tokens()
    encoded = transformers.BatchEncoding(batch)
    matrix = product(model, None, encoded, of="gauss_newton")
    trace = hessian_trace(model, None, [encoded], of="gauss_newton", method="exact")
    assert trace.value == pytest.approx(matrix.trace().item(), rel=TOLERANCE)
    model.eval()
    penalty = HessianTracePenalty(model, seed=0, probes=100)
    assert float(penalty(encoded).detach()) == pytest.approx(trace.value, rel=0.3)
    whole, plain = penalty.objective(encoded, alpha=0.0), model(**encoded).loss
    assert float(whole.detach()) == pytest.approx(float(plain.detach()), rel=TOLERANCE)


def test_a_mask_counts_tokens_as_ignored_labels_do():
    model, batch = Causal(), tokens()
    unmasked = batch | {"labels": batch["input_ids"]}
    wanted = product(model, TokenCrossEntropy(), batch)
    same(product(model, TokenCrossEntropy(mask="attention_mask"), rows(unmasked, 1, 3)), wanted)
    with pytest.raises(fm.InputError, match="no 'weights'"):
        product(model, TokenCrossEntropy(mask="weights"), unmasked)


@pytest.mark.parametrize(
    ("kind", "labels", "loss"),
    [
        ("GPT2ForTokenClassification", torch.tensor([[0, 1, -100], [2, -100, 1]]), TokenCrossEntropy(shift=False)),
        ("GPT2ForSequenceClassification", torch.tensor([2, 0]), nn.CrossEntropyLoss()),
        ("GPT2ForSequenceClassification", torch.tensor([[1.0, 0, 1], [0, 0, 1]]).double(), nn.BCEWithLogitsLoss()),
    ],
)
def test_the_own_loss_of_classifiers_is_recognised(kind, labels, loss):
    model = hugging_face(kind, num_labels=3, pad_token_id=0, classifier_dropout=0.0).eval()
    batch = {"input_ids": torch.randint(1, VOCABULARY, (2, 3), generator=generator()), "labels": labels}
    found, needs_labels = own_loss(model, [batch])
    assert (type(found), getattr(found, "shift", None), needs_labels) == (
        type(loss),
        getattr(loss, "shift", None),
        False,
    )
    name = next(name for name, _ in reversed(list(model.named_parameters())) if name.endswith(".weight"))
    weight = model.get_parameter(name)

    def own(flat):
        return functional_call(model, {name: flat.reshape(weight.shape)}, (), batch).loss

    wanted = torch.autograd.functional.hessian(own, weight.detach().flatten())
    same(product(model, None, batch, parameters=[name]), wanted, TOLERANCE)


def test_equal_logits_do_not_confuse_the_losses():
    model = Causal()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    found, _ = own_loss(model, [tokens()])
    assert isinstance(found, TokenCrossEntropy)
    assert found.shift


def test_the_root_of_the_token_loss():
    labels = torch.tensor([[1, 2, -100], [0, 0, 3]])
    logits = torch.randn(2, 3, 5, generator=generator(), dtype=torch.float64)
    for loss in (TokenCrossEntropy(), TokenCrossEntropy(shift=False, label_smoothing=0.1)):
        assert check_root(loss, logits, labels) < 1e-14


def test_bad_batches_and_losses_are_refused_in_one_sentence():
    model, batch = Causal(), tokens()
    unlabelled = {name: part for name, part in batch.items() if name != "labels"}
    for loss, data, message in (
        (TokenCrossEntropy(), unlabelled, "a batch has input_ids, attention_mask, expected 'labels'"),
        (None, unlabelled, "loss is missing, expected one, or batches that are mappings with 'labels'"),
        (None, (batch["input_ids"], batch["labels"]), "loss is missing"),
        (
            TokenCrossEntropy(),
            batch | {"labels": torch.zeros(4, 2).long()},
            "expected \\(4, 5\\): one class for each example or token",
        ),
        (None, batch | {"labels": torch.full((4, 5), -100)}, "expected a batch with a label that counts"),
    ):
        with pytest.raises(fm.InputError, match=message):
            product(model, loss, data)
    with pytest.raises(fm.InputError, match="the model's own loss is no mean"):
        product(Causal(scale=2.0), None, batch)
    with pytest.raises(fm.InputError, match="expected an object with loss and logits"):
        own_loss(lambda input_ids, attention_mask, labels: input_ids, [batch])
