"""Mutants of a spec: its text as plain data, with one to three things changed at random (seeded)."""

from __future__ import annotations

import copy
import random
from typing import Any

# fmt: off
WORDS = (
    "normal", "categorical", "bernoulli", "deterministic", "implicit", "uniform", "planar", "coupling",
    "permute", "mlp", "made", "conv_down", "conv_up", "resnet", "gated_pixelcnn", "transformer", "gru",
    "ref", "raster", "natural", "any", "x", "z", "y", "image", "label", "unit", "ordinal", "logit",
    "dequantize", "auto", "nope", "${a}", "1", "adam", "wasserstein", "gradient", "iwae", "digits",
    "two_moons", "csv", "langevin", "vq", "diffusion", "encoder.z", "d.features",
)
KEYS = (
    "type", "given", "dist", "net", "shape", "flow", "stack", "sees", "loss", "penalty", "hidden",
    "repeat", "classes", "scale", "weight", "warmup", "steps", "lr", "samples", "column", "as",
    "observed", "missing", "partial", "rate", "ref", "in", "kl", "x", "z", "y", "d", "prior", "decoder",
    "encoder", "adversary", "ordering", "condition", "variables", "objective", "train", "energy",
    "corruption", "nets", "bind", "source", "split", "mask", "transform", "bound", "fit", "stages",
    "players", "name",
)
# fmt: on
SCALARS = (None, True, False, 0, 1, -1, 2, 16, 3.5, -0.5, 0.5, 10**12, 1e300, "", *WORDS)


def mutant(spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """The spec with a few changes."""
    draw = random.Random(seed)
    body = copy.deepcopy(spec)
    for _ in range(draw.randint(1, 3)):
        _change(body, draw)
    return body


def _change(body: dict[str, Any], draw: random.Random) -> None:
    holders = [h for h in _holders(body) if h]
    if not holders:
        return
    holder = draw.choice(holders)
    key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    what = draw.randrange(7)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[draw.choice(KEYS)] = holder.pop(key)
    elif what == 2:
        holder[key] = _value(draw, 2)
    elif what == 3 and isinstance(holder, dict):
        holder[draw.choice(KEYS)] = _value(draw, 2)
    elif what == 4 and isinstance(holder, dict) and isinstance(key, str) and key:
        at = draw.randrange(len(key))
        holder[key[:at] + draw.choice("abz_") + key[at + 1 :]] = holder.pop(key)
    elif what == 5:
        other = draw.choice(holders)
        there = draw.choice(list(other) if isinstance(other, dict) else range(len(other)))
        holder[key] = copy.deepcopy(other[there])
    elif isinstance(holder, list):
        holder.append(_value(draw, 2))
    else:
        sections = [k for k, v in body.items() if isinstance(v, dict)]
        if len(sections) > 1:
            one, two = draw.sample(sections, 2)
            body[one], body[two] = body[two], body[one]


def _holders(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [node, *(h for v in node.values() for h in _holders(v))]
    return [node, *(h for v in node for h in _holders(v))] if isinstance(node, list) else []


def _value(draw: random.Random, depth: int) -> Any:
    what = draw.randrange(5) if depth else 0
    if what == 1:
        return [_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    if what == 2:
        return {draw.choice(KEYS): _value(draw, depth - 1) for _ in range(draw.randrange(4))}
    return draw.choice(SCALARS)


DISTS = (
    "normal",
    "laplace",
    "student_t",
    "uniform",
    "bernoulli",
    "continuous_bernoulli",
    "categorical",
    "poisson",
    "beta",
    "gamma",
    "deterministic",
    "implicit",
)
NETS = (
    "mlp",
    "made",
    "conv_down",
    "conv_up",
    "resnet",
    "gated_pixelcnn",
    "transformer",
    "gru",
    "rnn",
    "lstm",
)
PARENTS = ("x", "z", "y", "z1", "z2", "w", ["z", "y"], ["x", "y"], ["x", "z"], [], ["z1", "z2"])
SHAPES = ([16], [1], [], [4, 4], [1, 8, 8], [2, 8, 8], [64], [3])
FLOWS = (
    ["planar"],
    ["coupling"],
    ["permute", "coupling"],
    [{"type": "coupling", "mask": "checkerboard"}],
    [{"type": "coupling", "net": "conv_down"}],
    [{"type": "coupling", "transform": "rq_spline", "amortized": False}],
    ["masked_ar", {"type": "inverse_ar", "between": "reverse"}],
    ["squeeze", {"type": "coupling", "mask": "channel"}, "split", "actnorm"],
    [{"type": "chain", "repeat": 2, "stack": ["actnorm", "inv_1x1_conv", "coupling"]}],
    ["lu_linear", "radial"],
    ["elementwise", "sylvester"],
    ["householder"],
    ["split"],
    [],
)
STEPS = (
    [],
    ["unit"],
    [{"binarize": "static"}],
    ["ordinal"],
    ["dequantize", "logit"],
    ["tokens"],
    ["standardize"],
    ["one_hot"],
    ["unit", "dequantize"],
    [{"mu_law": 4}],
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "dist": DISTS,
    "net": NETS,
    "given": PARENTS,
    "sees": PARENTS[:-2],
    "shape": SHAPES,
    "flow": FLOWS,
    "as": STEPS,
    "loss": ("wasserstein", "hinge", "least_squares", "saturating"),
    "penalty": ("gradient", "spectral", "clip", "r1", ["r1", "spectral"]),
}
ADDITIONS: tuple[dict[str, Any], ...] = (
    {"condition": ["y"]},
    {"condition": ["z"]},
    {"variables": {"x": {"missing": {"rate": 0.3}}}},
    {"variables": {"y": {"observed": {"partial": 50}}}},
    {"variables": {"z": {"shape": [4]}}},
    {"ordering": {"x": "raster"}},
    {"ordering": {"x": "natural", "z": "natural"}},
    {"ordering": {"x": "any"}},
    {"data": {"source": "digits", "bind": {"x": "image", "y": "label"}}},
    {"data": {"source": "ring", "bind": {"x": "point", "y": "label"}}},
    {"data": {"source": "digits", "bind": {"x": {"column": "image", "as": ["unit"]}, "y": "label"}}},
    {
        "data": {
            "source": "digits",
            "bind": {"x": {"column": "image", "as": [{"binarize": "static"}]}, "y": "label"},
        }
    },
    {"prior": {"y": {"dist": "categorical", "logits": "learned"}}},
    {"prior": {"w": {"dist": "categorical", "classes": 4, "shape": [2]}}},
    {"prior": {"w": {"given": "z", "dist": "normal", "shape": [3]}}},
    {"decoder": {"y": {"given": "z", "dist": "categorical", "net": "mlp"}}},
    {"decoder": {"y": {"given": ["z", "x"], "dist": "categorical", "net": "mlp"}}},
    {"encoder": {"y": {"given": "x", "dist": "categorical", "net": "mlp"}}},
    {"encoder": {"w": {"given": ["x", "z"], "dist": "categorical", "net": "mlp"}}},
    {"encoder": {"w": {"given": "x", "dist": "deterministic", "net": "conv_down"}}},
    {"adversary": {"d": {"sees": ["x", "z"], "net": "mlp"}}},
    {"adversary": {"e": {"sees": "z", "loss": "wasserstein", "penalty": "gradient", "net": "mlp"}}},
    {"adversary": {"e": {"sees": ["x", "y"], "net": "conv_down"}}},
    {"corruption": {"x_noisy": {"given": "x", "dist": "mask"}}},
    {"corruption": {"x_noisy": {"given": "x", "dist": "gaussian"}}},
    {"flow": {"x": {"given": ["z", "y"], "stack": ["coupling"]}}},
    {"flow": {"x": {"given": "z", "stack": ["permute", {"type": "coupling", "mask": "checkerboard"}]}}},
    {"objective": {"bound": {"type": "iwae", "samples": 3}}},
    {"objective": {"kl": {"z": {"weight": 2}}}},
    {"objective": {"mmd": {"z": {}}}},
    {"objective": {"reconstruction": {"x": {"in": "d.features"}}}},
    {"objective": {"estimator": {"w": "gumbel"}}},
    {"train": {"stages": [{"fit": ["encoder.z", "decoder.x"], "steps": 5}, {"fit": ["prior.z"]}]}},
    {"train": {"stages": [{"fit": ["adversary.d"]}]}},
    {"train": {"validate": {"every": 10}}},
    {"evaluate": {"split": "valid"}},
    {"nets": {"trunk": {"type": "mlp", "hidden": [8]}}, "encoder": {"z": {"net": {"ref": "trunk"}}}},
    {"sample": {"given": {"y": 3}}},
)


def variant(spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """The spec with a few changes that every single key allows: only the passes can tell what is wrong."""
    draw = random.Random(seed)
    body = copy.deepcopy(spec)
    for _ in range(draw.randint(1, 4)):
        what = draw.randrange(3)
        if what == 0:
            _lay(draw.choice(ADDITIONS), body)
        elif what == 1:
            factors = [
                (s, h) for s in ("prior", "decoder", "encoder", "flow", "adversary") for h in body.get(s, ())
            ]
            if factors:
                section, head = draw.choice(factors)
                if draw.random() < 0.3:
                    del body[section][head]
                else:
                    body[section][head].pop(draw.choice(("net", "flow", "shape", "penalty")), None)
        else:
            found = [
                (h, k)
                for h in _holders(body)
                if isinstance(h, dict)
                for k in h
                if k in CHOICES and h is not body
            ]
            if found:
                holder, key = draw.choice(found)
                holder[key] = copy.deepcopy(draw.choice(CHOICES[key]))
                if key == "dist":
                    for flat in ("scale", "classes", "noise", "logits"):
                        holder.pop(flat, None)
    return body


def _lay(addition: dict[str, Any], body: dict[str, Any]) -> None:
    for key, value in addition.items():
        if isinstance(value, dict) and isinstance(body.get(key), dict) and key != "data":
            _lay(value, body[key])
        else:
            body[key] = copy.deepcopy(value)
