"""One mistake, one message, at the word that is wrong: the structural stage."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.later import LATER, LATER_VALUES
from gendsl.schema.dump import dump
from gendsl.schema.expected import expected, shown
from gendsl.schema.load import loads
from gendsl.schema.registry import KINDS, Component, table
from gendsl.schema.spec import Spec
from gendsl.schema.text import read
from gendsl.schema.walk import fields, homes, tag_of, type_of, walk


def problems(text: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        loads(f"gendsl: 1\n{text}")
    return list(caught.value.diagnostics)


def word(diagnostic: Diagnostic, text: str) -> str:
    """The text under the caret."""
    place = diagnostic.place
    assert place is not None
    line = f"gendsl: 1\n{text}".split("\n")[place.start.line - 1]
    return line[place.start.column - 1 : place.end.column - 1]


@pytest.mark.parametrize(
    ("text", "code", "under"),
    [
        ("decoder: {x: {dist: normal, scale: lerned}}", "GD204", "lerned"),
        ("decoder: {x: {dist: normal, scale: true}}", "GD203", "true"),
        ("decoder: {x: {dist: {type: normal, scale: [1]}}}", "GD203", "[1]"),
        ("data: {bind: {x: {column: image, as: [{binarize: often}]}}}", "GD204", "often"),
        ("data: {bind: {x: {column: image, as: [{binarise: static}]}}}", "GD210", "binarise"),
        ("data: {bind: {x: {column: image, as: [binarise]}}}", "GD210", "binarise"),
        ("variables: {y: {observed: {partial: none}}}", "GD203", "none"),
        ("variables: {y: {observed: {partal: 3}}}", "GD201", "partal"),
        ("variables: {y: {observed: [always]}}", "GD203", "[always]"),
        ("variables: {x: {missing: {rate: 1.0}}}", "GD204", "1.0"),
        ("train: {stages: [{fit: [1]}]}", "GD203", "1"),
        ("train: {stages: {fit: encoder.z}}", "GD203", "{fit: encoder.z}"),
        ("train: {optim: {lr: fast}}", "GD203", "fast"),
        ("train: {optim: {type: adm}}", "GD210", "adm"),
        ("run: {threads: 0}", "GD204", "0"),
        ("sample: {given: {y: [1]}}", "GD203", "[1]"),
        ("prior: {z: {dist: [normal]}}", "GD203", "[normal]"),
        ("prior: {z: {dits: categorical, classes: 3}}", "GD201", "dits"),
        ("prior: {z: {dist: categorial, classes: 3, logits: learned}}", "GD210", "categorial"),
        ("prior: {z: {classes: 3}}", "GD202", "z"),
        ("prior: {z: {dist: categorical, classes: three}}", "GD203", "three"),
        ("prior: {z: {dist: {type: categorical, classes: three}}}", "GD203", "three"),
        ("corruption: {w: {given: x, dist: mask, rate: 2}}", "GD204", "2"),
        ("corruption: {w: {given: [x, y], dist: mask}}", "GD203", "[x, y]"),
        ("data: {source: csv, pth: a.csv, bind: {x: row}}", "GD201", "pth"),
        ("data: {source: cvs, path: a.csv, bind: {x: row}}", "GD210", "cvs"),
        ("flow: {x: {given: z, stack: [plnar]}}", "GD210", "plnar"),
        ("ordering: {x: {permutation: many}}", "GD203", "many"),
        ("encoder: {z: }", "GD203", "z"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_message_under_its_word(text: str, code: str, under: str) -> None:
    found = problems(text)
    assert [(d.code, word(d, text)) for d in found] == [(code, under)]


@pytest.mark.parametrize(
    ("text", "label", "help_"),
    [
        ("train: {learning_rate: 0.1}", "train.optim.lr", "optim: {lr"),
        ("train: {lr: 0.1}", "here it is train.optim.lr", ""),
        ("steps: 3", "belongs under train:", ""),
        ("type: vae", "", "known here: gendsl, name"),
        ("objective: {type: iwae}", "write bound: iwae", ""),
        ("train: {type: adam}", "write optim: adam", ""),
        ("prior: {z: {dist: normal, classes: 3}}", "dist: categorical", ""),
        ("train: {optim: {type: sgd, betas: [0.1, 0.2]}}", "adam", ""),
        ("objective: {iwae: 3}", "write bound: iwae", ""),
        ("prior: {z: normal}", "write {dist: normal}", ""),
        ("prior: {z: {dist: normal, shape: 16}}", "write [16]", ""),
        ("prior: {z: {dist: normal, shape: '16'}}", "write [16]", ""),
        ("train: {steps: '16'}", "write 16 without quotes", ""),
        ("prior: {z: {dist: gaussian}}", "here it is 'normal'", ""),
        ("prior: {z: {dist: mlp}}", "'mlp' is a network", ""),
        ("decoder: {x: {dist: normal, flow: [{planar: {repeat: 3}}]}}", "write {type: planar, ...}", ""),
        ("run: {precision: bfloat61}", "did you mean 'bfloat16'?", ""),
        ("prior: {z: {dist: normal, encoder: {}}}", "left margin", ""),
    ],
)
def test_the_label_says_what_to_write(text: str, label: str, help_: str) -> None:
    (found,) = problems(text)
    assert label in found.label
    assert help_ in found.help


def test_a_section_inside_another_is_one_message_whatever_it_holds() -> None:
    text = "prior:\n  z: {dist: normal, shape: [4]}\n  decoder:\n    x: {dist: normal}\n    y: {dist: 3}"
    (found,) = problems(text)
    assert word(found, text) == "decoder"


def test_independent_mistakes_are_all_told_in_the_order_of_the_text() -> None:
    text = "train: {stepz: 1, batch_size: 0}\nprior: {z: {dist: normall}, w: {shape: [0]}}\nrun: {seed: -1}"
    assert [word(d, text) for d in problems(text)] == ["stepz", "0", "normall", "w", "0", "-1"]


def test_keys_that_a_rule_connects_are_both_shown() -> None:
    (found,) = problems("train: {epochs: 3, steps: 4}")
    assert found.place is not None
    assert found.place.start.column == 20
    (other,) = found.related
    assert other.place is not None
    assert other.place.start.column == 9


EVERY_FIELD = [
    (kind, tag, key)
    for kind in KINDS
    for tag, model in table(kind).items()
    for key in fields(model)
    if kind not in ("source", "energy", "negatives", "energy_objective")
]


def component_spec(kind: str, body: str) -> str:
    """A text with a component (a flow map) in the place of its kind."""
    return {
        "dist": f"decoder: {{x: {{dist: {body}}}}}",
        "flow": f"decoder: {{x: {{dist: normal, flow: [{body}]}}}}",
        "net": f"decoder: {{x: {{dist: normal, net: {body}}}}}",
        "ordering": f"ordering: {{x: {body}}}",
        "loss": f"adversary: {{d: {{sees: x, net: mlp, loss: {body}}}}}",
        "penalty": f"adversary: {{d: {{sees: x, net: mlp, penalty: {body}}}}}",
        "augment": f"adversary: {{d: {{sees: x, net: mlp, augment: {body}}}}}",
        "corruption": f"corruption: {{w: {{given: x, dist: {body}}}}}",
        "bound": f"objective: {{bound: {body}}}",
        "estimator": f"objective: {{estimator: {{c: {body}}}}}",
        "step": f"data: {{bind: {{x: {{column: image, as: [{body}]}}}}}}",
        "optim": f"train: {{optim: {body}}}",
        "schedule": f"train: {{optim: {{schedule: {body}}}}}",
        "extractor": f"evaluate: {{extractor: {body}}}",
    }[kind]


@pytest.mark.parametrize(("kind", "tag", "key"), EVERY_FIELD, ids=str)
def test_every_parameter_says_what_it_takes_where_it_is_wrong(kind: str, tag: str, key: str) -> None:
    model = table(kind)[tag]
    wanted = type_of(fields(model)[key])
    needed = "".join(f", {k}: 3" for k, f in fields(model).items() if f.is_required() and k != key)
    text = component_spec(kind, f"{{type: {tag}, {key}: {{wrong: 1}}{needed}}}")
    found = [d for d in problems(text) if d.code in ("GD203", "GD212")]
    about = [d for d in found if word(d, text) in ("{wrong: 1}", key)]
    assert len(about) == 1
    if about[0].code == "GD203":
        assert expected(wanted) in about[0].message
        assert about[0].message.startswith("`")


def test_the_words_for_types() -> None:
    words = {
        f"{model.__name__}.{key}": expected(type_of(field))
        for model in models()
        for key, field in fields(model).items()
    }
    assert all(not re.search(r"typing|class|Annotated|None|\bint\b|\bstr\b", text) for text in words.values())
    assert words["Train.steps"] == "a whole number of 1 or more"
    assert words["Adam.betas"] == "a list of 2 numbers of 0 or more and below 1"
    assert words["Factor.given"] == "a name or a list of names"
    assert words["Adversary.net"] == "a network: its name, or a map with `type`"
    assert words["VariableFacts.observed"] == "always, never or a map {partial: ...}"
    assert shown([1, "a", None]) == "[1, 'a', nothing]"
    assert shown("x" * 100) == repr("x" * 37 + "...")


def models() -> list[type]:
    every: list[type] = [m for kind in KINDS for m in table(kind).values()]
    todo: list[type] = [Spec]
    for each in todo:
        for field in fields(each).values():
            for inner in (type_of(field), *type_of(field).items, *type_of(field).branches):
                if inner.model is not None and inner.model not in todo:
                    todo.append(inner.model)
    return todo + every


def test_homes_finds_the_maps_that_have_a_key() -> None:
    assert ("train",) in homes("batch_size", Spec)
    assert ("train", "optim") in homes("betas", Spec)
    assert homes("nowhere", Spec) == []


def test_later_names_are_not_registered_and_refused_as_such() -> None:
    for kind, names in LATER.items():
        assert kind == "key" or not names & set(table(kind))
    known = {
        (key, value)
        for m in models()
        for key, f in fields(m).items()
        for value in str(type_of(f).bare).split("'")
    }
    assert not {(key, value) for key, values in LATER_VALUES.items() for value in values} & known


def test_the_walk_undoes_every_short_form() -> None:
    text = "gendsl: 1\nprior: {c: {dist: categorical, classes: 3}}\n"
    text += "data: {bind: {x: {column: a, as: [{binarize: b}, unit]}}}\n"
    root = read(f"{text}decoder: {{x: {{given: z, dist: normal, net: {{ref: t}}, scale: 2}}}}", "f")
    ends = {
        ("prior", "c", "dist", "classes"): ("prior", "c", "classes"),
        ("data", "bind", "x", "as", 0, "how"): ("data", "bind", "x", "as", 0, "binarize"),
        ("decoder", "x", "given", 0): ("decoder", "x", "given"),
        ("decoder", "x", "dist", "scale", "constrained-float"): ("decoder", "x", "scale"),
        ("decoder", "x", "net", "name"): ("decoder", "x", "net", "ref"),
    }
    for loc, path in ends.items():
        assert walk(loc, root)[-1].path == path
    assert tag_of("net", walk(("decoder", "x", "net"), root)[-1].node) == "ref"


WORDS = st.sampled_from(["x", "normal", "planar", "auto", "mlp", "0.1"])
KEYS = st.sampled_from(["type", "dist", "x", "net", "given"])
SAFE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(section=st.sampled_from([name for name in fields(Spec) if name != "gendsl"]), value=SAFE)
def test_whatever_stands_in_a_section_is_accepted_or_told(section: str, value: object) -> None:
    found = None
    try:
        loads(dump({"gendsl": 1, section: value}))
    except SpecError as error:
        found = error.diagnostics
    assert found is None or found
    assert all(d.place is not None and d.message for d in found or ())


def test_components_are_models() -> None:
    assert all(issubclass(m, Component) for kind in KINDS for m in table(kind).values())
