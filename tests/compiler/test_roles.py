"""Roles: what each section may hold, which parents each side may read, what is declared in vain (docs/semantics.md,
section 1).
"""

from __future__ import annotations

import pytest

from gendsl.compiler.graph import Role
from tests.compiler.cases import BINARY, BINARY_Y, MOONS_Y, UNIT, UNIT_Y, VAE, graph_of, messages, problems


def test_roles_follow_from_the_data_and_the_sections() -> None:
    graph = graph_of(
        UNIT_Y.replace("y: label", "y: label, w: label, v: label")
        + """
variables: {w: {observed: {partial: 20}}, v: {observed: never}}
condition: [y]
corruption: {n: {given: x, dist: gaussian}}
prior: {z: {dist: normal, shape: [2]}, w: {dist: categorical}}
decoder: {x: {given: [z, w, y], dist: normal, net: mlp}}
encoder: {z: {given: [n, w], dist: normal, net: mlp}, w: {given: n, dist: categorical, net: mlp}}
"""
    )
    roles = {n: v.role for n, v in graph.variables.items()}
    assert roles == {
        "x": Role.OBSERVED,
        "y": Role.CONDITION,
        "w": Role.PARTIAL,
        "v": Role.METRIC,
        "n": Role.CORRUPTED,
        "z": Role.LATENT,
    }


Z = "prior: {z: {dist: normal, shape: [2]}}\n"
X = "decoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
Q = "encoder: {z: {given: x, dist: normal, net: mlp}}\n"


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        (BINARY + "\nprior: {x: {dist: bernoulli}}", "GD301", "x"),
        (BINARY + "\n" + Z + X + Q + "flow: {w: {given: z, stack: [coupling]}}", "GD301", "w"),
        (
            BINARY
            + "\n"
            + Z
            + "decoder: {z: {dist: normal}, x: {given: z, dist: bernoulli, net: mlp}}\n"
            + Q,
            "GD302",
            "z",
        ),
        (
            BINARY_Y + "\n" + Z + "decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}\n" + Q,
            "GD303",
            "y",
        ),
        (
            BINARY
            + "\ncorruption: {n: {given: x, dist: mask}}\ndecoder: {x: {given: n, dist: bernoulli, net: "
            "mlp}}",
            "GD303",
            "n",
        ),
        (
            BINARY + "\nflow: {x: {given: u, stack: [coupling]}}\nencoder: {u: {given: x, dist: normal}}",
            "GD303",
            "u",
        ),
        (
            BINARY
            + "\nprior: {z: {dist: normal, shape: [2]}, w: {dist: normal, shape: [2]}}\n"
            + "decoder: {x: {given: [z, w], dist: bernoulli, net: mlp}}\n"
            + "encoder: {z: {given: [x, w], dist: normal, net: mlp}}",
            "GD304",
            "w",
        ),
        (
            BINARY_Y
            + "\ncondition: [y]\ndecoder: {y: {dist: categorical}}\n"
            + Z
            + "encoder: {z: {given: x, dist: normal}}",
            "GD306",
            "y",
        ),
        (
            BINARY_Y
            + "\ncondition: [y]\n"
            + Z
            + X
            + "encoder: {z: {given: x, dist: normal}, y: {given: x, dist: categorical}}",
            "GD306",
            "y",
        ),
        (BINARY + "\ncondition: [z]\n" + Z + X + Q, "GD306", "z"),
        (
            BINARY_Y
            + "\nvariables: {y: {observed: never}}\n"
            + Z
            + X
            + "encoder: {z: {given: [x, y], dist: normal}}",
            "GD309",
            "y",
        ),
        (
            BINARY_Y
            + "\nvariables: {y: {observed: never}}\n"
            + Z
            + X
            + Q.replace("}}\n", "}, y: {given: x, dist: categorical}}"),
            "GD309",
            "y",
        ),
        (BINARY + "\nvariables: {z: {observed: always}}\n" + Z + X + Q, "GD310", "always"),
        (BINARY + "\nordering: {z: {type: natural}}\n" + Z + X + Q, "GD307", "z"),
        (BINARY + "\nordering: {x: {type: raster}}\n" + Z + X + Q, "GD307", "x"),
        (BINARY + "\n" + Z + X + Q.replace("given: x", "given: [x, x]"), "GD207", "x"),
        ("data: {source: digits, bind: {x: image}}", "GD300", None),
    ],
)
def test_what_stands_in_the_wrong_place_is_refused_there(body: str, code: str, place: str | None) -> None:
    found = problems(body)
    assert code in [c for c, _ in found]
    assert place is None or (code, place) in found


def test_the_right_section_is_named() -> None:
    assert "belongs under `decoder`" in messages(BINARY + "\nprior: {x: {dist: bernoulli}}")
    assert "write decoder: {x: ...}" in messages(BINARY + "\nprior: {x: {dist: bernoulli}}")
    assert "condition: [y]" in messages(BINARY_Y + "\n" + Z + X.replace("given: z", "given: [z, y]") + Q)


@pytest.mark.parametrize(
    "body",
    [
        BINARY_Y + "\ncondition: [y]\n" + Z + X.replace("given: z", "given: [z, y]") + Q,
        BINARY_Y
        + "\n"
        + Z
        + X.replace("given: z", "given: [z, y]").replace("net: mlp}}", "net: mlp}, y: {dist: categorical}}")
        + Q,
        BINARY_Y + "\n" + Z + X + Q.replace("given: x", "given: [x, y]"),
        BINARY + "\ncorruption: {n: {given: x, dist: mask}}\n" + Z + X + Q.replace("given: x", "given: n"),
        UNIT + "\nencoder: {z: {given: x, dist: deterministic, shape: [3]}}\ndecoder: {x: {given: z, dist: "
        "normal}}",
    ],
    ids=["condition", "with a p-factor", "bound in q", "corrupted in q", "code"],
)
def test_parents_that_are_allowed(body: str) -> None:
    assert problems(body) == []


def test_cycles_are_printed() -> None:
    p = (
        BINARY
        + "\nprior: {a: {given: b, dist: normal, shape: [2]}, b: {given: a, dist: normal, shape: [2]}}\n"
        + X.replace("given: z", "given: a")
    )
    assert "a -> b -> a" in messages(
        p + "encoder: {a: {given: x, dist: normal}, b: {given: x, dist: normal}}"
    )
    q = (
        BINARY
        + "\nprior: {a: {dist: normal, shape: [2]}, b: {dist: normal, shape: [2]}}\n"
        + X.replace("given: z", "given: [a, b]")
    )
    assert "cycle in encoder" in messages(
        q + "encoder: {a: {given: [x, b], dist: normal}, b: {given: [x, a], dist: normal}}"
    )
    one_each_way = q + "encoder: {a: {given: [x, b], dist: normal}, b: {given: x, dist: normal}}"
    assert messages(one_each_way.replace("b: {dist: normal", "b: {given: a, dist: normal")) == ""


def test_what_is_declared_and_not_used() -> None:
    graph = graph_of(BINARY_Y + VAE + "nets: {spare: mlp}")
    assert {(n.code, n.severity) for n in graph.notes} == {("GD307", "warning")}
    assert {n.message.split()[0] for n in graph.notes} == {"y", "the"}
    used = graph_of(MOONS_Y + "\ncondition: [y]\ndecoder: {x: {given: y, dist: normal, net: mlp}}")
    assert used.notes == ()
    assert graph_of(BINARY_Y + "\nvariables: {y: {observed: never}}" + VAE).notes == ()


def test_missing_entries_that_are_not_there_are_a_note() -> None:
    graph = graph_of(BINARY + "\nvariables: {x: {missing: true}}" + VAE)
    assert [(n.severity, n.code) for n in graph.notes] == [("note", "GD510")]
    assert graph_of(BINARY + "\nvariables: {x: {missing: {rate: 0.1}}}" + VAE).notes == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            BINARY
            + "\nvariables: {x: {missing: true}}\nordering: {x: raster}\ndecoder: {x: {dist: bernoulli, net: "
            "made}}",
            "autoregressive",
        ),
        (
            "data: {source: two_moons, bind: {x: point}}\nvariables: {x: {missing: true}}\nprior: {u: {dist: "
            "normal}}\n"
            "flow: {x: {given: u, stack: [coupling]}}",
            "not a product",
        ),
        (
            BINARY
            + "\nvariables: {x: {missing: true}}"
            + VAE.replace("x, dist: normal", "x, dist: implicit")
            + "adversary: {d: {sees: [x, z], net: mlp}}",
            "sees x",
        ),
        (
            BINARY_Y
            + "\nvariables: {y: {missing: true}}\ncondition: [y]"
            + VAE.replace("given: z", "given: [z, y]"),
            "only an observed variable",
        ),
        (
            BINARY_Y + "\nvariables: {y: {missing: true}}" + VAE.replace("given: x,", "given: [x, y],"),
            "no density",
        ),
    ],
)
def test_missing_entries_are_refused_where_they_cannot_be_left_out(body: str, reason: str) -> None:
    assert reason in messages(body)
