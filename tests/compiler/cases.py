"""Specs for the tests of the compiler: the named models that can be expressed, and hybrids without a name.

Nets are small so that every case trains and answers within a fraction of a second. `terms`, `objective` and
`log_prob` are what the derivation rules (docs/semantics.md) say of each, written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gendsl.compiler.graph import Graph
from gendsl.compiler.pipeline import analyse
from gendsl.errors import Diagnostic, SpecError
from gendsl.schema.load import loads

BINARY = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}"
BINARY_Y = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}, y: label}}"
UNIT = "data: {source: digits, bind: {x: {column: image, as: [unit]}}}"
UNIT_Y = "data: {source: digits, bind: {x: {column: image, as: [unit]}, y: label}}"
ORDINAL = "data: {source: digits, bind: {x: {column: image, as: [ordinal]}}}"
ORDINAL_Y = "data: {source: digits, bind: {x: {column: image, as: [ordinal]}, y: label}}"
REALS = "data: {source: digits, bind: {x: {column: image, as: [dequantize, logit]}}}"
REALS_Y = "data: {source: digits, bind: {x: {column: image, as: [dequantize, logit]}, y: label}}"
MOONS = "data: {source: two_moons, bind: {x: point}}"
MOONS_Y = "data: {source: two_moons, bind: {x: point, y: label}}"

SMALL = {
    "net: mlp": "net: {type: mlp, hidden: [12]}",
    "net: conv_up": "net: {type: conv_up, width: 4}",
    "net: conv_down": "net: {type: conv_down, width: 4}",
    "net: gated_pixelcnn": "net: {type: gated_pixelcnn, layers: 2, width: 6}",
    "net: made": "net: {type: made, hidden: [20]}",
    "net: transformer": "net: {type: transformer, layers: 1, width: 8, heads: 2}",
    "type: coupling": "type: coupling, hidden: [12]",
}


@dataclass(frozen=True)
class Case:
    """A spec, and what the rules derive from it. `log_prob` is its kind, or None where it is refused."""

    text: str
    terms: tuple[str, ...]
    objective: str
    log_prob: str | None
    refused: frozenset[str] = frozenset()


def spec_text(body: str) -> str:
    """A whole spec with small nets."""
    for long, short in SMALL.items():
        body = body.replace(long, short)
    train = "" if "\ntrain:" in body else "train: {steps: 2, batch_size: 16}\n"
    return f"gendsl: 1\n{body}\n{train}"


def graph_of(body: str) -> Graph:
    """The analysed graph of a body without `gendsl: 1`."""
    return analyse(loads(spec_text(body)))


def case(body: str, terms: str, objective: str, log_prob: str | None, refused: str = "") -> Case:
    return Case(body, tuple(terms.split()), objective, log_prob, frozenset(refused.split()))


VAE = """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
"""

GAN = """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: deterministic, net: conv_up}}
adversary: {d: {sees: x, net: conv_down}}
"""

ALWAYS = ""
NO_Y = ALWAYS + " classify"
NO_DENSITY = NO_Y + " log_prob ood"
NO_CODES = NO_Y + " encode reconstruct interpolate"

NAMED = {
    "autoencoder": case(
        UNIT
        + """
encoder: {z: {given: x, dist: deterministic, shape: [4], net: mlp}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: mlp}}
""",
        "reconstruction.x",
        "none",
        None,
        NO_DENSITY + " sample",
    ),
    "denoising_autoencoder": case(
        BINARY
        + """
corruption: {x_noisy: {given: x, dist: mask, rate: 0.5}}
encoder: {z: {given: x_noisy, dist: deterministic, shape: [6], net: mlp}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
""",
        "reconstruction.x",
        "none",
        None,
        NO_DENSITY,
    ),
    "vae": case(BINARY + VAE, "reconstruction.x kl.z", "lower", "lower", NO_Y),
    "vae_planar_flow": case(
        BINARY
        + VAE.replace(
            "x, dist: normal, net: mlp}", "x, dist: normal, net: mlp, flow: [{type: planar, repeat: 4}]}"
        ),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "beta_vae": case(
        BINARY + VAE + "objective: {kl: {z: {weight: 4, warmup: 500}}}",
        "reconstruction.x kl.z",
        "none",
        "lower",
        NO_Y,
    ),
    "iwae": case(
        BINARY + VAE + "objective: {bound: {type: iwae, samples: 3}}",
        "reconstruction.x kl.z bound.iwae",
        "lower",
        "lower",
        NO_Y,
    ),
    "vae_gaussian": case(
        UNIT + VAE.replace("dist: bernoulli, net: mlp", "dist: {type: normal, scale: shared}, net: conv_up"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "vae_flow_prior": case(
        BINARY + VAE.replace("shape: [4]}", "shape: [4], flow: [{type: coupling, repeat: 2}]}"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "hierarchical_vae": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [3]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z1, dist: bernoulli, net: mlp}}
encoder: {z1: {given: x, dist: normal, net: mlp}, z2: {given: z1, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z2 kl.z1",
        "lower",
        "lower",
        NO_Y,
    ),
    "conditional_vae": case(
        BINARY_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {z: {given: [x, y], dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "joint_vae": case(
        BINARY_Y
        + """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}, y: {given: z, dist: categorical, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x reconstruction.y kl.z",
        "lower",
        "lower",
        ALWAYS,
    ),
    "semi_supervised_vae": case(
        BINARY_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}, y: {dist: categorical, logits: uniform}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {y: {given: x, dist: categorical, net: mlp}, z: {given: [x, y], dist: normal, net: mlp}}
""",
        "reconstruction.x likelihood.y kl.y kl.z classification.y",
        "none",
        "lower",
        ALWAYS,
    ),
    "missing_data_vae": case(
        BINARY
        + "\nvariables: {x: {missing: {rate: 0.5}}}"
        + VAE
        + "objective: {bound: {type: iwae, samples: 3}}",
        "reconstruction.x kl.z bound.iwae",
        "lower",
        "lower",
        NO_Y,
    ),
    "pixel_vae": case(
        BINARY
        + "\nordering: {x: {type: raster}}"
        + VAE.replace("bernoulli, net: mlp", "bernoulli, net: gated_pixelcnn"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y + " reconstruct interpolate",
    ),
    "gan": case(
        UNIT + GAN, "adversary.d critic.d", "none", None, NO_DENSITY + " encode reconstruct interpolate"
    ),
    "wgan_gp": case(
        UNIT
        + GAN.replace(
            "sees: x,", "sees: x, loss: wasserstein, penalty: {type: gradient, weight: 10}, steps: 2,"
        ),
        "adversary.d critic.d gradient.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "gan_instance_noise": case(
        UNIT + GAN.replace("sees: x,", "sees: x, noise: {std: 0.2, anneal: 2000},"),
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "conditional_gan": case(
        UNIT_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}
adversary: {d: {sees: [x, y], loss: hinge, penalty: spectral, net: conv_down}}
""",
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "bigan": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: deterministic, net: conv_up}}
encoder: {z: {given: x, dist: deterministic, net: mlp}}
adversary: {d: {sees: [x, z], loss: non_saturating, net: mlp}}
""",
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY,
    ),
    "adversarial_autoencoder": case(
        BINARY
        + VAE.replace("x, dist: normal", "x, dist: deterministic")
        + "adversary: {d: {sees: z, loss: non_saturating, net: mlp}}",
        "reconstruction.x adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "infogan": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}, c: {dist: categorical, classes: 10}}
decoder: {x: {given: [z, c], dist: deterministic, net: conv_up}}
encoder: {c: {given: x, dist: categorical, net: conv_down}}
adversary: {d: {sees: x, loss: non_saturating, net: conv_down}}
""",
        "mutual_information.c adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " reconstruct interpolate",
    ),
    "vae_gan": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: normal, net: conv_up}}
encoder: {z: {given: x, dist: normal, net: conv_down}}
adversary: {d: {sees: x, loss: non_saturating, net: conv_down}}
objective: {reconstruction: {x: {in: d.features}}, adversary: {d: {weight: 0.1}}}
""",
        "reconstruction.x kl.z adversary.d critic.d",
        "none",
        None,
        NO_DENSITY,
    ),
    "adversarial_vb": case(
        BINARY
        + VAE.replace("x, dist: normal", "x, dist: {type: implicit, noise: 4}")
        + "adversary: {d: {sees: [x, z], net: mlp}}",
        "reconstruction.x adversary.d critic.d",
        "estimate",
        "lower",
        NO_Y,
    ),
    "pixelcnn": case(
        ORDINAL + "\nordering: {x: {type: raster}}\ndecoder: {x: {dist: categorical, net: gated_pixelcnn}}",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "image_gpt": case(
        ORDINAL + "\nordering: {x: {type: raster}}\ndecoder: {x: {dist: categorical, net: transformer}}",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "realnvp": case(
        REALS
        + """
prior: {z: {dist: normal}}
flow:
  x:
    given: z
    stack: [{type: coupling, transform: affine, mask: checkerboard, repeat: 2, net: {type: resnet, width: 4}}]
""".replace("type: coupling", "type:  coupling"),
        "likelihood.x",
        "exact",
        "exact",
        NO_Y,
    ),
    "adversarial_codes_flow_prior": case(
        BINARY
        + """
prior: {z: {dist: normal, shape: [4], flow: [{type: coupling, repeat: 2}]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: {type: implicit, noise: 3}, net: mlp}}
adversary: {d: {sees: z, loss: wasserstein, penalty: {type: gradient, weight: 10}, net: mlp}}
""",
        "reconstruction.x adversary.d critic.d gradient.d",
        "none",
        "lower",
        NO_Y,
    ),
    "flow_gan": case(
        REALS
        + """
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: [{type: coupling, mask: checkerboard, repeat: 2}]}}
adversary: {d: {sees: x, net: conv_down}}
""",
        "likelihood.x adversary.d critic.d",
        "none",
        "exact",
        NO_Y,
    ),
}
"""Models with a name in the literature."""

HYBRIDS = {
    "two_latents_one_flow_prior": case(
        BINARY_Y
        + """
condition: [y]
prior: {u: {dist: normal, shape: [4], flow: [{type: coupling, repeat: 2}]}, w: {dist: laplace, shape: [3]}}
decoder: {x: {given: [u, w, y], dist: bernoulli, net: mlp}}
encoder: {w: {given: x, dist: laplace, net: mlp}, u: {given: [x, w, y], dist: normal, net: mlp}}
""",
        "reconstruction.x kl.u kl.w",
        "lower",
        "lower",
        NO_Y,
    ),
    "two_observed_shared_latent": case(
        UNIT_Y
        + """
prior: {z: {dist: normal, shape: [4]}, w: {dist: normal, shape: [2]}}
decoder:
  x: {given: [z, w], dist: {type: normal, scale: shared}, net: mlp}
  y: {given: z, dist: categorical, net: mlp}
encoder: {z: {given: [x, y], dist: normal, net: mlp}, w: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x reconstruction.y kl.z kl.w",
        "lower",
        "lower",
        ALWAYS,
    ),
    "mixture_model": case(
        MOONS
        + """
prior: {c: {dist: {type: categorical, classes: 5, logits: learned}}}
decoder: {x: {given: c, dist: normal, net: mlp}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "mixture_of_two_observed": case(
        UNIT_Y
        + """
prior: {c: {dist: {type: categorical, classes: 4, logits: learned}}}
decoder: {x: {given: c, dist: normal, net: mlp}, y: {given: c, dist: categorical, net: mlp}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS + " encode reconstruct interpolate",
    ),
    "mixture_prior_vae": case(
        BINARY
        + """
prior:
  c: {dist: {type: categorical, classes: 3, logits: learned}}
  z: {given: c, dist: normal, shape: [4], net: mlp}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "mixture_prior_vae_enumerated": case(
        BINARY
        + """
prior: {c: {dist: categorical, classes: 3}, z: {given: c, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}, c: {given: z, dist: categorical, net: mlp}}
""",
        "reconstruction.x kl.c kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "discrete_vae": case(
        BINARY
        + """
prior: {c: {dist: categorical, classes: 3, shape: [2]}}
decoder: {x: {given: c, dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}}
""",
        "reconstruction.x kl.c",
        "lower",
        "exact",
        NO_Y + " interpolate",
    ),
    "semi_supervised_without_classifier": case(
        BINARY_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}, y: {dist: categorical}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {z: {given: [x, y], dist: normal, net: mlp}}
""",
        "reconstruction.x likelihood.y kl.z",
        "lower",
        "lower",
        ALWAYS,
    ),
    "partial_leaf": case(
        BINARY_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}, y: {given: z, dist: categorical, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x reconstruction.y kl.z",
        "lower",
        "lower",
        ALWAYS,
    ),
    "hierarchy_with_adversary": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [3]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z1, dist: bernoulli, net: mlp}}
encoder: {z1: {given: x, dist: {type: implicit, noise: 3}, net: mlp}, z2: {given: z1, dist: normal, net: mlp}}
adversary: {d: {sees: [z1, z2], net: mlp}}
""",
        "reconstruction.x kl.z2 adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "conditional_flow": case(
        MOONS_Y
        + """
condition: [y]
prior: {u: {dist: normal}}
flow: {x: {given: [u, y], stack: [{type: coupling, repeat: 4}]}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_Y,
    ),
    "flow_given_a_modelled_label": case(
        MOONS_Y
        + """
prior: {u: {dist: normal}}
decoder: {y: {dist: {type: categorical, logits: learned}}}
flow: {x: {given: [u, y], stack: [{type: coupling, repeat: 4}]}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS,
    ),
    "flow_with_a_mixture_base": case(
        MOONS
        + """
prior: {c: {dist: categorical, classes: 3}, u: {given: c, dist: normal, net: mlp}}
flow: {x: {given: u, stack: [{type: coupling, repeat: 2}]}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_Y,
    ),
    "flow_decoder": case(
        MOONS
        + """
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: z, dist: normal, net: mlp, flow: [{type: coupling, repeat: 2}]}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "realnvp_conditional": case(
        REALS_Y
        + """
condition: [y]
prior: {z: {dist: logistic}}
flow:
  x:
    given: [z, y]
    stack: [{type: coupling, mask: checkerboard, repeat: 2}, {type: permute, how: shuffle}, {type: coupling}]
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_Y,
    ),
    "planar_conditional_flow_prior": case(
        BINARY_Y
        + """
condition: [y]
prior: {z: {given: y, dist: normal, shape: [4], net: mlp, flow: [{type: coupling, repeat: 2}]}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {z: {given: [x, y], dist: normal, net: mlp, flow: [{type: planar, repeat: 3}]}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "autoencoder_second_stage": case(
        UNIT
        + """
prior: {z: {dist: normal, flow: [{type: coupling, repeat: 2}]}}
encoder: {z: {given: x, dist: deterministic, shape: [4], net: mlp}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: mlp}}
train: {batch_size: 16, stages: [{fit: [encoder.z, decoder.x], steps: 1}, {fit: prior.z, steps: 1}]}
""",
        "reconstruction.x prior.z",
        "none",
        "lower",
        NO_Y,
    ),
    "autoencoder_second_stage_mixture": case(
        UNIT
        + """
prior: {c: {dist: {type: categorical, classes: 3, logits: learned}}, z: {given: c, dist: normal, net: mlp}}
encoder: {z: {given: x, dist: deterministic, shape: [4], net: mlp}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: mlp}}
train:
  batch_size: 16
  stages: [{fit: [encoder.z, decoder.x], steps: 1}, {fit: [prior.c, prior.z], steps: 1}]
""",
        "reconstruction.x prior.z",
        "none",
        "lower",
        NO_Y,
    ),
    "wasserstein_autoencoder_mmd": case(
        UNIT
        + """
prior: {z: {dist: normal}}
encoder: {z: {given: x, dist: deterministic, shape: [4], net: mlp}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: mlp}}
objective: {mmd: {z: {weight: 10}}}
""",
        "reconstruction.x mmd.z",
        "none",
        "lower",
        NO_Y,
    ),
    "info_vae": case(
        BINARY + VAE + "objective: {mmd: {z: {weight: 5}}}",
        "reconstruction.x kl.z mmd.z",
        "none",
        "lower",
        NO_Y,
    ),
    "two_adversaries": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: {type: normal, scale: shared}, net: conv_up}}
encoder: {z: {given: x, dist: deterministic, net: conv_down}}
adversary:
  codes: {sees: z, net: mlp}
  pixels: {sees: x, loss: hinge, penalty: [spectral, {type: r1, weight: 1}], net: conv_down}
""",
        "reconstruction.x adversary.codes critic.codes adversary.pixels critic.pixels r1.pixels",
        "none",
        "lower",
        NO_Y,
    ),
    "vae_with_two_critics": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: {type: normal, scale: shared}, net: conv_up}}
encoder: {z: {given: x, dist: normal, net: conv_down}}
adversary: {codes: {sees: z, loss: least_squares, net: mlp}, both: {sees: [x, z], loss: saturating, net: mlp}}
""",
        "reconstruction.x kl.z adversary.codes critic.codes adversary.both critic.both",
        "none",
        "lower",
        NO_Y,
    ),
    "wasserstein_aae_gradient_penalty": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: {type: normal, scale: fixed}, net: mlp}}
encoder: {z: {given: x, dist: deterministic, net: mlp}}
adversary: {d: {sees: z, loss: wasserstein, penalty: {type: gradient, weight: 5}, net: mlp}}
""",
        "reconstruction.x adversary.d critic.d gradient.d",
        "none",
        "lower",
        NO_Y,
    ),
    "pixelcnn_conditional": case(
        ORDINAL_Y
        + """
condition: [y]
ordering: {x: {type: raster}}
decoder: {x: {given: y, dist: categorical, net: gated_pixelcnn}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "pixelcnn_with_label": case(
        ORDINAL_Y
        + """
ordering: {x: {type: raster}}
decoder: {y: {dist: categorical}, x: {given: y, dist: categorical, net: gated_pixelcnn}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS + " encode reconstruct interpolate",
    ),
    "made_prior": case(
        BINARY
        + "\nordering: {z: {type: natural}}"
        + VAE.replace("z: {dist: normal, shape: [4]}", "z: {dist: normal, shape: [4], net: made}"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "made_encoder": case(
        BINARY
        + "\nordering: {z: {type: natural}}"
        + VAE.replace("x, dist: normal, net: mlp", "x, dist: normal, net: made"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "made": case(
        BINARY + "\nordering: {x: {type: raster}}\ndecoder: {x: {dist: bernoulli, net: made}}",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "mixture_of_pixelcnns": case(
        BINARY
        + """
ordering: {x: {type: raster}}
prior: {c: {dist: categorical, classes: 3}}
decoder: {x: {given: c, dist: bernoulli, net: gated_pixelcnn}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "infogan_with_densities": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}, c: {dist: categorical, classes: 10}, a: {dist: normal, shape: [2]}}
decoder: {x: {given: [z, c, a], dist: {type: normal, scale: 0.1}, net: conv_up}}
encoder: {c: {given: x, dist: categorical, net: conv_down}, a: {given: x, dist: normal, net: conv_down}}
adversary: {d: {sees: x, net: conv_down}}
""",
        "mutual_information.c mutual_information.a adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " reconstruct interpolate",
    ),
    "gan_with_a_stochastic_decoder": case(
        UNIT + GAN.replace("dist: deterministic", "dist: {type: normal, scale: 0.1}"),
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "gan_beside_a_classifier": case(
        UNIT_Y
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: deterministic, net: conv_up}, y: {given: x, dist: categorical, net: mlp}}
adversary: {d: {sees: x, net: conv_down}}
""",
        "likelihood.y adversary.d critic.d",
        "none",
        None,
        ALWAYS + " log_prob ood encode reconstruct interpolate",
    ),
    "denoising_vae": case(
        BINARY
        + "\ncorruption: {x_noisy: {given: x, dist: salt_and_pepper}}"
        + VAE.replace("z: {given: x,", "z: {given: x_noisy,"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "chain_of_observed": case(
        MOONS_Y
        + """
prior: {z: {dist: normal, shape: [2]}}
decoder: {x: {given: z, dist: normal, net: mlp}, y: {given: x, dist: categorical, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x likelihood.y kl.z",
        "lower",
        "lower",
        ALWAYS,
    ),
    "classifier_of_observed": case(
        BINARY_Y
        + """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}, y: {dist: categorical}}
encoder: {z: {given: [x, y], dist: normal, net: mlp}, y: {given: x, dist: categorical, net: mlp}}
""",
        "reconstruction.x likelihood.y kl.z classification.y",
        "none",
        "lower",
        ALWAYS,
    ),
    "iwae_hierarchy": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [3]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: [z1, z2], dist: bernoulli, net: mlp}}
encoder: {z2: {given: x, dist: normal, net: mlp}, z1: {given: [x, z2], dist: normal, net: mlp}}
objective: {bound: {type: renyi, samples: 3, alpha: 0.5}}
""",
        "reconstruction.x kl.z2 kl.z1 bound.renyi",
        "lower",
        "lower",
        NO_Y,
    ),
    "iwae_mixture": case(
        BINARY
        + """
prior: {c: {dist: categorical, classes: 3}, z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, c], dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
objective: {bound: {type: iwae, samples: 3}}
""",
        "reconstruction.x kl.z bound.iwae",
        "lower",
        "lower",
        NO_Y + " reconstruct interpolate",
    ),
    "avb_hinge": case(
        BINARY
        + VAE.replace("x, dist: normal", "x, dist: {type: implicit, noise: 4}")
        + "adversary: {d: {sees: [x, z], loss: hinge, net: mlp}}",
        "reconstruction.x adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "conditional_aae": case(
        BINARY_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {z: {given: [x, y], dist: deterministic, net: mlp}}
adversary: {d: {sees: [z, y], net: mlp}}
""",
        "reconstruction.x adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "shared_trunk": case(
        BINARY
        + """
nets: {trunk: {type: mlp, hidden: [10]}}
prior: {z: {dist: normal, shape: [4]}, w: {dist: normal, shape: [2]}}
decoder: {x: {given: [z, w], dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: {ref: trunk}}, w: {given: x, dist: normal, net: {ref: trunk}}}
""",
        "reconstruction.x kl.z kl.w",
        "lower",
        "lower",
        NO_Y,
    ),
    "density_of_one_variable": case(
        MOONS + "\ndecoder: {x: {dist: normal, flow: [{type: coupling, repeat: 2}]}}",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "capacity_and_free_bits": case(
        BINARY
        + """
prior: {z: {dist: normal, shape: [4]}, w: {dist: normal, shape: [2], flow: [{type: coupling}]}}
decoder: {x: {given: [z, w], dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}, w: {given: x, dist: normal, net: mlp}}
objective: {kl: {z: {free_bits: 0.0001}, w: {weight: 3, capacity: 2.0}}}
""",
        "reconstruction.x kl.z kl.w",
        "none",
        "lower",
        NO_Y,
    ),
    "flow_with_a_latent_context": case(
        MOONS
        + """
prior: {u: {dist: normal}, z: {dist: normal, shape: [2]}}
flow: {x: {given: [u, z], stack: [{type: coupling, repeat: 2}]}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "flow_given_a_partly_observed_label": case(
        MOONS_Y
        + """
variables: {y: {observed: {partial: 50}}}
prior: {u: {dist: normal}, y: {dist: categorical}}
flow: {x: {given: [u, y], stack: [{type: coupling, repeat: 2}]}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS,
    ),
    "flow_given_a_classified_label": case(
        MOONS_Y
        + """
variables: {y: {observed: {partial: 50}}}
prior: {u: {dist: normal}, y: {dist: {type: categorical, logits: learned}}}
flow: {x: {given: [u, y], stack: [{type: coupling, repeat: 2}]}}
encoder: {y: {given: x, dist: categorical, net: mlp}}
""",
        "reconstruction.x likelihood.y kl.y classification.y",
        "none",
        "exact",
        ALWAYS,
    ),
    "label_prior_with_an_implicit_posterior": case(
        UNIT_Y
        + """
prior: {z: {given: y, dist: normal, shape: [4], net: mlp}}
decoder: {y: {dist: categorical}, x: {given: z, dist: normal, net: mlp}}
encoder: {z: {given: [x, y], dist: implicit, net: mlp}}
adversary: {d: {sees: [x, y, z], net: mlp}}
""",
        "reconstruction.x likelihood.y adversary.d critic.d",
        "estimate",
        "lower",
        ALWAYS,
    ),
    "two_summed_latents": case(
        UNIT_Y
        + """
prior:
  a: {dist: {type: categorical, classes: 3, logits: learned}}
  b: {given: a, dist: bernoulli, shape: [2], net: mlp}
decoder: {x: {given: b, dist: normal, net: mlp}, y: {given: a, dist: categorical, net: mlp}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS + " encode reconstruct interpolate",
    ),
    "walkback_of_two_observed": case(
        UNIT_Y
        + """
corruption: {hole: {given: x, dist: block}, y_noisy: {given: y, dist: salt_and_pepper}}
encoder: {z: {given: [hole, y_noisy], dist: deterministic, shape: [6], net: mlp}}
decoder: {x: {given: z, dist: {type: normal, scale: shared}, net: mlp}, y: {given: z, dist: categorical, net: mlp}}
objective: {reconstruction: {x: {walkback: 2}, y: {walkback: 1}}}
sample: {chain: {steps: 3}}
""",
        "reconstruction.x reconstruction.y",
        "none",
        None,
        NO_DENSITY,
    ),
    "conditional_denoiser_with_implicit_codes": case(
        BINARY_Y
        + """
condition: [y]
corruption: {x_noisy: {given: x, dist: mask}}
encoder: {z: {given: [x_noisy, y], dist: {type: implicit, noise: 3}, shape: [6], net: mlp}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
objective: {reconstruction: {x: {walkback: 2}}}
sample: {chain: {steps: 3}}
""",
        "reconstruction.x",
        "none",
        None,
        NO_DENSITY,
    ),
    "missing_mixture_with_a_label": case(
        UNIT_Y
        + """
variables: {x: {missing: {rate: 0.3}}, y: {observed: {partial: 60}}}
prior: {y: {dist: categorical}}
decoder: {x: {given: y, dist: normal, net: mlp}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        ALWAYS + " encode reconstruct interpolate",
    ),
}
"""Combinations that nobody named."""

FLOWS = """
realnvp flow_gan conditional_flow flow_with_a_mixture_base flow_decoder realnvp_conditional density_of_one_variable
flow_with_a_latent_context
"""
IMPLICIT = """
gan wgan_gp gan_instance_noise conditional_gan bigan infogan vae_gan infogan_with_densities
gan_with_a_stochastic_decoder gan_beside_a_classifier
"""
NOT_IMPUTED = frozenset(f"autoencoder {FLOWS} {IMPLICIT}".split())
"""Cases without a density of what is observed, and those whose density is a flow's."""


LATENT_FREE = "pixelcnn image_gpt pixelcnn_with_label made"
PLAIN_NORMAL = (
    "vae beta_vae iwae joint_vae pixel_vae info_vae denoising_vae classifier_of_observed shared_trunk"
)
COMPRESSED = frozenset(f"{LATENT_FREE} {PLAIN_NORMAL}".split())
"""Cases of discrete rows, without latents or with one level of plain normal ones."""


def _whole(name: str, case: Case) -> Case:
    imputed, compressed = name not in NOT_IMPUTED, name in COMPRESSED
    more = {query for query, answered in (("impute", imputed), ("compress", compressed)) if not answered}
    return replace(case, refused=case.refused | more)


CASES = {name: _whole(name, case) for name, case in (NAMED | HYBRIDS).items()}


def problems(body: str) -> list[tuple[str, str]]:
    """(code, the text under the caret) of every diagnostic of a spec; empty where it is accepted."""
    text = spec_text(body)
    try:
        analyse(loads(text))
    except SpecError as error:
        return [(d.code, under(text, d)) for d in error.diagnostics]
    return []


def messages(body: str) -> str:
    """The messages and advice of a spec that is refused."""
    try:
        graph_of(body)
    except SpecError as error:
        return "\n".join(f"{d.message} | {d.help}" for d in error.diagnostics)
    return ""


def under(text: str, diagnostic: Diagnostic) -> str:
    """What stands at a diagnostic's place."""
    place = diagnostic.place
    assert place is not None
    assert place.start.line == place.end.line
    return text.split("\n")[place.start.line - 1][place.start.column - 1 : place.end.column - 1]
