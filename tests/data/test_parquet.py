"""Parquet tables: facts from the footer, and a clear message without pyarrow."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from gendsl.data.loaded import load
from gendsl.schema.components.source_base import SourceProblem
from gendsl.schema.components.source_tables import Parquet


def test_facts_and_values_of_a_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    table = pyarrow.table(
        {
            "size": pyarrow.array([1.5, None, -2.0], pyarrow.float64()),
            "word": pyarrow.array(["a", "b", "c"]),
            "count": pyarrow.array([3, 9, 4], pyarrow.int32()),
            "flag": pyarrow.array([True, False, True]),
        }
    )
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=2)
    source = Parquet.model_validate({"path": "table.parquet"})
    facts = source.facts(tmp_path)
    assert list(facts.columns) == ["size", "count", "flag", "row"]
    assert facts.columns["size"].missing
    assert str(facts.columns["count"].support) == "{3, ..., 9}"
    loaded = load(source, tmp_path).columns
    np.testing.assert_array_equal(loaded["row"], [[1.5, 3, 1], [np.nan, 9, 0], [-2.0, 4, 1]])
    labelled = Parquet.model_validate(
        {"path": "table.parquet", "columns": {"count": {"classes": 10}, "flag": {}}}
    )
    assert labelled.facts(tmp_path).columns["count"].labels
    assert load(labelled, tmp_path).columns["row"].tolist() == [[1], [0], [1]]
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(SourceProblem, match="not a parquet file"):
        Parquet(path="bad.parquet").facts(tmp_path)


def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, package: str | None = None) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    (tmp_path / "table.parquet").write_bytes(b"")
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(SourceProblem, match="parquet needs pyarrow") as caught:
        Parquet(path="table.parquet").facts(tmp_path)
    assert caught.value.field == "source"
    assert "gendsl[parquet]" in caught.value.help
