"""The events of an epoch."""

import torch

from hepgmm.classify.learning import mirrored


def test_mirrors_are_symmetries_of_what_does_not_change(toy):
    sample = toy(6, seed=1)
    X = torch.from_numpy(sample.X)
    which = torch.arange(6) % 2
    once = mirrored(X, which, 1 - which)
    torch.testing.assert_close(mirrored(once, which, 1 - which), X)
    for column in (0, 5):
        assert torch.equal(once[..., column], X[..., column])
    for column, changed in ((1, which), (4, which), (2, 1 - which), (3, 1 - which)):
        assert torch.equal(once[..., column], X[..., column] * (1 - 2 * changed)[:, None])
