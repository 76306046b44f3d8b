"""Checkpoints: what comes back, what is refused, and what a crash at any point leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gendsl.errors import RunError
from gendsl.runtime import checkpoint
from gendsl.runtime.checkpoint import (
    MANIFEST,
    STATE,
    TENSORS,
    discard_after,
    entries,
    load,
    newest,
    prune,
    save,
)
from gendsl.runtime.checkpoint import signature as signature_of

STATE_VALUE: dict[str, Any] = {"player": {"d": [1, 2.5, None, True]}, "best": 0.1 + 0.2, "name": "é"}


def tensors(shift: float = 0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(3, 4, generator=generator) + shift
    return {
        "decoder.x.weight": weight,
        "transposed": weight.t(),
        "tied": weight,
        "scalar": torch.tensor(2.5 + shift, dtype=torch.float64),
        "flag": torch.tensor(True),
        "mask": torch.tensor([True, False, True]),
        "count": torch.tensor([2**62 + 1, -5]),
        "half": weight.bfloat16(),
        "empty": torch.zeros(0, 3),
        "grid": torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last),
    }


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and torch.equal(a[n], b[n]) for n in a
    )


def forge(entry: Path) -> None:
    """Make the manifest agree with the altered files, as somebody who wants to be believed would."""
    (entry / MANIFEST).write_bytes(checkpoint._manifest(entry, int(entry.name.removeprefix("step-"))))


def silent(message: str) -> None:
    raise AssertionError(f"unexpected warning: {message}")


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    saved = tensors()
    entry = save(tmp_path / "checkpoints", 500, saved, STATE_VALUE)
    assert entry.name == "step-000000500"
    assert sorted(p.name for p in entry.iterdir()) == sorted([MANIFEST, STATE, TENSORS])
    back = load(entry, signature_of(saved))
    assert back.step == 500
    assert back.state == STATE_VALUE
    assert same(back.tensors, saved)
    manifest = json.loads((entry / MANIFEST).read_text())
    for name in (STATE, TENSORS):
        data = (entry / name).read_bytes()
        assert manifest["files"][name] == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_what_was_loaded_does_not_hang_on_the_file(tmp_path: Path) -> None:
    entry = save(tmp_path, 1, tensors(), {})
    back = load(entry)
    with (entry / TENSORS).open("rb+") as file:
        file.write(bytes(os.path.getsize(entry / TENSORS)))
    assert same(back.tensors, tensors())


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = save(tmp_path / "a", 3, tensors(), {"a": 1, "b": 2})
    second = save(tmp_path / "b", 3, dict(reversed(tensors().items())), {"b": 2, "a": 1})
    for name in (TENSORS, STATE, MANIFEST):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("state", [{"a": float("nan")}, {"a": float("inf")}, {1: "a"}, {"a": (1, 2)}])
def test_state_that_would_not_come_back_is_refused(tmp_path: Path, state: dict[Any, Any]) -> None:
    with pytest.raises(ValueError):
        save(tmp_path, 1, tensors(), state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [-1, 10**9])
def test_steps_whose_names_would_not_sort_are_refused(tmp_path: Path, step: int) -> None:
    with pytest.raises(ValueError, match="step"):
        save(tmp_path, step, {}, {})


def test_names_sort_by_step(tmp_path: Path) -> None:
    for step in (1000, 0, 20, 3):
        save(tmp_path, step, {"a": torch.ones(1)}, {})
    assert [load(entry).step for entry in entries(tmp_path)] == [0, 3, 20, 1000]
    assert sorted(os.listdir(tmp_path)) == [entry.name for entry in entries(tmp_path)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_file_cut_short_or_altered_anywhere_is_never_loaded(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    try:
        older = save(folder, 100, tensors(), {"at": 100})
        entry = save(folder, 200, tensors(1.0), {"at": 200})
        path = entry / data.draw(st.sampled_from([TENSORS, STATE, MANIFEST]))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["truncate", "flip", "append"]))
        if how == "truncate":
            content = content[:place]
        elif how == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            content += b" "
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"step-000000200: (tensors|state|manifest)"):
            load(entry)
        warnings: list[str] = []
        back = newest(folder, signature_of(tensors()), warnings.append)
        assert back is not None
        assert (back.step, back.state) == (100, {"at": 100})
        assert older.exists()
        assert len(warnings) == 1
        assert "step-000000200" in warnings[0]
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [TENSORS, STATE, MANIFEST])
def test_the_message_names_the_file(tmp_path: Path, name: str) -> None:
    entry = save(tmp_path, 5, tensors(), {"a": 1})
    (entry / name).write_bytes(b"x" + (entry / name).read_bytes()[1:])
    with pytest.raises(RunError, match=name.replace(".", r"\.") + " cut short or altered"):
        load(entry)
    (entry / name).unlink()
    with pytest.raises(RunError, match=name.replace(".", r"\.") + " is missing"):
        load(entry)


def test_an_entry_under_the_name_of_another_step_is_refused(tmp_path: Path) -> None:
    entry = save(tmp_path, 5, tensors(), {})
    with pytest.raises(RunError, match="sha256"):
        load(entry.rename(tmp_path / "step-000000006"))
    with pytest.raises(RunError, match="is not a checkpoint"):
        load(tmp_path / "latest")


def _drift(change: Callable[[dict[str, Tensor]], None]) -> dict[str, Tensor]:
    changed = tensors()
    change(changed)
    return changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            _drift(lambda t: t.update(half=t["half"].float())),
            r"half is bfloat16 \[3, 4\], expected float32 \[3, 4\]",
        ),
        (_drift(lambda t: t.update(count=t["count"][:1])), r"count is int64 \[2\], expected int64 \[1\]"),
        (
            _drift(lambda t: t.update(scalar=t["scalar"].reshape(1))),
            r"scalar is float64 \[\], expected float64 \[1\]",
        ),
        (_drift(lambda t: t.update(new=t["flag"])), "new is missing"),
        (_drift(lambda t: t.pop("flag")), "flag is not part of this model"),
        (_drift(lambda t: t.clear()), "; and 7 more"),
    ],
)
def test_tensors_of_another_model_are_named(tmp_path: Path, changed: dict[str, Tensor], message: str) -> None:
    entry = save(tmp_path, 5, tensors(), {})
    with pytest.raises(RunError, match=message):
        load(entry, signature_of(changed))


def _header(record: Any) -> bytes:
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    return len(text).to_bytes(8, "little") + text


_GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        (2**63).to_bytes(8, "little") + b"{}",
        (2**40).to_bytes(8, "little") + b"{}",
        _header(b"[" * 100_000),
        _header(b"\xff\xfe"),
        _header([]),
        _header({"a": 3}),
        _header({"a": _GOOD | {"extra": 1}}) + bytes(8),
        _header({"a": _GOOD | {"dtype": "F31"}}) + bytes(8),
        _header({"a": _GOOD | {"dtype": ["F32"]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [2**40], "data_offsets": [0, 2**42]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [2**62, 2**62]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [1] * 1000 + [2]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [-1]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [2.0]}}) + bytes(8),
        _header({"a": _GOOD | {"shape": [True, 2]}}) + bytes(8),
        _header({"a": _GOOD | {"data_offsets": [8, 16]}}) + bytes(16),
        _header({"a": _GOOD | {"data_offsets": [8, 0]}}) + bytes(8),
        _header({"a": _GOOD, "b": _GOOD | {"data_offsets": [4, 12]}}) + bytes(12),
        _header({"a": _GOOD, "b": _GOOD}) + bytes(8),
        _header({"a": _GOOD}) + bytes(9),
        _header({"a": _GOOD}) + bytes(7),
        _header(b'{"a": ' + json.dumps(_GOOD).encode() + b', "a": ' + json.dumps(_GOOD).encode() + b"}")
        + bytes(8),
    ],
)
def test_a_forged_header_is_refused_before_anything_is_allocated(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = save(tmp_path, 5, {"a": torch.ones(2)}, {})
    (entry / TENSORS).write_bytes(content)
    forge(entry)
    monkeypatch.setattr(checkpoint, "safe_open", lambda *_, **__: pytest.fail("it was mapped"))
    with pytest.raises(RunError, match=r"step-000000005.tensors\.safetensors: "):
        load(entry)


def test_a_well_formed_file_of_our_own_making_is_read(tmp_path: Path) -> None:
    entry = save(tmp_path, 5, {"a": torch.ones(2)}, {})
    (entry / TENSORS).write_bytes(_header({"a": _GOOD}) + torch.tensor([3.0, 4.0]).numpy().tobytes())
    forge(entry)
    assert torch.equal(load(entry).tensors["a"], torch.tensor([3.0, 4.0]))


@pytest.mark.parametrize("text", [b"[1]", b"{", b"[" * 100_000, b"\xff"])
def test_state_that_is_no_object_is_refused(tmp_path: Path, text: bytes) -> None:
    entry = save(tmp_path, 5, {}, {})
    (entry / STATE).write_bytes(text)
    forge(entry)
    with pytest.raises(RunError, match=STATE):
        load(entry)


def test_none_where_there_is_none_and_an_error_where_all_are_bad(tmp_path: Path) -> None:
    assert newest(tmp_path / "absent", None, silent) is None
    assert newest(tmp_path, None, silent) is None
    for step in (1, 2):
        (save(tmp_path, step, tensors(), {}) / STATE).unlink()
    warnings: list[str] = []
    with pytest.raises(RunError, match="none of the 2 checkpoints"):
        newest(tmp_path, None, warnings.append)
    assert len(warnings) == 2


def test_prune_keeps_the_newest_and_removes_leftovers(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save(tmp_path, step, tensors(), {})
    (tmp_path / ".step-000000011.tmp").mkdir()
    (tmp_path / ".step-000000011.tmp" / TENSORS).write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("a file of the user's")
    assert newest(tmp_path, None, silent) is not None
    prune(tmp_path, 2)
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "step-000000003", "step-000000010"]
    prune(tmp_path / "absent", 2)
    with pytest.raises(ValueError, match="at least one"):
        prune(tmp_path, 0)


def test_a_damaged_entry_passed_over_does_not_outlive_what_comes_after(tmp_path: Path) -> None:
    save(tmp_path, 400, tensors(), {})
    (save(tmp_path, 450, tensors(), {}) / STATE).unlink()
    back = newest(tmp_path, None, lambda _: None)
    assert back is not None
    discard_after(tmp_path, back.step)
    save(tmp_path, 410, tensors(), {})
    prune(tmp_path, 1)
    assert [entry.name for entry in entries(tmp_path)] == ["step-000000410"]


def test_a_full_disk_is_a_run_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, tensors(), {})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        save(tmp_path, 2, tensors(), {})
    assert os.listdir(tmp_path) == ["step-000000001"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_everything_is_on_the_disk_before_the_rename_and_the_rename_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(handle: int) -> None:
        events.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def traced_replace(source: Path, target: Path) -> None:
        events.append(f"rename {source.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    save(tmp_path / "checkpoints", 1, tensors(), {})
    temporary = ".step-000000001.tmp"
    files = [f"fsync {name}" for name in (TENSORS, STATE, MANIFEST)]
    assert events == [*files, f"fsync {temporary}", f"rename {temporary}", "fsync checkpoints"]


def _in_killed_child(work: Callable[[], None], at: int) -> bool:
    """Run `work` in a forked process that dies, with no cleanup, at its `at`-th call that touches a disk.

    Returns whether it died (False: it finished first).
    """
    child = os.fork()
    if child == 0:
        calls = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at:
                    os._exit(9)
                return real(*args, **kwargs)

            return call

        for name in ("mkdir", "fsync", "replace", "rename", "unlink", "rmdir", "open", "close"):
            setattr(os, name, counted(getattr(os, name)))
        checkpoint.save_file = counted(checkpoint.save_file)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


@pytest.mark.parametrize("first", [1, 2], ids=["a new step", "the same step again"])
def test_killed_anywhere_in_save_and_prune_a_whole_checkpoint_is_left(tmp_path: Path, first: int) -> None:
    def work() -> None:
        save(tmp_path / str(at), 2, tensors(1.0), {"version": "new"})
        prune(tmp_path / str(at), 1)

    for at in range(1, 200):
        folder = tmp_path / str(at)
        save(folder, first, tensors(), {"version": "old"})
        died = _in_killed_child(work, at)
        back = newest(folder, signature_of(tensors()), silent)
        assert back is not None
        assert back.state in ({"version": "old"}, {"version": "new"})
        assert same(back.tensors, tensors(1.0 if back.state["version"] == "new" else 0.0))
        save(folder, 2, tensors(2.0), {"version": "newer"})
        prune(folder, 1)
        assert os.listdir(folder) == ["step-000000002"]
        assert load(folder / "step-000000002").state == {"version": "newer"}
        shutil.rmtree(folder)
        if not died:
            assert at > 20
            assert back.state == {"version": "new"}
            return
    pytest.fail("the work never came to its end")
