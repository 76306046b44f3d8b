"""Documents made of several: extends, constants, --set and --unset."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gendsl.errors import SpecError, UsageError
from gendsl.schema.merge import merge
from gendsl.schema.nodes import Map, locate, plain
from gendsl.schema.overlay import Document, blame, load
from gendsl.schema.text import MAX_DEPTH, read


def nothing(name: str) -> Path | None:
    return None


def of(text: str, *sets: str, unsets: tuple[str, ...] = ()) -> Any:
    return plain(load(text, sets=sets, unsets=unsets, find=nothing).root)


def refused(text: str | Path, *sets: str, unsets: tuple[str, ...] = ()) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load(text, sets=sets, unsets=unsets, find=nothing)
    return caught.value


def over(parent: str, child: str) -> Any:
    return plain(merge(read(parent, "parent"), read(child, "child")))


def family(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(texts))}.yaml"


FACTOR = "decoder: {{x: {}}}"


@pytest.mark.parametrize(
    ("parent", "child", "merged"),
    [
        # maps merge, lists and scalars replace, null deletes
        (
            "{given: z, net: {type: mlp, hidden: [1, 2]}}",
            "{net: {hidden: [3]}}",
            {"given": "z", "net": {"type": "mlp", "hidden": [3]}},
        ),
        ("{given: z, net: mlp}", "{given: [z, y]}", {"given": ["z", "y"], "net": "mlp"}),
        ("{given: z, net: mlp}", "{net: null}", {"given": "z"}),
        ("{given: z}", "{net: {type: mlp, width: ~}}", {"given": "z", "net": {"type": "mlp"}}),
        # a word counts as its tag
        ("{net: mlp}", "{net: {hidden: [64]}}", {"net": {"type": "mlp", "hidden": [64]}}),
        ("{net: {type: mlp, hidden: [64]}}", "{net: mlp}", {"net": {"type": "mlp", "hidden": [64]}}),
        ("{net: {type: mlp, hidden: [64]}}", "{net: resnet}", {"net": {"type": "resnet"}}),
        ("{net: mlp}", "{net: resnet}", {"net": "resnet"}),
        # another tag replaces the whole
        (
            "{net: {type: mlp, hidden: [64]}}",
            "{net: {type: resnet, width: 8}}",
            {"net": {"type": "resnet", "width": 8}},
        ),
        ("{net: {ref: trunk}}", "{net: {type: mlp, hidden: [8]}}", {"net": {"type": "mlp", "hidden": [8]}}),
        ("{net: {type: mlp, hidden: [8]}}", "{net: {ref: trunk}}", {"net": {"ref": "trunk"}}),
        # a new dist drops the parameters and keeps given, net, shape, flow
        (
            "{given: z, net: mlp, shape: [4], flow: [planar], dist: categorical, classes: 10}",
            "{dist: normal, scale: fixed}",
            {
                "given": "z",
                "net": "mlp",
                "shape": [4],
                "flow": ["planar"],
                "dist": "normal",
                "scale": "fixed",
            },
        ),
        (
            "{given: z, net: mlp, dist: {type: normal, scale: fixed}}",
            "{dist: {type: laplace, scale: 2}, net: {hidden: [8]}}",
            {"given": "z", "net": {"type": "mlp", "hidden": [8]}, "dist": {"type": "laplace", "scale": 2}},
        ),
        (
            "{given: z, dist: {type: normal, scale: fixed}}",
            "{dist: bernoulli}",
            {"given": "z", "dist": "bernoulli"},
        ),
        # the same dist, flat in one and nested in the other: one form, the child's value
        (
            "{dist: {type: normal, scale: fixed}}",
            "{scale: shared}",
            {"dist": {"type": "normal", "scale": "shared"}},
        ),
        ("{dist: {type: normal, scale: fixed}}", "{scale: null}", {"dist": {"type": "normal"}}),
        ("{dist: normal, scale: fixed}", "{dist: {scale: 2}}", {"dist": {"type": "normal", "scale": 2}}),
        ("{dist: normal, scale: fixed}", "{scale: 2}", {"dist": "normal", "scale": 2}),
        (
            "{dist: {type: normal, scale: fixed}}",
            "{dist: normal}",
            {"dist": {"type": "normal", "scale": "fixed"}},
        ),
    ],
)
def test_merge_of_factors(parent: str, child: str, merged: object) -> None:
    assert over(FACTOR.format(parent), FACTOR.format(child)) == {"decoder": {"x": merged}}


def test_both_forms_in_one_document_stay_for_the_schema_to_refuse() -> None:
    both = "{dist: {type: categorical, logits: learned}, classes: 10}"
    assert over("decoder: {x: {given: z}}", FACTOR.format(both))["decoder"]["x"]["classes"] == 10


def test_merge_of_other_sections() -> None:
    assert over(
        "adversary: {d: {sees: x, loss: hinge}}", "adversary: {d: {loss: wasserstein, net: mlp}}"
    ) == {"adversary": {"d": {"loss": "wasserstein", "net": "mlp"}}}
    assert over("data: {bind: {x: image, y: label}}", "data: {bind: {x: {as: [unit]}}}") == {
        "data": {"bind": {"x": {"column": "image", "as": ["unit"]}, "y": "label"}}
    }
    assert over("variables: {y: {observed: always}}", "variables: {y: {observed: {partial: 9}}}") == {
        "variables": {"y": {"observed": {"partial": 9}}}
    }
    assert over("let: {type: a, b: 1}", "let: {type: c}") == {"let": {"type": "c", "b": 1}}
    assert over("energy: {z: u1}", "energy: {z: {shape: [2]}}") == {
        "energy": {"z": {"type": "u1", "shape": [2]}}
    }
    assert over("train: {optim: {lr: 0.1}}\nname: a", "train: null") == {"name": "a"}


def test_merge_has_neutral_elements_and_keeps_the_order_of_the_parent() -> None:
    document = read(
        "gendsl: 1\ndata: {source: digits, bind: {x: {column: image, as: [unit]}}}\nnets: {t: mlp}\n", "f"
    )
    assert plain(merge(Map(), document)) == plain(document) == plain(merge(document, Map()))
    assert plain(merge(document, document)) == plain(document)
    assert list(merge(document, read("nets: {u: mlp}\nname: a\ngendsl: 1", "g")).entries) == [
        "gendsl",
        "data",
        "nets",
        "name",
    ]


def test_extends_a_file_beside_and_a_shipped_spec(tmp_path: Path) -> None:
    (tmp_path / "shipped").mkdir()
    shipped = family(
        tmp_path / "shipped",
        vae="gendsl: 1\nname: vae\nlet: {w: 8, v: 1}\ntrain: {steps: '${w}', batch_size: 4}\n",
    )
    child = family(
        tmp_path,
        child="extends: middle.yaml\nname: child\nlet: {w: 16}\n",
        middle="extends: vae\ngendsl: 1\ntrain: {batch_size: 2}\n",
    )
    document = load(child, find={"vae": shipped}.get)
    assert plain(document.root) == {"gendsl": 1, "name": "child", "train": {"steps": 16, "batch_size": 2}}
    assert document.file == str(child)
    assert set(document.sources) == {str(child), str(tmp_path / "middle.yaml"), str(shipped)}
    places = dict(blame(document.root))
    assert {path: Path(place.file).name for path, place in places.items()} == {
        "gendsl": "middle.yaml",
        "name": "child.yaml",
        "train.steps": "vae.yaml",
        "train.batch_size": "middle.yaml",
    }
    assert list(places) == ["gendsl", "train.steps", "train.batch_size", "name"]
    assert document.warnings == ()


def test_the_name_of_a_parent_is_not_inherited(tmp_path: Path) -> None:
    child = family(tmp_path, child="extends: parent.yaml\n", parent="name: parent\ngendsl: 1\n")
    assert plain(load(child, find=nothing).root) == {"gendsl": 1}


def test_a_missing_parent_is_named_with_its_neighbours(tmp_path: Path) -> None:
    error = refused(family(tmp_path, child="extends: paernt.yaml\n", parent="gendsl: 1\n"))
    (found,) = error.diagnostics
    assert found.code == "GD130"
    assert "parent.yaml" in found.label
    assert "shipped" in refused("extends: vae\n").diagnostics[0].message


def test_a_cycle_shows_its_chain(tmp_path: Path) -> None:
    child = family(tmp_path, a="extends: b.yaml\n", b="extends: c.yaml\n", c="\nextends: ./b.yaml\n")
    (found,) = refused(child).diagnostics
    assert found.code == "GD131"
    assert found.place is not None
    assert (Path(found.place.file).name, found.place.start.line) == ("c.yaml", 2)
    assert [Path(r.place.file).name for r in found.related if r.place] == ["b.yaml"]
    assert found.message.count("->") == 2
    assert "a.yaml" not in found.message


def test_a_problem_in_a_parent_comes_with_its_text(tmp_path: Path) -> None:
    error = refused(family(tmp_path, child="extends: parent.yaml\n", parent="a: 010\n"))
    assert error.diagnostics[0].place is not None
    assert error.sources[error.diagnostics[0].place.file] == "a: 010\n"
    assert len(error.sources) == 2


def test_a_file_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        load(tmp_path / "none.yaml", find=nothing)


def test_constants() -> None:
    text = (
        "let: {w: 64, h: ['${w}', 2], v: '${w}', s: mlp}\na: ${w}\nb: '${h}'\nc: [\"${v}\", {d: '${ s }'}]\n"
    )
    assert of(text) == {"a": 64, "b": [64, 2], "c": [64, {"d": "mlp"}]}
    assert of(text, "let.w=32", "b=${w}")["b"] == 32


def test_a_constant_takes_the_place_of_its_use() -> None:
    document = load("let: {w: 64, h: [1]}\na: ${w}\nb: ${h}\n", find=nothing)
    assert [(path, place.start.line) for path, place in blame(document.root)] == [("a", 2), ("b[0]", 1)]
    place = locate(document.root, ("b",))
    assert place is not None
    assert place.start.line == 3


def test_an_unused_constant_is_a_warning() -> None:
    (warning,) = load("let: {w: 64, v: 1}\na: ${v}\n", find=nothing).warnings
    assert (warning.code, warning.severity) == ("GD136", "warning")
    assert warning.place is not None
    assert warning.place.start.column == 7


def test_constants_do_not_pass_the_limits() -> None:
    names = "abcdefghijklmnopqrst"
    lists = "".join(f"  {y}: ['${{{x}}}', '${{{x}}}']\n" for x, y in pairwise(names))
    assert [d.code for d in refused(f"let:\n  a: [1, 1]\n{lists}x: 1\n").diagnostics] == ["GD117"]
    many = [f"c{i}" for i in range(MAX_DEPTH + 2)]
    chain = "".join(f"  {y}: ['${{{x}}}']\n" for x, y in pairwise(many))
    assert [d.code for d in refused(f"let:\n  c0: [1]\n{chain}x: 1\n").diagnostics] == ["GD116"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("train.steps=5", {"train": {"steps": 5}, "net": "mlp", "flow": ["planar"]}),
        (
            "train.optim.lr=1e-3",
            {"train": {"steps": 1, "optim": {"lr": 1e-3}}, "net": "mlp", "flow": ["planar"]},
        ),
        (
            "net={type: resnet, w: [1, 2]}",
            {"train": {"steps": 1}, "net": {"type": "resnet", "w": [1, 2]}, "flow": ["planar"]},
        ),
        (
            "net.hidden=[64, 32]",
            {"train": {"steps": 1}, "net": {"type": "mlp", "hidden": [64, 32]}, "flow": ["planar"]},
        ),
        (
            "flow[0].repeat=4",
            {"train": {"steps": 1}, "net": "mlp", "flow": [{"type": "planar", "repeat": 4}]},
        ),
        ("flow[0]=radial", {"train": {"steps": 1}, "net": "mlp", "flow": ["radial"]}),
        ("train=null", {"train": None, "net": "mlp", "flow": ["planar"]}),
        ("name=' a = b '", {"train": {"steps": 1}, "net": "mlp", "flow": ["planar"], "name": " a = b "}),
    ],
)
def test_set(option: str, expected: object) -> None:
    assert of("train: {steps: 1}\nnet: mlp\nflow: [planar]\n", option) == expected


def test_set_a_column_and_a_distribution_by_their_short_forms() -> None:
    text = "data: {bind: {x: image}}\nprior: {z: normal}\n"
    assert of(text, "data.bind.x.as=[unit]", "prior.z.shape=[4]") == {
        "data": {"bind": {"x": {"column": "image", "as": ["unit"]}}},
        "prior": {"z": {"dist": "normal", "shape": [4]}},
    }


def test_unset_comes_before_set() -> None:
    text = "train: {steps: 1, epochs: 2}\nflow: [a, b]\n"
    assert of(text, unsets=("train.epochs", "flow[0]")) == {"train": {"steps": 1}, "flow": ["b"]}
    assert of(text, "train.lr=1", unsets=("train",)) == {"train": {"lr": 1}, "flow": ["a", "b"]}


def test_the_place_of_a_setting_is_in_the_option() -> None:
    document = load("train: {steps: 1}\n", sets=["name=a", "train.optim.lr=1e-3"], find=nothing)
    assert document.sources["<--set>"] == "name=a\ntrain.optim.lr=1e-3"
    key = locate(document.root, ("train", "optim", "lr"), on="key")
    value = locate(document.root, ("train", "optim", "lr"))
    assert key is not None
    assert value is not None
    assert (key.file, key.start.line, key.start.column, key.end.column) == ("<--set>", 2, 13, 15)
    assert (value.file, value.start.line, value.start.column, value.end.column) == ("<--set>", 2, 16, 20)


@pytest.mark.parametrize(
    ("option", "code", "column"),
    [
        ("train", "GD137", 1),
        ("train.steps=", "GD137", 1),
        ("=1", "GD137", 1),
        (".a=1", "GD137", 1),
        ("a..b=1", "GD137", 2),
        ("a[-1]=1", "GD137", 2),
        ("a b=1", "GD137", 2),
        ("a=b: 1", "GD137", 3),
        (".".join(["a"] * (MAX_DEPTH + 1)) + "=1", "GD137", 2 * MAX_DEPTH),
        ("a=[1", "GD101", 3),
        ("a=010", "GD114", 3),
        ("a={b: 1, b: 2}", "GD108", 10),
        ("train.steps.x=1", "GD138", 13),
        ("train[0]=1", "GD138", 7),
        ("flow[2]=1", "GD138", 6),
        ("flow.x=1", "GD138", 6),
        ("new[0]=1", "GD138", 5),
        ("extends=vae", "GD138", 1),
        ("gendsl=2", "GD138", 1),
        ("net=${width}", "GD133", 5),
    ],
)
def test_settings_that_are_refused(option: str, code: str, column: int) -> None:
    error = refused("train: {steps: 1}\nflow: [planar]\nnet: mlp\n", "name=a", option)
    (found,) = error.diagnostics
    assert found.place is not None
    assert (found.code, found.place.file, found.place.start.line, found.place.start.column) == (
        code,
        "<--set>",
        2,
        column,
    )
    assert error.sources["<--set>"] == f"name=a\n{option}"


def test_unset_of_what_is_not_there_names_the_nearest() -> None:
    (found,) = refused("train: {steps: 1}\n", unsets=("train.stpes",)).diagnostics
    assert (found.code, found.label) == ("GD139", "did you mean 'steps'?")


def test_a_document_is_frozen_and_without_extends_and_let() -> None:
    document = load("let: {a: 1}\nb: ${a}\n", find=nothing)
    assert isinstance(document, Document)
    assert list(document.root.entries) == ["b"]
    with pytest.raises(AttributeError):
        document.file = "x"  # type: ignore[misc]
