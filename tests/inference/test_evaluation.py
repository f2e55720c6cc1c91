"""What evaluation holds while it judges every depth."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn

import associated_learning as al


def test_one_depth_of_outputs_lives_at_a_time() -> None:
    """A vocabulary of 50,000 at every depth would not fit; observers alone get all of them."""
    torch.manual_seed(0)
    encoders = [nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)]
    x, y = torch.randn(6, 4), torch.arange(6) % 3
    net = al.al_form(encoders, x, al.Classes(3), latent=5)
    alive, most = weakref.WeakSet[Tensor](), []
    decode = net.decode

    def counted(latent: Tensor, depth: int) -> Tensor:
        most.append(len(alive))
        output = decode(latent, depth)
        alive.add(output)
        return output

    net.decode = counted  # type: ignore[method-assign]
    expected = al.evaluate(net, [(x, y), (x, y)], metrics=["f1"])
    assert most == [0] * 8
    del most[:]
    outputs: list[int] = []
    observed = al.evaluate(
        net, [(x, y), (x, y)], metrics=["f1"], observe=lambda all_, _: outputs.append(len(all_))
    )
    assert outputs == [4, 4]
    assert observed == expected
    assert max(most) == 3
