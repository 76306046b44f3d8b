"""Laws of the orderings: ranks are a bijection, the walks are what they say, problems and errors agree."""

from __future__ import annotations

import itertools

import pytest
import torch

from gendsl.nn.ordering import rank_tensor, turns
from gendsl.schema import registry
from gendsl.schema.components.ordering import Ordering, Permutation, Random, Raster, Serpentine, Spiral
from gendsl.schema.facts import numel

SHAPES = [(), (1,), (4,), (7,), (4, 3), (1, 1), (1, 4, 4), (2, 3, 5), (3, 5, 2), (3, 1, 6), (1, 7, 7)]
ORDERINGS: list[Ordering] = [
    model.model_validate(example)
    for model in registry.table("ordering").values()
    for example in model.examples
]
CASES = list(itertools.product(ORDERINGS, SHAPES))


def name(value: object) -> str:
    return value.tag if isinstance(value, Ordering) else str(value)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=name)
def test_ranks_are_a_bijection_or_the_problem_is_an_error(spec: Ordering, shape: tuple[int, ...]) -> None:
    why = spec.problem(shape)
    if why is not None:
        assert len(why) > 20
        with pytest.raises(ValueError) as error:
            spec.ranks(shape)
        assert str(error.value) == why
        with pytest.raises(ValueError):
            rank_tensor(spec, shape)
        return
    ranks = spec.ranks(shape)
    assert sorted(ranks) == list(range(numel(shape)))
    tensor = rank_tensor(spec, shape)
    assert tensor.dtype == torch.int64
    assert tensor.tolist() == list(ranks)
    assert tensor[turns(tensor)].tolist() == list(range(numel(shape)))


def test_every_ordering_of_the_language_is_there() -> None:
    tags = {"natural", "reverse", "raster", "serpentine", "spiral", "random", "permutation", "time", "any"}
    assert tags <= set(registry.table("ordering"))
    assert [tag for tag, model in registry.table("ordering").items() if model.agnostic] == ["any"]


@pytest.mark.parametrize("spec", [Raster(), Serpentine(), Spiral()], ids=name)
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 5, 5), (1, 3, 2), (2, 1, 4), (4, 4)], ids=name)
def test_walks_take_channels_inside_and_pixels_by_neighbours(spec: Ordering, shape: tuple[int, ...]) -> None:
    channels = shape[0] if len(shape) == 3 else 1
    height, width = shape[-2:]
    walk = turns(rank_tensor(spec, shape)).tolist()
    steps = [(e // (height * width), e // width % height, e % width) for e in walk]
    assert [c for c, _, _ in steps] == list(range(channels)) * (height * width)
    pixels = [(i, j) for _, i, j in steps[::channels]]
    assert [(i, j) for _, i, j in steps] == [p for p in pixels for _ in range(channels)]
    assert pixels[0] == (0, 0)
    if spec.tag == "raster":
        assert pixels == list(itertools.product(range(height), range(width)))
    else:
        hops = [abs(a - c) + abs(b - d) for (a, b), (c, d) in itertools.pairwise(pixels)]
        assert set(hops) <= {1}


def test_the_spiral_goes_along_the_border_first() -> None:
    assert Spiral().ranks((3, 3)) == (0, 1, 2, 7, 8, 3, 6, 5, 4)
    assert Serpentine().ranks((2, 3)) == (0, 1, 2, 5, 4, 3)


def test_random_orders_follow_their_seed() -> None:
    assert Random(seed=3).ranks((2, 4, 4)) == Random(seed=3).ranks((2, 4, 4))
    assert Random(seed=3).ranks((2, 4, 4)) != Random(seed=4).ranks((2, 4, 4))
    assert Random(seed=0).ranks((6,)) == (5, 4, 2, 0, 3, 1)  # fixed for ever: checkpoints depend on it


def test_random_orders_are_uniform() -> None:
    draws = [Random(seed=seed).ranks((3,)) for seed in range(1200)]
    counts = [draws.count(p) for p in itertools.permutations(range(3))]
    chi = sum((c - 200) ** 2 / 200 for c in counts)
    assert chi < 20.5  # the 0.999 quantile of chi-square with 5 degrees of freedom


def test_a_permutation_lists_entries_in_their_turn() -> None:
    spec = Permutation(order=(2, 0, 1))
    assert turns(rank_tensor(spec, (3,))).tolist() == [2, 0, 1]
    for order, word in [((0, 1), "2 entries"), ((0, 1, 3), "entry 3"), ((0, 1, 1), "more than once")]:
        assert word in (Permutation(order=order).problem((3,)) or "")
