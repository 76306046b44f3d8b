"""The Spec: one frozen Pydantic model of the whole document, with the places it was read from."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr

from gendsl.errors import Diagnostic, Place, Related
from gendsl.schema.components.ordering import Ordering
from gendsl.schema.fields import Name, Names, Words
from gendsl.schema.nodes import Path, locate, mentioned, tag_path
from gendsl.schema.overlay import Document
from gendsl.schema.registry import Slot, Strict
from gendsl.schema.sections import (
    Adversary,
    Corruption,
    EnergyFactor,
    Factor,
    FlowFactor,
    NetField,
    Objective,
    VariableFacts,
)
from gendsl.schema.settings import Data, Evaluate, Run, Sample, Train

FACTOR_SECTIONS = ("prior", "decoder", "flow", "encoder")
"""Sections whose keys are the heads of directed factors."""


class Spec(Strict):
    """A generative model as a factor graph; everything else is derived from it."""

    model_config = ConfigDict(title="gendsl spec, version 1")

    gendsl: Literal[1] = Field(default=1, description="version of the grammar")
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100),
        Words("letters, digits, '_', '.' and '-', at most 100"),
    ] = "model"
    requires: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="installed plug-in packages whose components are used"
    )
    data: Data | None = None
    variables: dict[Name, VariableFacts] = {}
    condition: Names = Field(default=(), description="variables that are given, never modelled")
    prior: dict[Name, Factor] = Field(default={}, description="distributions of latents")
    decoder: dict[Name, Factor] = Field(default={}, description="distributions of observed variables")
    flow: dict[Name, FlowFactor] = Field(
        default={}, description="observed variables that are bijections of a latent"
    )
    energy: dict[Name, EnergyFactor] = Field(default={}, description="factors exp(-E) on a variable")
    ordering: dict[Name, Annotated[Ordering, Slot("ordering")]] = Field(
        default={}, description="order of a variable's entries for its autoregressive factor"
    )
    corruption: dict[Name, Corruption] = Field(
        default={}, description="fixed noise channels that feed an encoder"
    )
    encoder: dict[Name, Factor] = Field(
        default={}, description="inference: q of a latent given what is observed"
    )
    adversary: dict[Name, Adversary] = Field(default={}, description="critics that compare two joints")
    nets: dict[Name, NetField] = Field(default={}, description="named networks, shared by `net: {ref: name}`")
    objective: Objective = Objective()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    sample: Sample = Sample()
    run: Run = Run()

    _document: Document | None = PrivateAttr(default=None)

    @property
    def document(self) -> Document | None:
        """The text behind the spec; None for one built in Python."""
        return self._document

    @property
    def hash(self) -> str:
        """sha256 of the model: every section but `run`, `sample`, `evaluate` and `name`, defaults included."""
        body = self.model_dump(mode="json", exclude={"name", "run", "sample", "evaluate"})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def place(self, path: Path, on: str = "value") -> Place | None:
        """Where `path` stands in the text, or None for a spec built in Python.

        The value of a component is its name: `conv_down` in `net: conv_down` and in `net: {type: conv_down}`.
        """
        if self._document is None:
            return None
        if on == "value":
            path = (*path, *tag_path(self._document.root, path))
        return locate(self._document.root, path, on)

    def mentioned(self, path: Path, words: str) -> Path:
        """The path of that parameter of the component at `path` which the words speak of; else the path itself."""
        return path if self._document is None else mentioned(self._document.root, path, words)

    def diagnostic(
        self,
        code: str,
        message: str,
        path: Path,
        *,
        on: str = "value",
        label: str = "",
        help: str = "",
        severity: str = "error",
        related: tuple[tuple[str, Path], ...] = (),
    ) -> Diagnostic:
        """A diagnostic at `path`; `related` names other paths with a few words each."""
        others = tuple(Related(words, self.place(other, "key")) for words, other in related)
        return Diagnostic(code, message, self.place(path, on), severity, help, label, others)

    def with_document(self, document: Document) -> Self:
        """The same spec, knowing its text."""
        copy = self.model_copy()
        copy._document = document
        return copy


def resolved(spec: Spec) -> dict[str, Any]:
    """The spec as plain data with every default, in the nested form of every component."""
    body = spec.model_dump(mode="json", by_alias=True)
    return {k: v for k, v in body.items() if v not in ({}, [], None, ()) or k == "gendsl"}
