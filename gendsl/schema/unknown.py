"""What an unknown key or name was meant to be: the nearest here, where it belongs, another library's word."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from pydantic import BaseModel

from gendsl.schema.components.later import LATER, LATER_VALUES, RESERVED
from gendsl.schema.foreign import FOREIGN, Foreign, foreign_at
from gendsl.schema.nodes import Map, Path, Scalar
from gendsl.schema.registry import KINDS, table
from gendsl.schema.spec import Spec
from gendsl.schema.suggest import did_you_mean, edit_distance, listing, nearest
from gendsl.schema.walk import Spot, fields, homes, tag_of, type_of

SETTINGS = ("train", "evaluate", "sample", "run")
WEIGHING = ("weight", "warmup")
WEIGHED = MappingProxyType(
    {"encoder": "kl", "decoder": "reconstruction", "adversary": "adversary", "energy": "energy"}
)
"""Section -> the terms of its factors, which only `objective:` weighs."""
BARE = MappingProxyType({"reconstruction": " (likelihood, where nothing latent is above it)"})
"""What a term is called otherwise."""
SAME = MappingProxyType({"hidden": ("width",), "width": ("hidden",), "std": ("scale",), "scale": ("std",)})
"""Keys that one component has and another has under another name."""
MODEL = ("variables", "prior", "decoder", "flow", "encoder", "energy", "ordering")


@dataclass(frozen=True)
class Advice:
    """The code of an unknown key or name, its message, what to do; `meant` is the key that it replaces."""

    code: str
    message: str
    label: str = ""
    help: str = ""
    meant: str = ""


def gathered(model: type[BaseModel]) -> tuple[str, str] | None:
    """The slot whose component's parameters may stand beside it, and its kind."""
    for name in ("dist", "source", "type"):
        field = fields(model).get(name)
        slot = type_of(field).slot if field is not None else None
        if slot is not None:
            return name, slot.kind
    return None


def later_value(key: str, value: object) -> bool:
    """Whether a value belongs to the language but is not built yet."""
    return isinstance(value, str) and value in LATER_VALUES.get(key, frozenset())


def keys(spot: Spot) -> list[str]:
    """The keys that the map at a spot may have."""
    model = spot.model
    if model is None:
        return []
    own = list(fields(model))
    if spot.expects.slot is not None and "type" not in own:
        own.insert(0, "type")
    part = gathered(model)
    node = spot.node
    if part is not None and isinstance(node, Map) and part[0] in node.entries:
        written = node.entries[part[0]].node
        tag = tag_of(part[1], written) if isinstance(written, Scalar) else None
        flat = table(part[1]).get(tag) if tag is not None else None
        own += [key for key in (fields(flat) if flat is not None else ()) if key not in own]
    return own


def unknown_key(key: str, holder: Spot) -> Advice:
    """Advice on a key that the map at `holder` does not have."""
    path = holder.path
    if key in RESERVED and (not path or path[0] in MODEL):
        return Advice("GD213", f"{key!r}: {RESERVED[key]}")
    if key in LATER["key"]:
        return Advice("GD211", f"{key!r} is part of the language but not built yet in this version")
    message = f"unknown key {key!r}" + (f" in {dotted(path)}" if path else "")
    label, help_, meant = _meant(key, holder)
    return Advice("GD201", message, label, help_, meant)


def _meant(key: str, holder: Spot) -> tuple[str, str, str]:
    """What to put beside the caret and below it, and the key that was meant: the best of six guesses."""
    known, path = keys(holder), holder.path
    near, foreign = nearest(key, known), FOREIGN.get(key.lower())
    listed = f"known here: {listing(known, 40)}" if known else ""
    local = foreign_at(key, path)
    inside = _inside(key, holder) if path else ""
    label, help_, meant = did_you_mean(near), listed, near[0] if near else ""
    if near and edit_distance(key.lower(), near[0].lower()) <= 1:
        pass
    elif local is not None:
        label, help_, meant = _called(local, known)
    elif key in WEIGHING and path and path[0] in WEIGHED and "objective" not in path:
        family = WEIGHED[str(path[0])]
        label = "belongs under objective:"
        help_ = f"write objective: {{{family}: {{{path[1]}: {{{key}: ...}}}}}}" if len(path) > 1 else ""
        help_ += BARE.get(family, "") if help_ else ""
        meant = ""
    elif same := next((k for k in SAME.get(key, ()) if k in known), ""):
        label, meant = did_you_mean([same]), same
    elif inside and not (foreign is not None and _deeper(foreign.ours, path)):
        label, help_, meant = inside, "", ""
    elif foreign is not None:
        label, help_, meant = _called(foreign, known)
    elif home := _home(key, path):
        label, help_, meant = home, listed if path else "", ""
    return label, help_, meant


def _called(foreign: Foreign, known: list[str]) -> tuple[str, str, str]:
    """What to put beside the caret and below it for another library's word, and the key that was meant."""
    meant = foreign.ours.rsplit(".", 1)[-1].split("[")[0]
    label = did_you_mean([meant]) if meant in known else f"here it is {foreign.ours}"
    return label, foreign.advice, meant


def _deeper(ours: str, path: Path) -> bool:
    """Whether a key stands under `path`, but not directly: then its whole path says more than where it belongs."""
    return "." in ours.removeprefix(f"{dotted(path)}.") and ours.startswith(f"{dotted(path)}.")


def _inside(key: str, holder: Spot) -> str:
    """Where in the same map the word belongs: a parameter or the name of a component that it may hold."""
    model, slot = holder.model, holder.expects.slot
    if model is None:
        return ""
    if key == "type":
        return _holder_of(_named(holder), model)
    if slot is not None:
        others = [tag for tag, each in table(slot.kind).items() if key in fields(each)]
        if others:
            return f"belongs to {' or '.join(others[:3])}"
    part = gathered(model)
    owners = [tag for tag, each in table(part[1]).items() if key in fields(each)] if part is not None else []
    if part is not None and owners:
        return f"belongs to {part[0]}: {' or '.join(owners[:3])}"
    below = [path for path in homes(key, model) if len(path) == 1]
    if below:
        return f"belongs under {below[0][0]}:"
    return _holder_of(key, model)


def _holder_of(tag: str, model: type[BaseModel]) -> str:
    """The key of a map that takes the component of this name."""
    for name, field in fields(model).items():
        wanted = type_of(field)
        for each in (wanted, *wanted.items):
            if each.slot is not None and tag in table(each.slot.kind):
                return f"write {name}: {tag}" if each is wanted else f"write {name}: [{tag}]"
    return ""


def _named(holder: Spot) -> str:
    """What stands beside `type:` in a map that takes no component."""
    entry = holder.node.entries.get("type") if isinstance(holder.node, Map) else None
    return str(entry.node.value) if entry is not None and isinstance(entry.node, Scalar) else ""


def _home(key: str, path: Path) -> str:
    """The other section where a key of exactly this name belongs, if any; `type` belongs to every component."""
    if key == "type":
        return ""
    if path and key in fields(Spec):
        return "is a section: write it at the left margin"
    found = [p for p in homes(key, Spec) if p != path]
    found.sort(key=lambda p: (len(p), p[0] not in SETTINGS))
    return f"belongs under {dotted(found[0])}:" if found and len(found[0]) <= 2 else ""


def unknown_tag(kind: str, tag: str) -> Advice:
    """Advice on a component's name that is not known."""
    known, noun = list(table(kind)), KINDS[kind]
    help_ = f"known here: {listing(known, 40)}   (gendsl components {kind})" if known else ""
    if tag in RESERVED:
        return Advice("GD213", f"{tag!r}: {RESERVED[tag]}")
    if tag in LATER.get(kind, frozenset()):
        return Advice(
            "GD211",
            f"the {noun} {tag!r} is part of the language but not built yet in this version",
            help=help_,
        )
    message = f"unknown {noun} {tag!r}"
    near, foreign = nearest(tag, known), FOREIGN.get(tag.lower())
    if foreign is not None and foreign.ours in known:
        return Advice("GD210", message, f"here it is {foreign.ours!r}", f"{foreign.advice}; {help_}")
    slip = bool(near) and edit_distance(tag.lower(), near[0].lower()) <= 1
    others = [k for k in KINDS if k != kind and (tag in table(k) or tag in LATER.get(k, frozenset()))]
    if others and not slip:
        return Advice("GD210", message, f"{tag!r} is a {KINDS[others[0]]}", help_)
    if not near and foreign is not None:
        return Advice("GD210", message, "", f"{foreign.advice}; {help_}")
    return Advice("GD210", message, did_you_mean(near), help_)


def dotted(path: Path) -> str:
    """A path as messages name it: encoder.z.flow[0]."""
    return "".join(f"[{e}]" if isinstance(e, int) else f".{e}" for e in path).lstrip(".")
