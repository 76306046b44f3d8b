"""Evaluation: what kind of number each is, that numbers repeat, and that training does not notice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gendsl.compiler.passes.settings import METRICS
from gendsl.compiler.plans.impute import passes
from gendsl.data.dataset import Batch
from gendsl.nn import model as models
from gendsl.nn.inference import Trace
from gendsl.runtime import checkpoint
from gendsl.runtime.evaluation import FAMILIES, evaluate
from gendsl.runtime.evaluation.imputation import imputation_scores, usual
from gendsl.runtime.initial import untrained
from gendsl.runtime.verify.subject import perturb
from gendsl.schema.load import load, loads
from tests.runtime.runs import SMALL, begin, whole

KINDS: dict[str, tuple[str, str | None]] = {
    "vae": ("lower", "upper"),
    "vae_planar_flow": ("lower", "upper"),
    "vae_flow_prior": ("lower", "upper"),
    "beta_vae": ("lower", "upper"),
    "iwae": ("lower", "upper"),
    "hierarchical_vae": ("lower", "upper"),
    "conditional_vae": ("lower", "upper"),
    "adversarial_codes_flow_prior": ("lower", "upper"),
    "pixelcnn": ("exact", "exact"),
    "realnvp": ("exact", "upper"),
    "gan": ("none", None),
}


def measured(
    spec: str, *metrics: str, samples: int = 2, seed: int = 0, **options: Any
) -> dict[str, dict[str, Any]]:
    """Metrics of an untrained model of a shipped spec, or of a spec given as text."""
    found = loads(spec) if "\n" in spec else load(spec)
    graph, model, data = untrained(found)
    del graph
    return evaluate(model, data, split="test", seed=seed, samples=samples, metrics=metrics or None, **options)


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_shipped_specs(name: str) -> None:
    score, bits = KINDS[name]
    found = measured(name, "log_prob", "elbo", "bits_per_dim")
    assert found["log_prob"]["kind"] == score
    if bits is None:
        assert found["log_prob"]["value"] is None
        assert "density" in found["log_prob"]["why"]
        return
    assert found["bits_per_dim"]["kind"] == bits
    if score == "exact":
        assert found["elbo"]["value"] == found["log_prob"]["value"]
    else:
        assert found["elbo"]["value"] < found["log_prob"]["value"]
    for entry in found.values():
        assert 0 < entry["stderr"] < abs(entry["value"])
        assert entry["rows"] == 360


def test_every_metric_that_a_spec_may_name_has_one_family() -> None:
    names = [name for family in FAMILIES for name in family.names]
    assert sorted(names) == sorted(METRICS)


def test_dequantization_makes_an_exact_density_a_bound() -> None:
    found = measured("realnvp", "log_prob", "bits_per_dim")
    assert "dequantization" in found["bits_per_dim"]["why"]
    # 64 entries; untrained, so about as good as uniform over 17 levels, log2 17 = 4.09 bits
    assert 4.0 < found["bits_per_dim"]["value"] < 7.0


GAUSSIAN = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit%s]}}}
prior: {z: {dist: normal, shape: [4]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: {type: normal, scale: shared}, net: {type: mlp, hidden: [16]}}}
"""


def test_a_density_on_integers_has_no_bits() -> None:
    found = measured(GAUSSIAN % "", "log_prob", "bits_per_dim")
    assert found["log_prob"]["kind"] == "lower"
    assert found["bits_per_dim"]["value"] is None
    assert "dequantize" in found["bits_per_dim"]["why"]


MISSING = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}
variables: {x: {missing: {rate: 0.5}}}
prior: {z: {dist: normal, shape: [4]}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [16]}}}
decoder: {x: {given: z, dist: bernoulli, net: {type: mlp, hidden: [16]}}}
"""

PARTIAL = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}, y: label}}
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}, y: {dist: categorical}}
decoder: {x: {given: [z, y], dist: bernoulli, net: {type: mlp, hidden: [16]}}}
encoder: {y: {given: x, dist: categorical, net: {type: mlp, hidden: [16]}},
  z: {given: [x, y], dist: normal, net: {type: mlp, hidden: [16]}}}
"""


def test_missing_entries() -> None:
    """About half the entries are scored; bits for each dimension would mean nothing."""
    found = measured(MISSING, "log_prob", "bits_per_dim", "reconstruction_error")
    assert found["log_prob"]["value"] == pytest.approx(-32 * math.log(2), rel=0.15)
    assert found["bits_per_dim"]["value"] is None
    assert "missing" in found["bits_per_dim"]["why"]
    assert found["reconstruction_error"]["value"] > 0


def test_partly_observed_labels() -> None:
    """Rows of test have hidden labels: log p(x) sums them out; the hidden labels serve the accuracy."""
    found = measured(PARTIAL, "log_prob", "accuracy", "log_loss")
    assert found["log_prob"]["kind"] == "lower"
    assert found["log_prob"]["value"] == pytest.approx(-64 * math.log(2), rel=0.15)
    assert 0 <= found["accuracy"]["value"] < 0.5
    assert found["accuracy"]["rows"] == 360
    assert found["log_loss"]["value"] == pytest.approx(math.log(10), rel=0.2)


LABELS = """
gendsl: 1
data: {source: two_moons, n: 300, bind: {x: {column: point}, y: label}}
decoder:
  y: {dist: {type: categorical, logits: learned}}
  x: {given: y, dist: {type: normal, scale: shared}, net: {type: mlp, hidden: [8]}}
"""


def test_the_log_loss_of_a_label_is_what_bayes_rule_leaves() -> None:
    """log p(y | x) = log p(x, y) - log sum over y of p(x, y); log p(x) follows from a joint density by it."""
    graph, model, data = untrained(loads(LABELS))
    del graph
    perturb(model, 1.0)
    found = evaluate(
        model, data, split="test", seed=0, samples=1, metrics=("log_prob", "log_loss", "accuracy")
    )
    part = data.parts["test"]
    x, y = (part.batch(torch.arange(part.rows)).values[n] for n in "xy")
    joint = torch.stack([model.log_prob({"x": x, "y": torch.full_like(y, k)}).double() for k in range(2)], 1)
    said = (joint.log_softmax(1)).gather(1, y[:, None].long())[:, 0]
    assert found["log_loss"]["value"] == pytest.approx(-float(said.mean()), rel=1e-5)
    assert found["log_loss"]["kind"] == "exact"
    assert found["accuracy"]["value"] == float((joint.argmax(1) == y).double().mean())
    marginal = float(torch.logsumexp(joint, 1).mean())
    assert found["log_prob"]["value"] + found["log_loss"]["value"] == pytest.approx(marginal, rel=1e-5)


def test_default_metrics_say_why_not() -> None:
    found = measured("gan")
    assert found["log_prob"]["kind"] == "none"
    assert {"mmd", "precision", "recall", "c2st"} <= found.keys()
    assert "bits_per_dim" not in found
    for name in ("mmd", "precision"):
        assert found[name]["kind"] == "estimate"
        assert "floor" in found[name]


def test_the_error_is_the_spread_over_rows() -> None:
    _, model, data = untrained(load("nice"))
    entry = evaluate(model, data, split="test", seed=0, samples=1, metrics=("log_prob",))["log_prob"]
    part = data.parts["test"]
    torch.manual_seed(0)
    values = model.log_prob(part.batch(torch.arange(part.rows))).double()
    assert entry["value"] == pytest.approx(float(values.mean()), abs=5 * entry["stderr"])
    assert entry["stderr"] == pytest.approx(float(values.std()) / math.sqrt(len(values)), rel=0.2)


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, two = measured("vae", samples=3), measured("vae", samples=3)
    assert one == two
    other = measured("vae", samples=3, seed=1)
    assert all(one[n]["value"] != other[n]["value"] for n in ("log_prob", "elbo", "mmd"))


def test_other_metrics_do_not_change_a_number() -> None:
    every = measured("conditional_vae")
    for name in ("log_prob", "elbo", "sliced_wasserstein"):
        assert measured("conditional_vae", name) == {name: every[name]}


@pytest.mark.parametrize("spec", ["vae", PARTIAL])
def test_memory_of_importance_sampling_is_bounded(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many samples are asked for, a pass holds a bounded number of rows."""
    rows: list[int] = []
    make = Trace.__init__

    def counting(self: Trace, *args: Any, **options: Any) -> None:
        make(self, *args, **options)
        rows.append(self.full)

    monkeypatch.setattr(Trace, "__init__", counting)
    monkeypatch.setattr(models, "CHUNK_ROWS", 4096)
    found = measured(spec, "log_prob", samples=40)
    assert max(rows) <= 4096
    assert sum(rows) >= 40 * 360
    assert found["log_prob"]["samples"] == 40


SPLIT = "data.split={train: 0.7, valid: 0.1, test: 0.2}"


def test_measuring_does_not_change_training(tmp_path: Path) -> None:
    """Validation and metrics in the middle of training: every parameter and every line of the log is the same."""
    sets = (*SMALL, SPLIT, "train.ema=0.9")
    plain = whole("vae_planar_flow", tmp_path / "plain", sets)
    session = begin("vae_planar_flow", tmp_path / "measured", (*sets, "train.validate={every: 3}"))

    def measure(progress: object) -> None:
        session.model.eval()
        evaluate(session.model, session.data, split="valid", seed=5, samples=2, metrics=None)

    session.trainer.callbacks = (measure,)
    session.trainer.fit()
    session.run.close()
    final = [checkpoint.load(p / "checkpoints" / "step-000000023") for p in (plain, tmp_path / "measured")]
    assert final[0].tensors.keys() == final[1].tensors.keys()
    assert all(final[0].tensors[n].equal(final[1].tensors[n]) for n in final[0].tensors)
    logs = [(p / "metrics.jsonl").read_text().splitlines() for p in (plain, tmp_path / "measured")]
    assert logs[0] == [line for line in logs[1] if '"split": "valid"' not in line]
    assert len(logs[1]) == len(logs[0]) + 7


def test_spectral_normalisation_is_not_moved_by_evaluation(tmp_path: Path) -> None:
    """Its power iteration runs in training only."""
    spec = """
gendsl: 1
data: {source: two_moons, bind: {x: {column: point}}}
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: {type: mlp, hidden: [8]}}}
encoder: {z: {given: x, dist: normal, net: {type: mlp, hidden: [8]}}}
adversary: {d: {sees: x, penalty: spectral, net: {type: mlp, hidden: [8]}}}
"""
    sets = (*SMALL, SPLIT)
    plain = whole(spec, tmp_path / "plain", sets)
    valid = whole(spec, tmp_path / "valid", (*sets, "train.validate={every: 1}"))
    one, two = (checkpoint.load(p / "checkpoints" / "step-000000023") for p in (plain, valid))
    assert any("adversary" in n for n in one.tensors)
    assert all(one.tensors[n].equal(two.tensors[n]) for n in one.tensors)


def test_a_part_too_small_to_judge_or_to_have_an_error(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    spec = f"""
gendsl: 1
data: {{source: npz, path: {tmp_path / "data.npz"}, split: {{train: 0.975, test: 0.025}}, bind: {{x: {{column: x}}}}}}
prior: {{z: {{dist: normal}}}}
flow: {{x: {{given: z, stack: [{{type: coupling, repeat: 2, hidden: [8]}}]}}}}
"""
    found = measured(spec)
    assert found["log_prob"]["rows"] == 1
    assert found["log_prob"]["stderr"] is None
    assert "mmd" not in found


JOINT = """gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}, y: label}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}, y: {given: z, dist: categorical, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
"""


def test_labels_are_neither_reconstructed_by_squares_nor_judged() -> None:
    """A joint model of pixels and labels: only the pixels have a squared error."""
    found = measured(JOINT, "reconstruction_error", "mmd")
    alone = measured(JOINT.replace(", y: {given: z, dist: categorical, net: mlp}", ""), "mmd")
    assert 0 < found["reconstruction_error"]["value"] < 1
    assert found["mmd"]["value"] is not None
    assert found["mmd"]["samples"] == alone["mmd"]["samples"]


def test_missing_entries_are_judged_by_their_true_values() -> None:
    text = JOINT.replace(", y: {given: z, dist: categorical, net: mlp}", "").replace(", y: label", "")
    found = measured(text + "variables: {x: {missing: {rate: 0.5}}}\n", "reconstruction_error", "mmd")
    whole = measured(text, "mmd")
    assert 0 < found["reconstruction_error"]["value"] < 1
    assert found["mmd"]["floor"] == whole["mmd"]["floor"]


def test_imputation_is_scored_at_removed_entries_alone() -> None:
    """Against a part whose other entries are made wrong, and by hand."""
    found = measured(MISSING, "imputation_error", "imputation_accuracy")
    assert {e["kind"] for e in found.values()} == {"estimate"}
    assert 0.1 < found["imputation_error"]["value"] < 0.5
    assert 0.3 < found["imputation_accuracy"]["value"] < 0.95
    assert found == measured(MISSING, "imputation_error", "imputation_accuracy")
    _, model, data = untrained(loads(MISSING))
    batch = data.parts["test"].batch(torch.arange(30))
    draws = {"x": batch.hidden["x"].expand(5, *batch.hidden["x"].shape).clone()}
    perfect = imputation_scores(model.graph, batch, draws, ["x"])
    assert perfect["imputation_error"].sum() == 0
    assert (perfect["imputation_accuracy"] == 1).all()
    spoiled = {"x": torch.where(batch.known["x"], 1 - draws["x"], draws["x"])}
    assert torch.equal(
        imputation_scores(model.graph, batch, spoiled, ["x"])["imputation_error"], perfect["imputation_error"]
    )
    wrong = imputation_scores(model.graph, batch, {"x": 1 - draws["x"]}, ["x"])
    assert (wrong["imputation_error"] == 1).all()
    assert (wrong["imputation_accuracy"] == 0).all()


def test_a_baseline_of_imputation_is_the_usual_value_of_each_entry() -> None:
    """By hand from the first entries of the training part, and as the metrics report it."""
    _, model, data = untrained(loads(MISSING))
    batch = data.parts["train"].batch(torch.arange(data.parts["train"].rows))
    constants = usual(model.graph, data.parts["train"], ["x"])
    for i, j in ((3, 3), (2, 4), (6, 1)):
        seen = batch.values["x"][batch.known["x"][:, 0, i, j], 0, i, j].double()
        torch.testing.assert_close(constants["imputation_error"]["x"][0, i, j], seen.mean())
        assert constants["imputation_accuracy"]["x"][0, i, j] == seen.mode().values
    found = measured(MISSING, "imputation_error", "imputation_accuracy")
    test = data.parts["test"].batch(torch.arange(data.parts["test"].rows))
    for metric, entry in found.items():
        same = {"x": constants[metric]["x"].expand(1, len(test), 1, 8, 8)}
        by_hand = imputation_scores(model.graph, test, same, ["x"])[metric].mean()
        assert entry["baseline"]["value"] == pytest.approx(float(by_hand))
        assert "training rows" in entry["baseline"]["of"]
    assert 0.1 < found["imputation_error"]["baseline"]["value"] < 0.2
    assert 0.7 < found["imputation_accuracy"]["baseline"]["value"] < 0.9


ENTRY_BY_ENTRY = """
gendsl: 1
data: {source: digits, bind: {x: {column: image, as: [unit, {type: binarize}]}}}
variables: {x: {missing: {rate: 0.3}}}
ordering: {x: {type: any}}
decoder: {x: {dist: bernoulli, net: {type: transformer, layers: 1, width: 8}}}
"""


def test_imputation_entry_by_entry_takes_fewer_draws_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass of the network for each of 64 entries: 4 draws are 256 passes."""
    _, model, data = untrained(loads(ENTRY_BY_ENTRY))
    assert passes(model.graph, 100) == 64
    assert passes(untrained(loads(MISSING))[0], 100) == 1
    asked: list[int] = []

    def impute(batch: Batch, n: int, particles: int) -> dict[str, torch.Tensor]:
        asked.append(n)
        return {"x": batch.hidden["x"].expand(n, *batch.hidden["x"].shape)}

    monkeypatch.setattr(model, "impute", impute)
    found = evaluate(model, data, split="test", seed=0, samples=1, metrics=("imputation_accuracy",))
    assert set(asked) == {4}
    assert found["imputation_accuracy"]["estimator"].startswith("4 draws")


def test_imputation_of_complete_data_is_not_scored() -> None:
    found = measured("vae", "imputation_error")["imputation_error"]
    assert found["value"] is None
    assert "no entries were removed" in found["why"]


ONE_PASS = {
    "any order": "ordering: {x: any}\ndecoder: {x: {dist: bernoulli, net: {type: transformer, layers: 1, width: 8, heads: 2}}}\n",
    "codes": "encoder: {c: {given: x, dist: {type: vq, codes: 4, dim: 2}, shape: [2], net: {type: mlp, hidden: [4]}}}\n"
    "prior: {c: {dist: categorical, shape: [2]}}\ndecoder: {x: {given: c, dist: bernoulli, net: {type: mlp, hidden: [4]}}}\n",
}


@pytest.mark.parametrize("name", ONE_PASS)
def test_a_number_of_one_pass_names_no_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order for each row, or the codes of each row: no importance weights are averaged, and none are said to be."""
    drawn: list[int] = []
    init = Trace.__init__

    def counted(self: Trace, model: Any, batch: Batch, samples: int = 1, **options: Any) -> None:
        drawn.append(samples)
        init(self, model, batch, samples, **options)

    monkeypatch.setattr(Trace, "__init__", counted)
    data = "gendsl: 1\ndata: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}\n"
    found = measured(data + ONE_PASS[name], "log_prob", "bits_per_dim", samples=7)
    assert found["log_prob"]["kind"] == "lower"
    assert found["log_prob"]["estimator"]
    assert found["log_prob"]["samples"] is None
    assert found["bits_per_dim"]["samples"] is None
    assert set(drawn) == {1}
