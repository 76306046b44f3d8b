"""Published tables: one row at a time, an ordinary spec trained to its end and measured beside a goal of this project.

    python -m benchmarks.papers --list
    python -m benchmarks.papers made_dna --data FOLDER      run or go on, then write the row of docs/results.md

A run lies in `--out` (runs/papers) and is resumed where it was interrupted; a finished one is only read. FOLDER
holds mnist.npz (x_train, y_train, x_test, y_test: uint8 [28, 28]), made_uci.npz (dna_train, dna_valid, dna_test,
mushrooms_...: 0 and 1 in the splits of Germain et al.), jsb_chorales.npz (train_frames, train_offsets, ...),
tinyshakespeare.txt, names.txt, and fashion-mnist, the folder of idx files that Debian's dataset-fashion-mnist installs
under /usr/share/datasets. Nothing else of gendsl needs these files; rows on generated points need none.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gendsl.compiler.pipeline import analyse
from gendsl.compiler.resolve import resolved
from gendsl.errors import UsageError
from gendsl.schema.dump import dump
from gendsl.schema.load import load

ROOT = Path(__file__).resolve().parents[1]
SPECS = ROOT / "specs" / "papers"
RESULTS = ROOT / "docs" / "results.md"
PIXELS = 784

Metrics = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Number:
    """One number of a row: how it follows from a run's metrics, what is wanted, and what the source reports.

    `goal` is this project's own, wanted at most, or at least where `least`; `published` was written from memory and
    not compared with the source.
    """

    name: str
    kind: str
    of: Callable[[Metrics], float]
    goal: float
    published: str
    digits: int = 2
    error: Callable[[Metrics], float | None] = lambda metrics: None
    least: bool = False

    @property
    def wanted(self) -> str:
        """The goal in words; empty without one."""
        return f"{'>=' if self.least else '<='} {self.goal:g}" if math.isfinite(self.goal) else ""

    def met(self, value: float) -> bool:
        """Whether there is a goal and the value reaches it."""
        return bool(self.wanted) and (value >= self.goal if self.least else value <= self.goal)


@dataclass(frozen=True)
class Row:
    """A spec of specs/papers, the file it is trained on (empty: its source needs none), and its numbers."""

    spec: str
    file: str
    data: str
    source: str
    numbers: tuple[Number, ...] = field(default=())


def nats(goal: float, published: str, kind: str = "exact", name: str = "-log p, test") -> Number:
    """Minus the log-probability that the run reports."""
    return Number(
        name,
        kind,
        lambda m: -float(m["log_prob"]["value"]),
        goal,
        published,
        error=lambda m: m["log_prob"]["stderr"],
    )


def divergence(goal: float) -> Number:
    """How far an encoder is from the fixed energy that it was fitted to."""
    name, title = "kl_to_target", "KL(q, exp(-U)/Z), log Z by quadrature"
    return Number(title, "estimate", value_of(name), goal, "", 3, error_of(name))


def per_step(goal: float, published: str, of: str) -> Number:
    """Nats for each character or frame, as the run reports them."""
    name = "nats_per_step"
    return Number(f"nats/{of}, test", "exact", value_of(name), goal, published, 3, error_of(name))


def shown(total: int, goals: tuple[float, float], published: tuple[str, str, str]) -> tuple[Number, ...]:
    """What samples show of `total` known modes; goals for modes and high quality are NaN where there is none."""
    names = ("modes", "high_quality", "reverse_kl")
    titles = (f"modes of {total}", "share of high quality", "reverse KL, nats")
    return tuple(
        Number(title, "estimate", value_of(name), goal, by, digits, error_of(name), least=True)
        for name, title, goal, by, digits in zip(
            names, titles, (*goals, math.nan), published, (0, 3, 3), strict=True
        )
    )


def value_of(name: str) -> Callable[[Metrics], float]:
    """A metric as the run reports it."""
    return lambda metrics: float(metrics[name]["value"])


def error_of(name: str) -> Callable[[Metrics], float | None]:
    """The standard error of a metric, where it has one."""
    return lambda metrics: metrics[name]["stderr"]


MADE = "Germain et al. 2015, table 2"
MAF = "Papamakarios et al. 2017, table 2"
NADE = "Larochelle and Murray 2011, table 1"
PLANAR = "Rezende and Mohamed 2015, section 6.1"
PACGAN = "Lin et al. 2018, section 4.1"
ROWS = (
    Row(
        "shakespeare_gpt",
        "tinyshakespeare.txt",
        "tiny-shakespeare, last 10 %",
        "nanoGPT, README, CPU configuration",
        (per_step(1.95, "1.88", "character"),),
    ),
    *(
        Row(
            f"jsb_{net}",
            "jsb_chorales.npz",
            "JSB chorales",
            "Bai et al. 2018, table 1",
            (per_step(goal, published, "frame"),),
        )
        for net, goal, published in (
            ("rnn", 8.95, "8.91"),
            ("gru", 8.60, "8.43"),
            ("lstm", 8.60, "8.45"),
            ("tcn", 8.50, "8.10"),
        )
    ),
    Row(
        "names_wavenet",
        "names.txt",
        "names, 80/10/10",
        "makemore, part 5: a WaveNet of 76K",
        (per_step(2.06, "1.99", "character"),),
    ),
    Row("mixture_dna", "made_uci.npz", "DNA", MADE, (nats(99.5, "98.19"),)),
    Row("mixture_mushrooms", "made_uci.npz", "mushrooms", MADE, (nats(14.9, "14.46"),)),
    Row("fvsbn_dna", "made_uci.npz", "DNA", MADE, (nats(84.6, "83.64"),)),
    Row("fvsbn_mushrooms", "made_uci.npz", "mushrooms", MADE, (nats(10.4, "10.27"),)),
    Row("made_dna", "made_uci.npz", "DNA", MADE, (nats(85.0, "83.63"),)),
    Row("made_mushrooms", "made_uci.npz", "mushrooms", MADE, (nats(9.95, "9.68"),)),
    Row("rbm_dna", "made_uci.npz", "DNA", NADE, (nats(98.5, "97.77"),)),
    Row("rbm_mushrooms", "made_uci.npz", "mushrooms", NADE, (nats(15.7, "15.15"),)),
    Row(
        "gaussian_mnist",
        "mnist.npz",
        "MNIST, dequantized, logit",
        MAF,
        (nats(1368.4, "1366.9"),),
    ),
    Row(
        "gaussian_mnist_classes",
        "mnist.npz",
        "MNIST, dequantized, logit",
        MAF,
        (
            Number(
                "-log p of the mean over classes, test",
                "exact",
                lambda m: -float(m["log_prob"]["value"]) - float(m["log_loss"]["value"]),
                1346.2,
                "1344.7",
                error=error_of("log_prob"),
            ),
        ),
    ),
    Row(
        "glow_fashion",
        "fashion-mnist",
        "Fashion-MNIST",
        "Kingma and Dhariwal 2018",
        (
            Number(
                "bits/dim, uniform dequantization",
                "upper",
                lambda m: float(m["bits_per_dim"]["value"]),
                math.inf,
                "",
                3,
                lambda m: float(m["bits_per_dim"]["stderr"]),
            ),
            nats(math.inf, "", name="-log p after the logit, test"),
        ),
    ),
    *(
        Row(f"planar_u{u}_{k}", "", f"none: U{u}, {k} layers", PLANAR, (divergence(goal),))
        for k, goals in (
            (2, (math.inf, math.inf, math.inf, math.inf)),
            (8, (0.10, 0.35, 0.45, 0.55)),
            (32, (0.10, 0.30, 0.25, 0.30)),
        )
        for u, goal in enumerate(goals, 1)
    ),
    Row(
        "bbans_vae",
        "mnist.npz",
        "MNIST, binarized dynamically",
        "Townsend et al. 2019, table 2",
        (
            Number(
                "bits/dim by the ELBO",
                "upper",
                lambda m: -float(m["elbo"]["value"]) / (PIXELS * math.log(2)),
                0.200,
                "0.19",
                4,
                lambda m: float(m["elbo"]["stderr"]) / (PIXELS * math.log(2)),
            ),
            Number(
                "ELBO - IWAE-200, nats",
                "estimate",
                lambda m: float(m["elbo"]["value"]) - float(m["log_prob"]["value"]),
                -3.0,
                "",
            ),
        ),
    ),
    *(
        Row(
            name,
            "mnist.npz",
            "MNIST, binarized once (own draw)",
            source,
            (
                nats(goal, "", "upper", "-log p by IS-200"),
                Number("-ELBO", "upper", lambda m: -float(m["elbo"]["value"]), math.inf, ""),
            ),
        )
        for name, source, goal in (
            ("vae_static_mnist", "Kingma and Welling 2014", 94.0),
            ("vae_static_mnist_planar", "Rezende and Mohamed 2015", math.inf),
            ("vae_static_mnist_iaf", "Kingma et al. 2016", 89.36),  # 0.3 nats below the VAE's 89.66
        )
    ),
    *(
        Row(
            f"{name}_{shape}",
            "",
            "ring of 8 Gaussians" if shape == "ring" else "grid of 25 Gaussians",
            source,
            shown(8 if shape == "ring" else 25, goals, published),
        )
        for name, shape, source, goals, published in (
            ("gan", "ring", PACGAN, (math.nan, math.nan), ("6.3", "0.982", "0.45")),
            ("pacgan", "ring", PACGAN, (math.nan, math.nan), ("7.8", "0.977", "0.10")),
            ("r1", "ring", "Mescheder et al. 2018", (8.0, 0.75), ("", "", "")),
            ("gan", "grid", PACGAN, (math.nan, math.nan), ("17.3", "0.948", "0.70")),
            ("pacgan", "grid", PACGAN, (math.nan, math.nan), ("24.6", "0.942", "0.06")),
            ("r1", "grid", "Mescheder et al. 2018", (23.0, 0.6), ("", "", "")),
        )
    ),
    Row(
        "energy_digits",
        "",
        "digits, dequantized",
        "Du and Mordatch 2019",
        (
            Number(
                "energy of the test rows above that of chains, nats",
                "estimate",
                value_of("energy_gap"),
                math.nan,
                "",
                3,
                error_of("energy_gap"),
            ),
            Number(
                "two-sample accuracy of chains against the test rows",
                "estimate",
                value_of("c2st"),
                math.nan,
                "",
                3,
                error_of("c2st"),
            ),
        ),
    ),
    Row(
        "bigan_digits",
        "",
        "digits",
        "Donahue et al. 2017",
        (
            Number(
                "1-NN accuracy of codes, points above the encoder untrained",
                "estimate",
                lambda m: (
                    100 * (float(m["code_accuracy"]["value"]) - float(m["untrained_code_accuracy"]["value"]))
                ),
                3.0,
                "",
                1,
                least=True,
            ),
            Number("1-NN accuracy of codes", "estimate", value_of("code_accuracy"), math.nan, "", 3),
        ),
    ),
    Row(
        "conditional_gan_digits",
        "",
        "digits",
        "Miyato and Koyama 2018",
        (
            Number(
                "samples classified as their label",
                "estimate",
                value_of("label_accuracy"),
                0.95,
                "",
                3,
                error_of("label_accuracy"),
                least=True,
            ),
            Number(
                "test rows that this classifier gets right",
                "estimate",
                value_of("classifier_accuracy"),
                0.97,
                "",
                3,
                error_of("classifier_accuracy"),
                least=True,
            ),
        ),
    ),
)
HEAD = (
    "row",
    "data",
    "budget",
    "seed",
    "metric",
    "kind",
    "ours",
    "goal",
    "published (unchecked)",
    "source",
    "commit",
    "minutes",
    "command",
)


def run(row: Row, data: Path, out: Path, seed: int) -> Path:
    """The run of a row, trained and evaluated to its end; resumed where it has begun.

    Raises UsageError where the folder holds a run of what the spec said before.
    """
    folder, spec = out / f"{row.spec}-{seed}", SPECS / f"{row.spec}.yaml"
    where = [f"data.path={(data / row.file).resolve()}"] if row.file else []
    begun = folder / "resolved.yaml"
    if begun.is_file() and begun.read_text("utf-8") != text(spec, [*where, f"run.seed={seed}"]):
        raise UsageError(f"the spec has changed since {folder} was begun: remove that folder")
    if finished(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside(folder).write_text(commit(), "utf-8")
    command = [sys.executable, "-m", "gendsl"]
    if (folder / "checkpoints").is_dir() and any((folder / "checkpoints").iterdir()):
        command += ["resume", str(folder)]
    else:
        command += ["run", str(spec), "--out", str(folder), "--seed", str(seed)]
        command += [word for each in where for word in ("--set", each)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def text(spec: Path, sets: list[str]) -> str:
    """What a run of the spec keeps as resolved.yaml."""
    return dump(resolved(analyse(load(spec, sets=sets))))


def beside(folder: Path) -> Path:
    """The file that keeps the commit of a run."""
    return folder.with_name(f"{folder.name}.commit")


def finished(folder: Path) -> bool:
    """Whether a run has a result."""
    file = folder / "result.json"
    return file.is_file() and json.loads(file.read_text("utf-8"))["status"] == "completed"


def minutes(folder: Path) -> float:
    """Of training, over all of its parts, and of evaluation."""
    lines = (folder / "timings.jsonl").read_text("utf-8").splitlines()
    trained = sum(float(json.loads(line).get("seconds", 0.0)) for line in lines)
    result = json.loads((folder / "result.json").read_text("utf-8"))
    return (trained + float(result["seconds"].get("evaluate", 0.0))) / 60


def cells(row: Row, folder: Path, seed: int, at: str) -> list[list[str]]:
    """The lines of a row, one for each of its numbers; `at`: the commit that it was run at."""
    result = json.loads((folder / "result.json").read_text("utf-8"))
    parts = result["metrics"]
    metrics = parts.get("test", parts.get("train"))
    found = []
    for number in row.numbers:
        value, error = number.of(metrics), number.error(metrics)
        ours = f"{value:.{number.digits}f}" + ("" if error is None else f" ± {error:.{number.digits}f}")
        found.append(
            [
                row.spec,
                row.data,
                f"{result['steps']:,} steps",
                str(seed),
                number.name,
                number.kind,
                f"**{ours}**" if number.met(value) else ours,
                number.wanted,
                number.published,
                row.source,
                at,
                f"{minutes(folder):.1f}",
                f"`python -m benchmarks.papers {row.spec}{f' --seed {seed}' if seed else ''}`",
            ]
        )
    return found


def commit() -> str:
    """The commit of the checkout, with + where files other than the table differ from it."""
    words = [["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", ".", ":!docs/results.md"]]
    found = [
        subprocess.run(["git", *w], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        for w in words
    ]
    return (found[0].strip() or "unknown") + ("+" if found[1].strip() else "")


def updated(document: str, lines: list[list[str]]) -> str:
    """The document, which ends with the table, with these lines in it.

    They take the place of those of the same row, seed and metric.
    """
    table = [split(line) for line in document.splitlines() if line.startswith("|")]
    before = document[: document.index("|")] if table else document
    kept = {(c[0], c[3], c[4]): c for c in [*table[2:], *lines]}
    order = {row.spec: i for i, row in enumerate(ROWS)}
    body = sorted(kept.values(), key=lambda c: order.get(c[0], len(order)))
    head = [list(HEAD), ["---"] * len(HEAD)]
    return before + "".join("| " + " | ".join(c) + " |\n" for c in (*head, *body))


def split(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=__doc__.splitlines()[0])
    parser.add_argument("row", nargs="?", choices=[r.spec for r in ROWS], help="a spec of specs/papers")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="the data's folder")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "papers", help="where the runs lie")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="only say which rows there are")
    arguments = parser.parse_args()
    if arguments.list or arguments.row is None:
        for row in ROWS:
            goals = ", ".join(f"{n.name} {n.wanted}" for n in row.numbers if n.wanted)
            print(f"{row.spec:<26}{row.file:<14}{goals}".rstrip())
        return
    row = next(r for r in ROWS if r.spec == arguments.row)
    if row.file and not (arguments.data / row.file).exists():
        parser.error(f"no {row.file} in {arguments.data}: give its folder as --data")
    try:
        folder = run(row, arguments.data, arguments.out, arguments.seed)
    except UsageError as error:
        parser.error(str(error))
    lines = cells(row, folder, arguments.seed, beside(folder).read_text("utf-8"))
    RESULTS.write_text(updated(RESULTS.read_text("utf-8"), lines), "utf-8")
    for line in lines:
        print("  ".join(line))


if __name__ == "__main__":
    main()
