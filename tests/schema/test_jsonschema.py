"""The JSON Schema: itself valid; every shipped spec is valid under it, every structurally bad one is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gendsl.schema import overlay
from gendsl.schema.jsonschema import json_schema
from gendsl.schema.load import shipped
from gendsl.schema.nodes import plain
from gendsl.schema.registry import KINDS, table
from gendsl.schema.spec import Spec, resolved
from gendsl.schema.text import read

FOLDER = Path(__file__).parent.parent / "bad_specs"
STRUCTURAL = ("GD201", "GD202", "GD203", "GD204", "GD210", "GD212", "GD213", "GD220")

EXCEPTIONS = {
    "names/steps_and_epochs": "a rule between two keys",
    "names/nesterov_without_momentum": "a rule between two keys",
    "names/roll_inside_out": "a rule between two keys",
    "names/set_an_unknown_key": "the mistake is in an option",
    "names/set_a_wrong_value": "the mistake is in an option",
    "names/set_an_unknown_tag": "the mistake is in an option",
    "names/unset_what_is_needed": "the mistake is in an option",
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def written(path: Path) -> Any:
    """The document as it is written, before any merging."""
    return plain(read(path.read_text(), str(path)))


def problems(validator: Draft202012Validator, body: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(body)]


@pytest.mark.parametrize("path", shipped().values(), ids=lambda path: path.stem)
def test_shipped_specs_are_valid_as_written_and_merged(path: Path, validator: Draft202012Validator) -> None:
    assert problems(validator, written(path)) == []
    merged = plain(overlay.load(path, find=shipped().get).root)
    assert problems(validator, merged) == []
    spec = Spec.model_validate({"name": "a", **merged})
    assert problems(validator, resolved(spec)) == []


BAD = [
    path
    for path in sorted(FOLDER.glob("*/*.yaml"))
    if path.parent.name != "text"
    and any(code in STRUCTURAL for code in re.findall(r"^# expect: (GD\d+)", path.read_text(), re.MULTILINE))
]


@pytest.mark.parametrize("path", BAD, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_structurally_bad_specs_are_not(path: Path, validator: Draft202012Validator) -> None:
    name = f"{path.parent.name}/{path.stem}"
    assert bool(problems(validator, written(path))) == (name not in EXCEPTIONS)


def test_specs_that_are_bad_only_as_a_whole_are_valid(validator: Draft202012Validator) -> None:
    others = [
        p
        for folder in ("graph", "shapes", "capabilities")
        for p in sorted((FOLDER / folder).glob("*.yaml"))
        if p not in BAD
    ]
    assert len(others) > 100
    assert [p.stem for p in others if problems(validator, written(p))] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_has_its_parameters_with_words(kind: str, validator: Draft202012Validator) -> None:
    for name in (kind, f"{kind}.partial"):
        definition = validator.schema["$defs"][name]
        assert definition["description"].startswith(KINDS[kind])
        cases = definition["anyOf"][1]["allOf"] if table(kind) else []
        tagged = {
            case["if"]["properties"]["type"]["const"]: case["then"]
            for case in cases
            if "properties" in case["if"]
        }
        assert set(tagged) == set(table(kind))
        for tag, model in table(kind).items():
            assert tagged[tag]["description"], tag
            assert set(tagged[tag]["properties"]) == {f.alias or n for n, f in model.model_fields.items()}


def where(kind: str, component: Any) -> dict[str, Any]:
    """A spec with a component in the place of its kind."""
    factor = {"dist": "normal"}
    sections: dict[str, dict[str, Any]] = {
        "dist": {"decoder": {"x": {"dist": component}}},
        "flow": {"decoder": {"x": {**factor, "flow": [component]}}},
        "net": {"decoder": {"x": {**factor, "net": component}}},
        "ordering": {"ordering": {"x": component}},
        "loss": {"adversary": {"d": {"sees": "x", "net": "mlp", "loss": component}}},
        "penalty": {"adversary": {"d": {"sees": "x", "net": "mlp", "penalty": component}}},
        "augment": {"adversary": {"d": {"sees": "x", "net": "mlp", "augment": component}}},
        "corruption": {"corruption": {"x": {"given": "y", "dist": component}}},
        "bound": {"objective": {"bound": component}},
        "energy": {"energy": {"x": component}},
        "energy_objective": {"objective": {"energy": {"x": component}}},
        "negatives": {"energy": {"x": {"net": "mlp", "negatives": component}}},
        "estimator": {"objective": {"estimator": {"c": component}}},
        "source": {"data": {"source": component, "bind": {"x": "image"}}},
        "step": {"data": {"bind": {"x": {"column": "image", "as": [component]}}}},
        "optim": {"train": {"optim": component}},
        "schedule": {"train": {"optim": {"schedule": component}}},
        "extractor": {"evaluate": {"extractor": component}},
    }
    return {"gendsl": 1, **sections[kind]}


COMPONENTS = [
    (kind, tag, i) for kind in KINDS for tag, model in table(kind).items() for i in range(len(model.examples))
]


@pytest.mark.parametrize(("kind", "tag", "index"), COMPONENTS, ids=str)
def test_the_examples_of_a_component_are_valid_and_a_stray_key_is_not(
    kind: str, tag: str, index: int, validator: Draft202012Validator
) -> None:
    example = table(kind)[tag].examples[index]
    body = where(kind, {"type": tag, **example})
    assert problems(validator, body) == []
    Spec.model_validate(body)
    assert problems(validator, where(kind, {"type": tag, **example, "stray": 1}))
    assert problems(validator, where(kind, {"type": f"{tag}x", **example}))


GOOD = [
    {"let": {"width": 64}, "nets": {"trunk": {"type": "mlp", "hidden": ["${width}", "${width}"]}}},
    {"decoder": {"c": {"dist": "categorical", "classes": 10, "logits": "learned"}}},
    {"decoder": {"c": {"dist": {"type": "categorical", "classes": 10}}}},
    {
        "data": {
            "source": "csv",
            "path": "a.csv",
            "bind": {"x": "row", "y": {"column": "kind", "as": "tokens"}},
        }
    },
    {"data": {"bind": {"x": {"column": "image", "as": [{"binarize": "static"}, {"logit": 1e-6}]}}}},
    {"encoder": {"z": {"given": ["x", "y"], "dist": "normal", "net": {"ref": "trunk"}, "flow": ["planar"]}}},
    {"train": {"optim": {"lr": 0.1}}},
    {"extends": "vae", "decoder": {"x": {"net": {"hidden": [3]}}, "y": None}, "train": None},
    {"extends": "vae", "prior": {"c": {"classes": 3}}, "data": {"bind": {"x": {"as": ["unit"]}}}},
]
WRONG = [
    {"decoder": {"c": {"dist": {"type": "categorical"}, "classes": 10}}},
    {"decoder": {"c": {"dist": "normal", "classes": 10}}},
    {"data": {"source": "csv", "bind": {"x": "row"}}},
    {"data": {"source": "digits", "path": "a.csv", "bind": {"x": "row"}}},
    {"data": {"bind": {"x": {"column": "image", "as": {"binarize": "static"}}}}},
    {"decoder": None},
    {"let": {"net": {"type": "mlp"}}},
    {"extends": "vae", "decoder": {"x": {"net": {"hiden": [3]}}}},
    {"extends": "vae", "prior": {"c": {"clases": 3}}},
]


@pytest.mark.parametrize("body", GOOD, ids=str)
def test_short_forms_constants_and_parts_of_specs_are_valid(
    body: dict[str, Any], validator: Draft202012Validator
) -> None:
    assert problems(validator, {"gendsl": 1, **body}) == []


@pytest.mark.parametrize("body", WRONG, ids=str)
def test_forms_that_the_loader_refuses_are_not_valid(
    body: dict[str, Any], validator: Draft202012Validator
) -> None:
    assert problems(validator, {"gendsl": 1, **body})


def test_descriptions_come_from_docstrings_fields_and_the_strings_under_them(
    validator: Draft202012Validator,
) -> None:
    definitions = validator.schema["$defs"]
    assert definitions["Factor"]["properties"]["given"]["description"] == "parents: one variable or a list"
    assert definitions["Adversary"]["description"].startswith("A critic")
    sources = {
        c["if"]["properties"]["type"]["const"]: c["then"] for c in definitions["source"]["anyOf"][1]["allOf"]
    }
    assert sources["text"]["properties"]["lines"]["description"].startswith("Every line is one row")
