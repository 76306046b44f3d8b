"""Laws of positions: a rotation keeps lengths and tells differences of turns only; learned ones follow the axes."""

from __future__ import annotations

import pytest
import torch

from gendsl.nn.networks.positions import Positions, rotated
from gendsl.schema.components.net_seq import Transformer
from gendsl.schema.components.ordering import Spiral
from gendsl.schema.facts import Input


@pytest.mark.parametrize("size", [2, 6])
def test_products_of_rotated_pairs_depend_on_the_difference_of_turns(size: int) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, size, dtype=torch.float64)
    table = torch.tensor([[float((rotated(q, t) * rotated(k, s)).sum()) for s in range(6)] for t in range(6)])
    for gap in range(-5, 6):
        line = torch.diagonal(table, gap)
        torch.testing.assert_close(line, line[:1].expand_as(line))
    assert float((table[0] - table[0, 0]).abs().max()) > 0.1
    torch.testing.assert_close(rotated(q, 3).norm(), q.norm())
    torch.testing.assert_close(rotated(q, 0), q)


def test_rotations_one_by_one_are_those_of_the_row() -> None:
    h = torch.randn(2, 3, 7, 4, dtype=torch.float64)
    parts = [rotated(h[:, :, t : t + 1], t) for t in range(7)]
    assert torch.equal(torch.cat(parts, 2), rotated(h, 0))


def test_axes_are_those_of_the_entry_said_at_each_turn() -> None:
    shape = (2, 3, 4)
    turns = torch.argsort(torch.tensor(Spiral().ranks(shape)))
    module = Positions(shape, turns, 5, 1.0)
    found = module(torch.zeros(1, 24, 5))[0]
    for turn, entry in enumerate(turns.tolist()):
        place = (entry // 12, entry // 4 % 3, entry % 4)
        wanted = sum(table[i] for table, i in zip(module.tables, place, strict=True))
        torch.testing.assert_close(found[turn], wanted)
        torch.testing.assert_close(module.one(torch.zeros(1, 5), turn)[0], wanted)


def test_rotations_need_pairs_and_an_order() -> None:
    net = Transformer(width=6, heads=2, positions="rope")
    assert "pairs of channels" in (net.problem((), Input("x", (4,))) or "")
    assert "any" not in (Transformer(positions="rope").orderings() or ("any",))
    assert "any" in (Transformer(positions="axes").orderings() or ())
