"""Assembled data: splits, partly observed variables, missing entries, and batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gendsl.data.dataset import Binding, Dataset, prepare
from gendsl.data.memory import describe
from gendsl.errors import DataError, UsageError
from gendsl.schema.components.source import Memory
from gendsl.schema.components.source_files import Idx
from gendsl.schema.components.source_generated import Digits, Ring
from gendsl.schema.components.source_tables import Csv
from gendsl.schema.components.step import Binarize, Dequantize, Logit, OneHot, Standardize, Unit

BASE = Path(".")
IMAGE = Binding("image", (Binarize(),))
LABEL = Binding("label")


def everything(data: Dataset, part: str) -> torch.Tensor:
    return torch.arange(data.parts[part].rows)


def test_digits_as_in_the_main_example() -> None:
    data = prepare(Digits(), {"x": IMAGE, "y": LABEL}, {}, seed=0, base=BASE)
    assert data.describe() == {
        "source": "digits",
        "variant": "binarize:static",
        "split": {"train": 1437, "test": 360},
    }
    rows = torch.cat([part.index for part in data.parts.values()])
    assert torch.equal(rows.sort().values, torch.arange(1797))
    batch = data.parts["train"].batch(torch.tensor([5, 0, 5]))
    assert len(batch) == 3
    assert (batch.values["x"].dtype, batch.values["x"].shape) == (torch.float32, (3, 1, 8, 8))
    assert (batch.values["y"].dtype, batch.values["y"].shape) == (torch.int64, (3,))
    assert torch.equal(batch.values["x"][0], batch.values["x"][2])
    assert torch.equal(batch.rows, data.parts["train"].index[[5, 0, 5]])
    assert not batch.known
    assert not batch.hidden
    assert torch.equal(batch.log_det["x"], torch.zeros(3))


def test_values_are_those_of_the_source_rows() -> None:
    from sklearn.datasets import load_digits

    data = prepare(Digits(), {"x": Binding("image", (Unit(),)), "y": LABEL}, {}, seed=1, base=BASE)
    pixels, labels = load_digits(return_X_y=True)
    for name in data.parts:
        batch = data.parts[name].batch(everything(data, name))
        np.testing.assert_allclose(batch.values["x"].flatten(1), pixels[batch.rows] / 16, rtol=1e-6)
        assert np.array_equal(batch.values["y"], labels[batch.rows])


def test_static_binarization_is_the_same_under_any_split() -> None:
    images = {}
    for split in ({}, {"train": 0.5, "valid": 0.2, "test": 0.3}):
        data = prepare(Digits(), {"x": IMAGE}, split, seed=3, base=BASE)
        batches = [part.batch(torch.arange(part.rows)) for part in data.parts.values()]
        rows = torch.cat([batch.rows for batch in batches])
        images[len(split)] = torch.cat([batch.values["x"] for batch in batches])[rows.argsort()]
    assert torch.equal(images[0], images[3])
    grey = prepare(Digits(), {"x": Binding("image", (Unit(),))}, {"train": 1.0}, seed=3, base=BASE)
    mean = grey.parts["train"].batch(torch.arange(1797)).values["x"].mean()
    assert abs(images[0].mean() - mean) < 0.005


def test_a_validation_part_leaves_test_alone() -> None:
    without = prepare(Digits(), {"y": LABEL}, {}, seed=0, base=BASE)
    with_valid = prepare(Digits(), {"y": LABEL}, {}, seed=0, base=BASE, valid=True)
    assert {name: part.rows for name, part in with_valid.parts.items()} == {
        "train": 1294,
        "valid": 143,
        "test": 360,
    }
    assert torch.equal(without.parts["test"].index, with_valid.parts["test"].index)
    train = torch.cat([with_valid.parts["train"].index, with_valid.parts["valid"].index]).sort().values
    assert torch.equal(train, without.parts["train"].index)


def test_splits_depend_on_the_seed() -> None:
    first, second = (prepare(Digits(), {"y": LABEL}, {}, seed=seed, base=BASE) for seed in (0, 1))
    assert not torch.equal(first.parts["test"].index, second.parts["test"].index)


def test_own_parts_are_kept_unless_the_split_names_them(make_files: Callable[[str], Path]) -> None:
    base = make_files("idx")
    bind = {"x": Binding("image", (Unit(),))}
    own = prepare(Idx(path="idx"), bind, {}, seed=0, base=base)
    assert torch.equal(own.parts["test"].index, torch.arange(30, 42))
    carved = prepare(Idx(path="idx"), bind, {"valid": 0.2}, seed=0, base=base)
    assert {name: part.rows for name, part in carved.parts.items()} == {"train": 24, "valid": 6, "test": 12}
    assert torch.equal(carved.parts["test"].index, torch.arange(30, 42))
    assert set(carved.parts["valid"].index.tolist()).isdisjoint(carved.parts["train"].index.tolist())
    anew = prepare(Idx(path="idx"), bind, {"train": 0.5, "test": 0.5}, seed=0, base=base)
    assert {name: part.rows for name, part in anew.parts.items()} == {"train": 21, "test": 21}


def test_partial_keeps_balanced_labels_and_hides_the_rest() -> None:
    data = prepare(Digits(), {"x": IMAGE, "y": LABEL}, {}, seed=0, base=BASE, partial={"y": 103}, valid=True)
    batch = data.parts["train"].batch(everything(data, "train"))
    known = batch.known["y"]
    counts = torch.bincount(batch.values["y"][known], minlength=10)
    assert (known.shape, int(known.sum())) == ((1294,), 103)
    assert sorted(counts.tolist()) == [10] * 7 + [11] * 3
    assert not batch.values["y"][~known].any()
    assert torch.equal(batch.hidden["y"][known], batch.values["y"][known])
    assert torch.bincount(batch.hidden["y"]).min() > 90
    for name in ("valid", "test"):
        assert not data.parts[name].batch(everything(data, name)).known["y"].any()
    again = prepare(Digits(), {"y": LABEL}, {}, seed=0, base=BASE, partial={"y": 103}, valid=True)
    assert torch.equal(again.parts["train"].batch(everything(again, "train")).known["y"], known)
    with pytest.raises(DataError, match="1500 labels are to be kept, and train has 1437"):
        prepare(Digits(), {"y": LABEL}, {}, seed=0, base=BASE, partial={"y": 1500})


def test_missing_entries_are_removed_at_the_rate_and_kept_for_metrics() -> None:
    data = prepare(Digits(), {"x": IMAGE}, {}, seed=0, base=BASE, missing={"x": 0.2})
    whole = prepare(Digits(), {"x": IMAGE}, {}, seed=0, base=BASE)
    for name, part in data.parts.items():
        batch, full = part.batch(everything(data, name)), whole.parts[name].batch(everything(data, name))
        known = batch.known["x"]
        assert known.shape == batch.values["x"].shape
        assert abs(known.float().mean() - 0.8) < 0.02
        assert torch.equal(batch.hidden["x"], full.values["x"])
        assert torch.equal(batch.values["x"], full.values["x"] * known)
        ink = torch.corrcoef(torch.stack([known.flatten().float(), full.values["x"].flatten()]))[0, 1]
        assert ink.abs() < 0.03


def test_log_det_counts_known_entries_only() -> None:
    bind = {"x": Binding("image", (Dequantize(),))}
    data = prepare(Digits(), bind, {}, seed=0, base=BASE, missing={"x": 0.5})
    batch = data.parts["train"].batch(torch.arange(100))
    expected = -np.log(17) * batch.known["x"].flatten(1).sum(1)
    torch.testing.assert_close(batch.log_det["x"], expected.float())
    assert (batch.values["x"] > 0)[batch.known["x"]].all()
    assert not batch.values["x"][~batch.known["x"]].any()


def test_the_data_s_own_gaps_are_refused_or_taken(make_files: Callable[[str], Path]) -> None:
    base = make_files("csv")
    bind = {"x": Binding("row", (Standardize(),))}
    with pytest.raises(DataError, match="'row' has missing entries"):
        prepare(Csv(path="table.csv"), bind, {}, seed=0, base=base)
    with pytest.raises(DataError, match="'row' has missing entries"):
        prepare(Csv(path="table.csv"), bind, {}, seed=0, base=base, missing={"x": 0.1})
    data = prepare(Csv(path="table.csv"), bind, {"train": 1.0}, seed=0, base=base, missing={"x": True})
    batch = data.parts["train"].batch(torch.arange(5))
    assert batch.known["x"].sum() == 14
    assert not batch.hidden
    assert batch.values["x"].isfinite().all()
    assert batch.log_det["x"].isfinite().all()


def test_fresh_noise_comes_from_the_default_generator_and_nothing_else_does() -> None:
    bind = {"x": Binding("image", (Dequantize(), Logit(), Standardize())), "y": Binding("label", (OneHot(),))}
    data = prepare(Digits(), bind, {}, seed=0, base=BASE)
    index = torch.arange(10)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second = data.parts["train"].batch(index), data.parts["train"].batch(index)
    assert not torch.equal(first.values["x"], second.values["x"])
    torch.set_rng_state(state)
    assert torch.equal(data.parts["train"].batch(index).values["x"], first.values["x"])
    static = prepare(Digits(), {"x": IMAGE}, {}, seed=0, base=BASE, missing={"x": 0.3})
    state = torch.get_rng_state()
    static.parts["train"].batch(index)
    assert torch.equal(torch.get_rng_state(), state)


def test_raw_pixels_stay_small_until_they_are_visited() -> None:
    data = prepare(Digits(), {"x": Binding("image", (Dequantize(),))}, {}, seed=0, base=BASE)
    assert data.parts["train"].variables["x"].values.dtype == torch.uint8
    assert data.parts["train"].batch(torch.arange(2)).values["x"].dtype == torch.float32


def test_standardize_is_fitted_on_known_training_entries_only() -> None:
    bind = {"x": Binding("point", (Standardize(),))}
    data = prepare(Ring(n=400), bind, {}, seed=0, base=BASE, missing={"x": 0.3})
    batch = data.parts["train"].batch(everything(data, "train"))
    for entry in range(2):
        values = batch.values["x"][:, entry][batch.known["x"][:, entry]]
        torch.testing.assert_close(values.std(correction=0), torch.tensor(1.0), rtol=1e-5, atol=0)
        assert abs(values.mean()) < 1e-6
    other = prepare(Ring(n=300, seed=5), bind, {}, seed=0, base=BASE, pipelines=data.pipelines)
    assert other.pipelines["x"] is data.pipelines["x"]


def test_arrays_of_a_program() -> None:
    arrays = {"x": torch.arange(40.0).reshape(20, 2).double(), "y": np.arange(20) % 3}
    source = describe(arrays)
    data = prepare(source, {"x": Binding("x"), "y": Binding("y")}, {}, seed=0, base=BASE, arrays=arrays)
    batch = data.parts["test"].batch(torch.arange(4))
    assert batch.values["x"].dtype == torch.float32
    assert torch.equal(batch.values["x"], arrays["x"][batch.rows].float())
    assert torch.equal(batch.values["y"], batch.rows % 3)
    bare = prepare(Memory(), {"x": Binding("x")}, {}, seed=0, base=BASE, arrays=arrays)
    assert torch.equal(bare.parts["test"].index, data.parts["test"].index)
    with pytest.raises(UsageError, match="no arrays were passed"):
        prepare(source, {"x": Binding("x")}, {}, seed=0, base=BASE)


def test_wrong_calls() -> None:
    with pytest.raises(UsageError, match="no column 'pixels'"):
        prepare(Digits(), {"x": Binding("pixels")}, {}, seed=0, base=BASE)
    with pytest.raises(UsageError, match="'y' cannot be both"):
        prepare(Digits(), {"y": LABEL}, {}, seed=0, base=BASE, partial={"y": 5}, missing={"y": 0.5})


def test_batches_and_parts_move_together() -> None:
    data = prepare(
        Digits(), {"x": IMAGE, "y": LABEL}, {}, seed=0, base=BASE, partial={"y": 50}, missing={"x": 0.1}
    )
    batch = data.parts["train"].to("cpu").batch(torch.arange(3)).to("cpu")
    assert (
        batch.values.keys() == batch.log_det.keys() == batch.known.keys() == batch.hidden.keys() == {"x", "y"}
    )
