"""An initialised model: its device, its first weights from the seed, the folder that its data are looked for in."""

from __future__ import annotations

from pathlib import Path

import torch

from gendsl.compiler.build import build
from gendsl.compiler.derive.twice import twice
from gendsl.compiler.graph import Graph
from gendsl.compiler.pipeline import analyse
from gendsl.data.dataset import Dataset
from gendsl.errors import UsageError
from gendsl.nn.model import Model
from gendsl.runtime.dataset import dataset
from gendsl.runtime.streams import stream
from gendsl.schema.spec import Spec


def pick_device(wanted: str) -> str:
    """`auto` is CUDA where there is one, else the CPU. Raises UsageError for a device that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"there is no {wanted} here; use --device cpu")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError("there is no mps here; use --device cpu")
    return wanted


def compile_model(graph: Graph) -> Model:
    """The initialised model of a graph, from the seed's init stream, on its device.

    With run.compile its networks are compiled, but for those that are differentiated twice: torch.compile cannot.
    """
    with stream(graph.spec.run.seed, "init"):
        model = build(graph)
    model.to(graph.device)
    if graph.spec.run.compile:
        apart = twice(graph)
        for section in ("prior", "decoder", "flow", "encoder", "energy", "adversary"):
            for name, module in model.get_submodule(section).named_children():
                if f"{section}.{name}" not in apart:
                    module.compile()
    return model


def data_base(spec: Spec) -> Path:
    """The folder that relative paths of the data start from: the spec's own, or the current one."""
    file = Path(spec.document.file) if spec.document is not None else None
    return file.parent if file is not None and file.is_file() else Path()


def untrained(spec: Spec) -> tuple[Graph, Model, Dataset]:
    """The graph, the initialised model and the data of a spec. Raises SpecError, DataError."""
    base = data_base(spec)
    graph = analyse(spec, base=base, device=pick_device(spec.run.device))
    data = dataset(graph, base)
    model = compile_model(graph)
    model.attach(data.pipelines)
    return graph, model, data
