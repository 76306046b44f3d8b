"""The environment: complete, free of paths and names, and memory read from made-up control groups."""

from __future__ import annotations

import getpass
import json
import os
import platform
from pathlib import Path

import pytest
import torch

import gendsl
from gendsl.compiler.machine import cgroup_memory, memory_available
from gendsl.runtime.environment import cores, environment, peak_memory, set_threads


def test_the_document_is_json_and_says_what_matters() -> None:
    document = environment()
    assert json.loads(json.dumps(document)) == document
    assert document["gendsl"] == gendsl.__version__
    assert document["libraries"]["torch"] == torch.__version__
    assert document["threads"] == torch.get_num_threads()
    assert 1 <= document["cores"] == cores()
    assert document["processor"]


def test_it_names_no_path_host_or_user() -> None:
    text = json.dumps(environment())
    hidden = {platform.node(), os.path.expanduser("~"), os.getcwd(), getpass.getuser() + "/"}
    assert not [word for word in hidden if len(word) > 3 and word in text]


def test_flags_are_those_of_the_moment() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("high", "highest"):
            torch.set_float32_matmul_precision(precision)
            assert environment()["deterministic"]["float32_matmul"] == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        for count in (2, 1):
            set_threads(count)
            assert environment()["threads"] == count
    finally:
        set_threads(before)
    with pytest.raises(ValueError, match="at least one"):
        set_threads(0)


def test_memory_is_of_a_sensible_size() -> None:
    assert 1 << 20 < memory_available() < 1 << 46
    before = peak_memory()
    block = torch.ones(64 << 20, dtype=torch.uint8)
    assert peak_memory() >= max(before, block.numel())
    assert peak_memory() < 1 << 40


def _group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_version_2_groups_are_read_up_to_the_root(tmp_path: Path) -> None:
    _group(
        tmp_path / "a" / "b",
        {"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": "anon 5\ninactive_file 50\n"},
    )
    _group(tmp_path / "a", {"memory.max": "max\n", "memory.current": "5000\n"})
    _group(tmp_path, {"memory.max": "700", "memory.current": "800"})
    assert cgroup_memory("0::/a/b\n", tmp_path) == [150, 0]
    assert cgroup_memory("0::/not/visible/here\n", tmp_path) == [0]
    assert cgroup_memory("", tmp_path) == []


def test_version_1_groups_are_read(tmp_path: Path) -> None:
    files = {
        "memory.limit_in_bytes": "1000",
        "memory.usage_in_bytes": "400",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 30\n",
    }
    _group(tmp_path / "memory" / "job", files)
    assert cgroup_memory("5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n", tmp_path) == [630]
