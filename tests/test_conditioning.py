import numpy as np
import pytest
import torch

from gantutor import models
from gantutor.errors import BadInput
from gantutor.models import conditioning

K = 4
Y = torch.tensor([2, 0, 3, 2, 1])
EYE = torch.from_numpy(np.eye(K, dtype=np.float32)[Y.numpy()])  # (5, K)
Z, X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)), torch.linspace(-1, 1, 5 * 147).reshape(5, 3, 7, 7)


def test_a_vector_and_its_label_beside_it():
    join = conditioning.Join(K, "concat", (6,))
    assert join.width == 10
    assert torch.equal(join(Z, Y), torch.from_numpy(np.concatenate([Z.numpy(), EYE.numpy()], 1)))
    assert join(Z.double(), Y).dtype == torch.float64


def test_an_image_and_its_label_as_constant_planes():
    join = conditioning.Join(K, "concat", (3, 7, 7))
    planes = np.broadcast_to(EYE.numpy()[:, :, None, None], (5, K, 7, 7))
    assert join.width == 7
    assert torch.equal(join(X, Y), torch.from_numpy(np.concatenate([X.numpy(), planes], 1)))


def test_an_embedding_is_a_linear_layer_on_the_one_hot_label():
    join = conditioning.Join(K, "embed", (6,), embed_dim=5)
    told = torch.nn.functional.linear(EYE, join.table.weight.T)  # (5, K) -> (5, 5)
    assert join.width == 11
    torch.testing.assert_close(join(Z, Y), torch.cat([Z, told], 1))

    join = conditioning.Join(K, "embed", (3, 7, 7))
    told = torch.nn.functional.linear(EYE, join.table.weight.T)  # (5, K) -> (5, 49)
    assert join.width == 4
    torch.testing.assert_close(join(X, Y), torch.cat([X, told.reshape(5, 1, 7, 7)], 1))


@pytest.mark.parametrize(("classes", "how"), [(K, "projection"), (0, "concat"), (0, "embed")])
def test_what_joins_nothing_gives_its_input_back(classes, how):
    join = conditioning.Join(classes, how, (3, 7, 7))
    assert join.width == 3
    assert join(X, Y if classes else None) is X
    assert models.parameters(join) == 0


def test_every_class_is_told_differently():
    """A map that mixes up examples, as repeat and reshape do, has the right shape and the right sum."""
    every = torch.arange(K)
    for how in ("concat", "embed"):
        told = conditioning.Join(K, how, (6,))(Z[:1].expand(K, -1), every)[:, 6:]
        assert len(told.unique(dim=0)) == K
        again = conditioning.Join(K, "concat", (6,))(Z[:1].expand(K, -1), every.flip(0))[:, 6:]
        assert torch.equal(again.argmax(1), every.flip(0))


def test_projection_by_hand():
    """D(x, y) = ψ(φ(x)) + ⟨e_y, φ(x)⟩ (Miyato & Koyama 2018, eq. 5)."""
    net = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    table = torch.nn.Embedding(K, 5)
    with torch.no_grad():
        first, _, last = net
        phi = np.tanh(Z.numpy() @ first.weight.numpy().T + first.bias.numpy())
        psi = phi @ last.weight.numpy()[0] + last.bias.item()
        expected = psi + [float(table.weight.numpy()[y] @ h) for y, h in zip(Y, phi, strict=True)]
        np.testing.assert_allclose(conditioning.projected(net, table, Z, Y).numpy(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(conditioning.projected(net, None, Z, None).numpy(), psi, rtol=1e-5, atol=1e-6)


def test_told_fills_the_labels_in():
    def net(x, y=None):
        return x, y

    assert conditioning.with_labels(net, None) is net
    x, y = conditioning.with_labels(net, Y)(X)
    assert x is X
    assert y is Y


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"labels are missing: give them too, int64 of shape \(5,\), from 0 to 3"),
        (Y.int(), r"torch.int32 of shape \(5,\)"),
        (Y.float(), "torch.float32"),
        (EYE, r"torch.float32 of shape \(5, 4\)"),
        (Y[:4], r"of shape \(4,\): give int64 of shape \(5,\)"),
        (Y[:, None], r"of shape \(5, 1\)"),
        (Y + 1, "go from 1 to 4: .*from 0 to 3"),
        (Y - 1, "go from -1 to 2"),
        (7, "labels are 7"),
        ([2, 0, 3, 2, 1], r"labels are \[2, 0, 3, 2, 1\]"),
        (Y.numpy(), "labels are array"),
    ],
)
def test_labels_that_do_not_fit_are_named(y, message):
    for check in (lambda: conditioning.check_labels(y, 5, K), lambda: conditioning.Join(K, "projection", (6,))(Z, y)):
        with pytest.raises(BadInput, match=message):
            check()


def test_labels_where_there_are_no_classes():
    conditioning.check_labels(None, 5, 0)
    conditioning.check_labels(Y[:0], 0, K)
    conditioning.check_labels(Y, 5, K)
    with pytest.raises(BadInput, match="not conditional"):
        conditioning.check_labels(Y, 5, 0)
