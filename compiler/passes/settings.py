"""Settings: names under `evaluate`, `sample`, `train` and `variables` that only the derived graph can
judge.
"""

from __future__ import annotations

from collections.abc import Iterator

from gendsl.compiler.graph import Factor, Graph, Role
from gendsl.compiler.plans.chain import chain_of, refused
from gendsl.compiler.plans.encode import encoded
from gendsl.compiler.plans.sample import drawn, uncut
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.components.source_base import SourceProblem, split_counts
from gendsl.schema.settings import ChainOptions
from gendsl.schema.suggest import nearest

METRICS = (
    "log_prob",
    "elbo",
    "bits_per_dim",
    "nats_per_step",
    "log_normaliser",
    "kl_to_target",
    "energy_gap",
    "reconstruction_error",
    "accuracy",
    "log_loss",
    "calibration",
    "imputation_error",
    "imputation_accuracy",
    "mmd",
    "precision",
    "recall",
    "density",
    "coverage",
    "c2st",
    "sliced_wasserstein",
    "modes",
    "high_quality",
    "reverse_kl",
    "fid",
    "kid",
    "label_accuracy",
    "classifier_accuracy",
    "linear_probe",
    "code_accuracy",
    "untrained_code_accuracy",
)
"""What `evaluate: {metrics: [...]}` may name."""


def settings(graph: Graph) -> Graph:
    """Refuses metrics, conditions and validation that this graph does not have; imposes the rule on missing
    values.
    """
    problems = [
        *_metrics(graph),
        *_extractor(graph),
        *_given(graph),
        *_chain(graph),
        *_cut(graph),
        *_missing(graph),
        *_training(graph),
    ]
    if problems:
        raise SpecError(problems)
    return graph.update(notes=(*graph.notes, *_rows(graph), *_complete(graph)))


def _complete(graph: Graph) -> Iterator[Diagnostic]:
    """A note where `missing: true` is said of data that are known to be complete."""
    for name, variable in graph.variables.items():
        facts = graph.spec.variables.get(name)
        written = facts is not None and facts.missing is True
        column = variable.raw_column
        if written and column is not None and not column.missing and not column.unseen:
            yield graph.spec.diagnostic(
                "GD510",
                f"{name} has no missing entries: `missing: true` changes nothing",
                ("variables", name, "missing"),
                severity="note",
            )


def _metrics(graph: Graph) -> Iterator[Diagnostic]:
    for i, metric in enumerate(graph.spec.evaluate.metrics or ()):
        if metric in METRICS:
            why = _undefined(graph, metric)
            if why:
                yield graph.spec.diagnostic("GD512", f"{metric}: {why}", ("evaluate", "metrics", i))
            continue
        near = nearest(metric, list(METRICS))
        yield graph.spec.diagnostic(
            "GD512",
            f"unknown metric {metric!r}",
            ("evaluate", "metrics", i),
            label=f"did you mean {near[0]!r}?" if near else "",
            help=f"known: {', '.join(METRICS)}",
        )


def _extractor(graph: Graph) -> Iterator[Diagnostic]:
    extractor = graph.spec.evaluate.extractor
    why = extractor.problem([graph.variables[n].shape or () for n in drawn(graph)])
    if why:
        yield graph.spec.diagnostic(
            "GD512",
            f"no features of {extractor.tag}: {why}",
            ("evaluate", "extractor"),
            help="write extractor: classifier, which is trained on the data's own labels",
        )


def _undefined(graph: Graph, metric: str) -> str:
    """Why this model or its data have no such number."""
    if metric in ("code_accuracy", "untrained_code_accuracy"):
        return _uncoded(graph)
    if metric not in ("fid", "kid", "label_accuracy", "classifier_accuracy"):
        return ""
    if metric in ("fid", "kid") and not graph.spec.evaluate.extractor.labels:
        return ""
    columns = graph.source.columns if graph.source is not None else {}
    labels = [n for n, c in columns.items() if c.labels and c.shape == ()]
    if len(labels) != 1:
        return (
            "its extractor is a classifier of the data's labels, and the data have no single column of labels"
        )
    bind = graph.spec.data.bind if graph.spec.data is not None else {}
    given = [
        n for n, v in graph.variables.items() if v.role is Role.CONDITION and bind[n].column == labels[0]
    ]
    if metric == "label_accuracy" and not given:
        return f"samples are not given their label: no condition is bound to {labels[0]}"
    return ""


def _uncoded(graph: Graph) -> str:
    """Why codes tell nothing of the data's labels."""
    if not encoded(graph):
        return "no latent has an encoder or is the base of a flow"
    columns = graph.source.columns if graph.source is not None else {}
    if len([c for c in columns.values() if c.labels and c.shape == ()]) != 1:
        return "it is how well codes tell the data's labels, and the data have no single column of labels"
    return ""


def _given(graph: Graph) -> Iterator[Diagnostic]:
    conditions = [n for n, v in graph.variables.items() if v.role is Role.CONDITION]
    for name, value in graph.spec.sample.given.items():
        path = ("sample", "given", name)
        if name not in conditions:
            yield graph.spec.diagnostic(
                "GD206",
                f"{name!r} is not a condition",
                path,
                on="key",
                help=f"conditions: {', '.join(conditions) or 'none'}",
            )
            continue
        support = graph.variables[name].support
        fraction = support is not None and support.integer and value != int(value)
        if support is not None and (fraction or not support.low <= value <= support.high):
            yield graph.spec.diagnostic("GD404", f"{name} = {value} is outside {support}", path)


def _chain(graph: Graph) -> Iterator[Diagnostic]:
    if graph.spec.sample.chain != ChainOptions() and chain_of(graph) is None:
        yield graph.spec.diagnostic(
            "GD507",
            f"this model is not sampled by a chain: {refused(graph)}",
            ("sample", "chain"),
            on="key",
        )


def _cut(graph: Graph) -> Iterator[Diagnostic]:
    sample = graph.spec.sample
    for key in ("top_k", "top_p"):
        why = uncut(graph) if getattr(sample, key) is not None else ""
        if why:
            yield graph.spec.diagnostic("GD507", f"{key} leaves out values: {why}", ("sample", key), on="key")


def _missing(graph: Graph) -> Iterator[Diagnostic]:
    """Missing entries need a density that is a product over entries given the parents (docs/semantics.md, section
    6), or in which they come last: rows of their own length in the order of time.
    """
    for name, variable in graph.variables.items():
        if not variable.missing:
            continue
        facts = graph.spec.variables.get(name)
        path = (
            ("variables", name, "missing") if facts is not None and facts.missing else ("data", "bind", name)
        )
        ragged = variable.raw_column is not None and variable.raw_column.ragged
        lacks = "has rows of different lengths" if ragged else "has missing entries"
        factor = graph.p(name)
        if ragged and (variable.role is not Role.OBSERVED or variable.missing is not True):
            why = (
                f"it cannot be {variable.role}"
                if variable.missing is True
                else "none can be removed at random"
            )
            yield graph.spec.diagnostic("GD510", f"{name} {lacks}: {why}", path)
        elif factor is None or name not in graph.scored:
            yield graph.spec.diagnostic("GD510", f"{name} {lacks}, but p({name}) has no density", path)
        elif factor.base is not None or factor.flow or factor.dist is None or not factor.dist.factorises:
            yield graph.spec.diagnostic(
                "GD510",
                f"{name} {lacks}, but its density is not a product over its entries: it cannot leave some out",
                path,
                related=((f"p({name}) is here", factor.path),),
            )
        elif factor.autoregressive and not factor.agnostic and not (ragged and _forward(factor)):
            order = "time" if ragged else "any"
            what = "with a transformer takes the entries that are there first" if not ragged else ""
            yield graph.spec.diagnostic(
                "GD510",
                f"{name} {lacks}, and its density is autoregressive: zeros in the context would be taken "
                "for observed values",
                path,
                related=((f"p({name}) is here", factor.path),),
                help=f"ordering: {{{name}: {order}}} {what}".strip(),
            )
        else:
            yield from _read_missing(graph, name, lacks)


def _forward(factor: Factor) -> bool:
    """Whether what is missing at the end of a sequence comes last in its order."""
    return factor.ordering is not None and factor.ordering.forward


def _read_missing(graph: Graph, name: str, lacks: str) -> Iterator[Diagnostic]:
    for seer in graph.seen_by(name):
        path = ("adversary", seer, "sees", graph.critics[seer].spec.sees.index(name))
        yield graph.spec.diagnostic("GD510", f"{seer} sees {name}, which {lacks}", path)


def _training(graph: Graph) -> Iterator[Diagnostic]:
    train = graph.spec.train
    if train.validate_ is not None and graph.spec.data is None:
        yield graph.spec.diagnostic("GD411", "there is no data to validate on", ("train", "validate"))
    if graph.spec.data is None or graph.source is None:
        return
    try:
        counts = split_counts(graph.source, graph.spec.data.shares, train.validate_ is not None)
    except SourceProblem as problem:
        yield graph.spec.diagnostic("GD411", problem.message, ("data", "split"), help=problem.help)
        return
    part = graph.spec.evaluate.split
    if counts and part not in counts and "split" in graph.spec.evaluate.model_fields_set:
        help_ = f"the data has {', '.join(counts)}"
        yield graph.spec.diagnostic(
            "GD411", f"there is no {part} part to evaluate on", ("evaluate", "split"), help=help_
        )


def _rows(graph: Graph) -> Iterator[Diagnostic]:
    """Warnings: no part to evaluate on; a batch that is cut to the rows that there are."""
    if graph.source is None or graph.spec.data is None or not graph.source.rows:
        return
    counts = split_counts(graph.source, graph.spec.data.shares, graph.spec.train.validate_ is not None)
    rows = counts["train"]
    if graph.spec.evaluate.split not in counts:
        yield graph.spec.diagnostic(
            "GD411",
            f"there is no {graph.spec.evaluate.split} part: the model is evaluated on the training rows",
            ("data", "split"),
            severity="warning",
            help=f"the data has {', '.join(counts)}",
        )
    if graph.spec.train.batch_size > rows:
        yield graph.spec.diagnostic(
            "GD411",
            f"batch_size {graph.spec.train.batch_size} is more than the {rows} training rows: a batch is all of them",
            ("train", "batch_size"),
            severity="warning",
        )
