"""Streams and the order of the data: functions of their arguments, not of what was drawn before."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gendsl.runtime.streams import STREAMS, Order, key, stream


def draw(seed: int, name: str, step: int = 0) -> Tensor:
    with stream(seed, name, step):
        return torch.randn(16)


def test_a_stream_is_a_function_of_its_three_arguments() -> None:
    first = draw(3, "noise", 7)
    torch.manual_seed(99)
    torch.randn(5)
    assert torch.equal(draw(3, "noise", 7), first)


def test_streams_that_differ_in_anything_differ() -> None:
    cases = itertools.product((0, 1, 11, -1, 2**70), (*STREAMS, "eval/fid"), (0, 1, 11, 10**8))
    keys = [key(*case) for case in cases]
    assert len(set(keys)) == len(keys)
    assert all(0 <= k < 2**63 for k in keys)
    draws = torch.stack([draw(0, name, step) for name in STREAMS for step in range(20)])
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    assert correlation.abs().max() < 0.97
    assert abs(float(draws.mean())) < 0.1
    assert abs(float(draws.std()) - 1) < 0.1


def test_keys_are_the_same_in_every_process() -> None:
    code = "import hashlib; print(int.from_bytes(hashlib.sha256(b'5/init/0').digest()[:8], 'big') >> 1)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == key(5, "init")


def test_the_outer_state_comes_back_also_after_an_error() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    draw(0, "eval")
    assert torch.equal(torch.random.get_rng_state(), before)

    def fails() -> None:
        with stream(0, "eval"):
            torch.randn(3)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert torch.equal(torch.random.get_rng_state(), before)
    with stream(0, "noise", 4):
        torch.randn(1)
        inside = torch.random.get_rng_state()
        draw(0, "sample")
        assert torch.equal(torch.random.get_rng_state(), inside)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["", "Noise", "train", "evaluate", "/eval"])
def test_unknown_streams_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown stream"), stream(0, name):
        pass


SIZES = st.tuples(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**63 - 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=SIZES)
def test_every_epoch_holds_every_row_once(sizes: tuple[int, int, int]) -> None:
    rows, batch_size, seed = sizes
    order = Order(rows, batch_size, seed)
    batches = [order.indices(n) for n in range(order.draws(3))]
    assert all(b.shape == (min(batch_size, rows),) and b.dtype == torch.int64 for b in batches)
    sequence = torch.cat(batches)
    for epoch in range(3):
        assert sorted(sequence[epoch * rows : (epoch + 1) * rows].tolist()) == list(range(rows))
    assert len(sequence) - 3 * rows < order.batch_size
    assert [order.epoch(n) for n in range(len(batches))] == [
        n * order.batch_size // rows for n in range(len(batches))
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=SIZES, calls=st.lists(st.integers(0, 60), min_size=1, max_size=20))
def test_a_minibatch_does_not_depend_on_what_was_asked_before(
    sizes: tuple[int, int, int], calls: list[int]
) -> None:
    order = Order(*sizes)
    for n in calls:
        batch = order.indices(n)
        assert torch.equal(batch, Order(*sizes).indices(n))
        batch.zero_()


def test_epochs_and_seeds_have_their_own_permutations() -> None:
    seen = {tuple(Order(50, 50, seed).indices(epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(seen) == 25


def test_permutations_are_uniform() -> None:
    order = Order(5, 5, 0)
    where = torch.zeros(5, 5)
    for epoch in range(2000):
        where[torch.arange(5), order.indices(epoch)] += 1
    chi_squared = float(((where - 400) ** 2 / 400).sum())
    assert 1.5 < chi_squared < 39  # 16 degrees of freedom: the outer thousandths


def test_the_order_is_fixed_for_good() -> None:
    assert Order(8, 8, 0).indices(0).tolist() == [2, 6, 3, 4, 0, 7, 5, 1]
    assert Order(8, 3, 0).indices(2).tolist() == [5, 1, 7]


def test_randomness_of_torch_and_order_do_not_touch() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    Order(100, 7, 0).indices(20)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("rows", "batch_size"), [(0, 1), (1, 0)])
def test_orders_of_nothing_are_refused(rows: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Order(rows, batch_size, 0)
    with pytest.raises(ValueError, match="from 0"):
        Order(1, 1, 0).indices(-1)
