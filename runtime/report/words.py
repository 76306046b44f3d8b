"""The report's vocabulary: kinds of numbers, metrics, terms and units in words; how numbers are printed."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from gendsl.runtime.curves import finite


@dataclass(frozen=True)
class Judge:
    """How a judge of samples is read: its title, what it measures, what is best, and the ends of its axis."""

    title: str
    meaning: str
    best: str
    low: float = 0.0
    high: float | None = None


KINDS = {
    "exact": ("exact", "the true value for this model"),
    "lower": ("lower bound", "the true value is at least this"),
    "upper": ("upper bound", "the true value is at most this"),
    "estimate": ("estimate", "not a bound: the true value may lie on either side"),
    "none": ("no value", "this model has no such number"),
}
TITLES = {
    "log_prob": "Log-likelihood",
    "bits_per_dim": "Bits per dimension",
    "elbo": "Evidence lower bound",
    "perplexity": "Perplexity",
    "accuracy": "Accuracy",
    "log_loss": "Log loss of the label",
    "log_normaliser": "log Z of the energy",
    "kl_to_target": "KL to the energy",
    "energy_gap": "Energy of the data above that of samples",
    "calibration": "Calibration of the posterior",
    "compressed_bits_per_dim": "Compressed size",
    "fid": "FID",
    "kid": "KID",
    "label_accuracy": "Samples classified as asked",
    "classifier_accuracy": "Test rows that this classifier gets right",
    "code_accuracy": "Labels told by the nearest code",
    "untrained_code_accuracy": "The same before training",
    "modes": "Known modes that samples reach",
    "high_quality": "Share of samples at a mode",
    "reverse_kl": "Unevenness over the modes",
}
UNITS = {"log_prob": "nats", "elbo": "nats", "bits_per_dim": "bits per dimension"}
JUDGES = {
    "mmd": Judge(
        "Maximum mean discrepancy", "distance of the two distributions in a kernel's eyes", "0 is best"
    ),
    "sliced_wasserstein": Judge(
        "Sliced Wasserstein", "mean transport distance on random lines", "lower is better"
    ),
    "c2st": Judge(
        "Classifier test",
        "how often a classifier tells samples from unseen real rows",
        "0.5 is best",
        0.5,
        1.0,
    ),
    "precision": Judge("Precision", "share of samples that look real", "higher is better", 0.0, 1.0),
    "recall": Judge("Recall", "share of real rows that the samples could be", "higher is better", 0.0, 1.0),
    "density": Judge("Density", "how deep among real rows the samples lie", "about 1 is best"),
    "coverage": Judge("Coverage", "share of real rows with a sample nearby", "higher is better", 0.0, 1.0),
}
TERMS = {
    "likelihood": "−log p({v})",
    "reconstruction": "−E log p({v} | latents)",
    "kl": "E log q({v}) − log p({v})",
    "prior": "−log p({v})",
    "mutual_information": "−E log q({v} | sample)",
    "classification": "−log q({v} | data)",
    "codebook": "distance of {v} to its codebook",
    "energy": "contrast of the energy of {v}",
    "adversary": "loss around the critic {v}",
    "mmd": "discrepancy of the codes {v}",
    "total_correlation": "dependence among dimensions of {v}",
    "path_length": "unevenness of the map to {v}",
}
IN_NATS = (
    "likelihood",
    "reconstruction",
    "kl",
    "prior",
    "mutual_information",
    "classification",
    "total_correlation",
)


def esc(text: object) -> str:
    """Any value as HTML text, safe also inside a quoted attribute."""
    return html.escape(str(text), quote=True)


def title(name: str) -> str:
    """A metric's name in words."""
    if name in JUDGES:
        return JUDGES[name].title
    words = TITLES.get(name, name.replace("_", " "))
    return words[:1].upper() + words[1:]


def term_words(name: str) -> str:
    """What a term of the objective is, in one line of maths, or nothing for a name of no known form."""
    prefix, _, variable = name.partition(".")
    return TERMS.get(prefix, "").replace("{v}", variable)


def term_unit(name: str) -> str:
    """The unit of a term: nats, or nothing where a term has none."""
    return "nats" if name.partition(".")[0] in IN_NATS else ""


def kind_words(kind: object) -> tuple[str, str]:
    """A kind's name and its meaning."""
    return KINDS.get(str(kind), (str(kind), "a kind that this version does not know"))


def number(value: object, digits: int = 4) -> str:
    """A number from JSON for people: significant digits, a true minus sign, a dash for null."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("infinite" if value > 0 else "−infinite")
    if isinstance(value, int) or (value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{max(digits - 2, 1)}e}".split("e")
        return f"{mantissa.replace('-', '−')}e{int(exponent)}".replace("e-", "e−")
    places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return f"{value:.{min(max(places, 0), digits)}f}".replace("-", "−")


def plain(value: float) -> int | float:
    """A whole number as an int, so that a count is printed without decimals."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def with_error(value: object, stderr: object) -> tuple[str, str]:
    """A value and its standard error, both to the error's first digit, or its second if that is below 3.55.

    So 24.1312 with 0.2077 is ("24.13", "0.21"), and with 0.0471 ("24.13", "0.05").
    """
    centre, error = finite(value), finite(stderr)
    if centre is None or error is None or error <= 0.0:
        return number(value), ""
    exponent = math.floor(math.log10(error))
    places = (1 if error / 10.0**exponent < 3.55 else 0) - exponent
    if not 0 <= places <= 6:
        return number(value), number(stderr, 2)
    return f"{centre:.{places}f}".replace("-", "−"), f"{error:.{places}f}"


def seconds(value: object) -> str:
    """A duration in the largest unit that suits it."""
    time = finite(value)
    if time is None:
        return "–"
    if time < 120:
        return f"{number(time, 3)} s"
    minutes, rest = divmod(round(time), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
