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
POINT_TWICE = "data: {source: two_moons, bind: {x: point, c: point}}"
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

DISCRETE = """
prior: {c: {dist: categorical, classes: 3, shape: [2]}}
decoder: {x: {given: c, dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}}
"""

GAN = """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: deterministic, net: conv_up}}
adversary: {d: {sees: x, net: conv_down}}
"""

NO_Y = "classify"
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
        "",
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
        "",
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
    "vq_vae": case(
        UNIT
        + """
ordering: {c: {type: raster}}
prior: {c: {dist: categorical, net: transformer}}
decoder: {x: {given: c, dist: {type: normal, scale: shared}, net: conv_up}}
encoder: {c: {given: x, dist: {type: vq, codes: 7, dim: 3}, shape: [4, 4], net: conv_down}}
""",
        "reconstruction.x prior.c codebook.c",
        "none",
        "lower",
        NO_Y + " interpolate",
    ),
    "vamp_vae": case(
        BINARY + VAE.replace("{dist: normal, shape", "{dist: {type: vamp, pseudo_inputs: 3}, shape"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "ladder_vae": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [3]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z1, dist: bernoulli, net: mlp}}
encoder: {z2: {given: x, dist: normal, net: mlp}, z1: {given: [x, z2], dist: normal, relative_to: prior, net: mlp}}
""",
        "reconstruction.x kl.z2 kl.z1",
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
    "unrolled_gan": case(
        UNIT + GAN.replace("sees: x,", "sees: x, unroll: 2, penalty: {type: r1, every: 2},"),
        "adversary.d critic.d r1.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "packed_gan": case(
        UNIT_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}
adversary: {d: {sees: [x, y], pack: 3, augment: {type: differentiable, policy: [color, cutout]}, net: conv_down}}
""",
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "auxiliary_classifier_gan": case(
        UNIT_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}
adversary: {d: {sees: x, classify: y, augment: adaptive, penalty: [{type: r1, every: 2}, gradient], net: conv_down}}
objective: {classified: {d: {weight: 0.5}}}
""",
        "adversary.d critic.d classify.d classified.d r1.d gradient.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "packed_codes_unrolled": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [3], flow: [{type: coupling, repeat: 2}]}}
decoder: {x: {given: z, dist: normal, net: mlp}}
encoder: {z: {given: x, dist: implicit, net: mlp}}
adversary: {d: {sees: [x, z], pack: 2, unroll: {steps: 2, lr: 0.1}, penalty: [clip, spectral], net: mlp}}
""",
        "reconstruction.x adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "stylegan2": case(
        UNIT
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: deterministic, net: {type: style, width: 4, style: 6, mapping: 1, mixing: 0.9}}}
adversary: {d: {sees: x, penalty: {type: r1, every: 2}, net: conv_down}}
objective: {path_length: {x: {weight: 2, every: 2}}}
""",
        "path_length.x adversary.d critic.d r1.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "vae_with_even_paths": case(
        UNIT_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: [z, y], dist: normal, net: {type: mlp, hidden: [8], activation: tanh}}}
encoder: {z: {given: [x, y], dist: normal, net: mlp}}
objective: {path_length: {x: {weight: 0.5}}}
""",
        "reconstruction.x kl.z path_length.x",
        "none",
        "lower",
        "classify",
    ),
    "conditional_gan": case(
        UNIT_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}
adversary: {d: {sees: [x, y], project: y, loss: hinge, penalty: spectral, net: conv_down}}
""",
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "projected_labels_of_both_sides": case(
        UNIT_Y
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {y: {given: z, dist: categorical, net: mlp}, x: {given: [z, y], dist: deterministic, net: conv_up}}
adversary: {d: {sees: [x, y], project: y, pack: 2, unroll: 2, penalty: [spectral, {type: r1, every: 2}], net: mlp}}
objective: {estimator: {y: straight_through}}
""",
        "adversary.d critic.d r1.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "gan_of_levels": case(
        ORDINAL
        + """
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: z, dist: categorical, net: conv_up}}
adversary: {d: {sees: x, pack: 2, penalty: [gradient, {type: r1, every: 2}], noise: {std: 0.1}, net: conv_down}}
objective: {estimator: {x: straight_through}}
""",
        "adversary.d critic.d gradient.d r1.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "vae_gan_of_bits": case(
        BINARY
        + VAE
        + """
adversary: {d: {sees: x, net: mlp}}
objective: {estimator: {x: {type: gumbel, temperature: 0.4, anneal: 10}}}
""",
        "reconstruction.x kl.z adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "bigan_of_codes": case(
        UNIT
        + """
prior: {c: {dist: categorical, classes: 5, shape: [3]}}
decoder: {x: {given: c, dist: deterministic, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}}
adversary: {d: {sees: [x, c], net: mlp}}
objective: {estimator: {c: straight_through}}
""",
        "adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " interpolate",
    ),
    "gan_of_pixels_and_labels": case(
        UNIT_Y
        + """
prior: {z: {dist: normal, shape: [6]}, c: {dist: {type: categorical, classes: 4, logits: learned}}}
decoder: {x: {given: [z, c], dist: deterministic, net: mlp}, y: {given: [z, c], dist: categorical, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}}
adversary: {d: {sees: [x, y], net: mlp}}
objective: {estimator: {y: gumbel, c: straight_through}}
""",
        "mutual_information.c adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " reconstruct interpolate classify",
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
    "cloze_image_transformer": case(
        BINARY + "\nordering: {x: {type: any}}\ndecoder: {x: {dist: bernoulli, net: transformer}}",
        "likelihood.x",
        "lower",
        "lower",
        NO_CODES,
    ),
    "wavenet": case(
        ORDINAL
        + "\nordering: {x: {type: serpentine}}\n"
        + "decoder: {x: {dist: categorical, net: {type: wavenet, layers: 3, width: 8}}}",
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
        "",
    ),
    "quantised_code_without_prior": case(
        UNIT
        + """
decoder: {x: {given: c, dist: normal, net: mlp}}
encoder: {c: {given: x, dist: {type: vq, codes: 5, dim: 2}, shape: [6], net: mlp}}
""",
        "reconstruction.x codebook.c",
        "none",
        None,
        NO_DENSITY + " sample interpolate",
    ),
    "two_quantised_levels": case(
        UNIT
        + """
prior: {t: {dist: categorical}, c: {given: t, dist: categorical, net: mlp}, w: {given: t, dist: normal, shape: [2]}}
decoder: {x: {given: [c, t, w], dist: normal, net: mlp}}
encoder:
  c: {given: x, dist: {type: vq, codes: 5, dim: 2}, shape: [6], net: mlp}
  t: {given: c, dist: {type: vq, codes: 4, dim: 3}, shape: [2], net: mlp}
  w: {given: [x, t], dist: normal, net: mlp}
""",
        "reconstruction.x prior.t prior.c kl.w codebook.t codebook.c",
        "none",
        "lower",
        NO_Y + " interpolate",
    ),
    "conditional_vamp_under_a_flow_iwae": case(
        BINARY_Y
        + """
condition: [y]
prior: {z: {dist: {type: vamp, pseudo_inputs: 3}, shape: [4], flow: [{type: coupling, repeat: 2}]}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {z: {given: [x, y], dist: normal, net: mlp, flow: [{type: planar, repeat: 2}]}}
objective: {bound: {type: iwae, samples: 3}}
""",
        "reconstruction.x kl.z bound.iwae",
        "lower",
        "lower",
        NO_Y,
    ),
    "discrete_vamp": case(
        BINARY
        + """
prior: {c: {dist: {type: vamp, pseudo_inputs: 3}}}
decoder: {x: {given: c, dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, classes: 5, net: mlp}}
""",
        "reconstruction.x kl.c",
        "lower",
        "exact",
        NO_Y + " interpolate",
    ),
    "relative_under_a_flow_with_a_label": case(
        BINARY_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {y: {dist: categorical}, z: {given: y, dist: laplace, shape: [4], net: mlp}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder:
  y: {given: x, dist: categorical, net: mlp}
  z: {given: [x, y], dist: {type: laplace, relative_to: prior}, net: mlp, flow: [planar]}
""",
        "reconstruction.x likelihood.y kl.y kl.z classification.y",
        "none",
        "lower",
        "",
    ),
    "flow_given_a_latent_that_the_prior_proposes": case(
        MOONS
        + """
prior: {z: {dist: normal, shape: [3]}, u: {dist: normal}, w: {given: u, dist: normal, shape: [2], net: mlp}}
flow: {x: {given: [u, z], stack: [{type: coupling}]}}
encoder: {z: {given: x, dist: {type: implicit, noise: 2}, net: mlp}}
objective: {mmd: {z: {}}}
""",
        "reconstruction.x mmd.z",
        "none",
        "lower",
        NO_Y + " impute",
    ),
    "label_before_a_summed_latent": case(
        UNIT_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {y: {dist: categorical}, z: {dist: categorical, classes: 4}}
decoder: {x: {given: [z, y], dist: normal, net: mlp}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        "encode reconstruct interpolate compress",
    ),
    "denoised_integers": case(
        ORDINAL
        + """
corruption: {n: {given: x, dist: gaussian, std: 2.0}}
prior: {z: {dist: normal, shape: [3]}}
decoder: {x: {given: z, dist: discretized_logistic, net: mlp}}
encoder: {z: {given: n, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "tilted_vamp": case(
        BINARY
        + """
prior: {z: {dist: {type: vamp, pseudo_inputs: 2}, shape: [3]}}
energy: {z: {net: {type: mlp, hidden: [8], activation: tanh}, negatives: {type: langevin, steps: 2}}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: normal, net: mlp}}
""",
        "reconstruction.x kl.z energy.z",
        "none",
        "estimate",
        NO_Y + " impute compress",
    ),
    "information_off_a_corrupted_sample": case(
        UNIT
        + """
corruption: {n: {given: x, dist: gaussian}}
prior: {z: {dist: normal, shape: [3]}, c: {dist: normal, shape: [2]}}
decoder: {x: {given: [z, c], dist: deterministic, net: mlp}}
encoder: {c: {given: n, dist: normal, net: mlp}}
adversary: {d: {sees: x, net: mlp}}
""",
        "mutual_information.c adversary.d critic.d",
        "none",
        None,
        NO_DENSITY + " reconstruct interpolate",
    ),
    "total_correlation_of_two": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [3]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z1, dist: bernoulli, net: mlp}}
encoder: {z2: {given: x, dist: normal, net: mlp}, z1: {given: [x, z2], dist: normal, relative_to: prior, net: mlp}}
objective: {total_correlation: {z1: {weight: 5}, z2: {}}, bound: {type: elbo, samples: 2}}
""",
        "reconstruction.x kl.z2 kl.z1 total_correlation.z1 total_correlation.z2",
        "none",
        "lower",
        NO_Y,
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
        "encode reconstruct interpolate",
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
        BINARY + DISCRETE,
        "reconstruction.x kl.c",
        "lower",
        "exact",
        NO_Y + " interpolate",
    ),
    "discrete_vae_iwae": case(
        BINARY + DISCRETE + "objective:\n  bound: {type: iwae, samples: 3}",
        "reconstruction.x kl.c bound.iwae",
        "lower",
        "lower",
        NO_Y + " interpolate",
    ),
    "discrete_vae_many_states": case(
        BINARY + DISCRETE.replace("shape: [2]", "shape: [9]") + "objective: {estimator: {c: score_function}}",
        "reconstruction.x kl.c",
        "lower",
        "lower",
        NO_Y + " interpolate",
    ),
    "counting_vae": case(
        BINARY + VAE.replace("dist: normal", "dist: poisson") + "objective: {estimator: {z: score_function}}",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y + " interpolate",
    ),
    "two_latents_gumbel": case(
        BINARY
        + """
prior: {c: {dist: categorical, classes: 3, shape: [2]}, z: {given: c, dist: normal, shape: [3], net: mlp}}
decoder: {x: {given: [z, c], dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}, z: {given: [x, c], dist: normal, net: mlp}}
objective:
  estimator: {c: {type: gumbel, temperature: 0.4, anneal: 10}}""",
        "reconstruction.x kl.c kl.z",
        "estimate",
        "lower",
        NO_Y + " interpolate",
    ),
    "two_levels_of_labels": case(
        BINARY
        + """
prior: {b: {dist: bernoulli, shape: [3]}, c: {given: b, dist: categorical, classes: 4, net: mlp}}
decoder: {x: {given: [b, c], dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}, b: {given: [x, c], dist: bernoulli, net: mlp}}
objective: {estimator: {b: straight_through, c: score_function}}
""",
        "reconstruction.x kl.b kl.c",
        "lower",
        "lower",
        NO_Y + " interpolate",
    ),
    "enumerated_beside_drawn": case(
        BINARY
        + """
prior: {b: {dist: bernoulli, shape: [2]}, c: {given: b, dist: categorical, classes: 4, net: mlp}}
decoder: {x: {given: [b, c], dist: bernoulli, net: mlp}}
encoder: {c: {given: x, dist: categorical, net: mlp}, b: {given: [x, c], dist: bernoulli, net: mlp}}
objective: {estimator: {c: score_function}}
""",
        "reconstruction.x kl.b kl.c",
        "lower",
        "lower",
        NO_Y + " interpolate",
    ),
    "labels_drawn_by_score_function": case(
        BINARY_Y
        + """
variables: {y: {observed: {partial: 100}}}
prior: {z: {dist: normal, shape: [4]}, y: {dist: categorical, logits: learned}}
decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}
encoder: {y: {given: x, dist: categorical, net: mlp}, z: {given: [x, y], dist: normal, net: mlp}}
objective: {bound: {type: iwae, samples: 3}}
""",
        "reconstruction.x likelihood.y kl.y kl.z bound.iwae classification.y",
        "none",
        "lower",
        "",
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
        "",
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
        "",
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
        "",
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
    "implicit_level_of_a_hierarchy": case(
        BINARY
        + """
prior: {z2: {dist: normal, shape: [2]}, z1: {given: z2, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: z1, dist: bernoulli, net: mlp}}
encoder: {z1: {given: x, dist: {type: implicit, noise: 4}, net: mlp}, z2: {given: z1, dist: normal, net: mlp}}
adversary: {d: {sees: [z1, x, z2], net: mlp}}
""",
        "reconstruction.x kl.z2 adversary.d critic.d",
        "none",
        "lower",
        NO_Y,
    ),
    "critic_of_each_level": case(
        UNIT
        + """
prior: {a: {dist: normal, shape: [3]}, b: {given: a, dist: normal, shape: [4], net: mlp}}
decoder: {x: {given: b, dist: deterministic, net: mlp}}
encoder: {b: {given: x, dist: deterministic, net: mlp}, a: {given: b, dist: deterministic, net: mlp}}
adversary: {d: {sees: [x, b], net: mlp}, e: {sees: [b, a], loss: hinge, penalty: spectral, net: mlp}}
""",
        "adversary.d critic.d adversary.e critic.e",
        "none",
        None,
        NO_DENSITY,
    ),
    "packed_levels_of_a_told_label": case(
        ORDINAL_Y
        + """
condition: [y]
prior: {z: {dist: normal, shape: [6]}}
decoder: {x: {given: [z, y], dist: categorical, net: conv_up}}
adversary: {d: {sees: x, classify: y, pack: 2, net: conv_down}}
objective: {estimator: {x: straight_through}}
""",
        "adversary.d critic.d classify.d classified.d",
        "none",
        None,
        NO_DENSITY + " encode reconstruct interpolate",
    ),
    "reconstruction_of_bits_in_the_features_of_a_bigan": case(
        BINARY
        + """
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: conv_up}}
encoder: {z: {given: x, dist: normal, net: mlp}}
adversary: {d: {sees: [x, z], net: mlp}}
objective: {reconstruction: {x: {in: d.features}}, estimator: {x: straight_through}}
""",
        "reconstruction.x kl.z adversary.d critic.d",
        "none",
        None,
        NO_DENSITY,
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
        "encode reconstruct interpolate",
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
    "prior_of_instants": case(
        BINARY
        + "\nordering: {z: time}"
        + VAE.replace(
            "z: {dist: normal, shape: [4]}",
            "z: {dist: normal, shape: [3, 2], net: {type: gru, width: 6, frame: {type: made, hidden: [5]}}}",
        ),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "posterior_of_instants": case(
        BINARY
        + "\nordering: {z: time}"
        + VAE.replace("shape: [4]", "shape: [3, 2]").replace(
            "x, dist: normal, net: mlp",
            "x, dist: normal, net: {type: lstm, width: 6, frame: {type: mlp, hidden: []}}",
        ),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "pixelcnn_pp": case(
        BINARY
        + """
ordering: {x: raster}
decoder: {x: {dist: bernoulli, net: {type: pixelcnn_pp, layers: 1, width: 6}}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "rotations_given_a_label": case(
        ORDINAL_Y
        + """
condition: [y]
ordering: {x: spiral}
decoder:
  x: {given: y, dist: categorical, net: {type: transformer, layers: 1, width: 8, heads: 2, positions: rope}}
sample: {top_k: 3}
""",
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
        "log_prob ood encode reconstruct interpolate",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "",
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
        "encode reconstruct interpolate",
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
        "encode reconstruct interpolate",
    ),
    "mixture_of_bernoullis": case(
        BINARY + "\ndecoder: {x: {dist: {type: mixture, of: bernoulli, components: 5}}}",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "mixture_prior_and_full_posterior": case(
        BINARY
        + """
prior: {z: {dist: {type: mixture, of: [normal, {type: normal, scale: full}]}, shape: [4]}}
decoder: {x: {given: z, dist: bernoulli, net: mlp}}
encoder: {z: {given: x, dist: {type: normal, scale: full}, net: mlp}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "full_posterior_in_closed_form": case(
        BINARY
        + VAE.replace("x, dist: normal,", "x, dist: normal, scale: full,")
        + "objective: {kl: {z: {free_bits: 0.1}}}",
        "reconstruction.x kl.z",
        "none",
        "lower",
        NO_Y,
    ),
    "mixture_of_logistics_entry_by_entry": case(
        ORDINAL
        + """
ordering: {x: raster}
decoder: {x: {dist: {type: mixture_of_logistics, components: 3}, net: gated_pixelcnn}}
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "discretized_logistic_vae": case(
        ORDINAL + VAE.replace("bernoulli", "discretized_logistic, scale: shared"),
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y,
    ),
    "mixture_of_logistics_given_a_label": case(
        ORDINAL_Y
        + """
decoder: {x: {given: y, dist: mixture_of_logistics, components: 2, net: mlp}, y: {dist: categorical}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        "encode reconstruct interpolate",
    ),
    "conditional_mixture_density_network": case(
        MOONS_Y
        + """
decoder: {x: {given: y, dist: {type: mixture, of: normal, components: 3, over: entry}, net: mlp}}
condition: [y]
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_CODES,
    ),
    "any_order_with_missing_pixels": case(
        BINARY_Y
        + """
condition: [y]
variables: {x: {missing: {rate: 0.3}}}
ordering: {x: {type: any}}
decoder: {x: {given: y, dist: bernoulli, net: transformer}}
""",
        "likelihood.x",
        "lower",
        "lower",
        NO_CODES,
    ),
    "any_order_under_importance_weights": case(
        BINARY
        + "\nordering: {x: {type: any}}"
        + VAE.replace("bernoulli, net: mlp", "bernoulli, net: transformer")
        + "objective: {bound: {type: iwae, samples: 2}}",
        "reconstruction.x kl.z bound.iwae",
        "lower",
        "lower",
        NO_Y + " reconstruct interpolate",
    ),
    "any_order_above_a_summed_label": case(
        MOONS_Y
        + """
variables: {y: {observed: {partial: 60}}}
ordering: {x: {type: any}}
prior: {y: {dist: categorical}}
decoder: {x: {given: y, dist: normal, net: transformer}}
""",
        "likelihood.x likelihood.y",
        "lower",
        "lower",
        "encode reconstruct interpolate",
    ),
    "variational_dequantization_of_a_flow": case(
        """data:
  source: digits
  bind: {x: {column: image, as: [{type: dequantize, how: variational, net: mlp, flow: [{type: coupling}]}, logit]}}
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: [{type: coupling, mask: checkerboard, repeat: 2}]}}
""",
        "likelihood.x dequantization.x",
        "lower",
        "exact",
        NO_Y + " impute",
    ),
    "variational_dequantization_below_a_vae": case(
        """data:
  source: digits
  bind: {x: {column: image, as: [unit, {type: dequantize, how: variational, flow: [planar]}, logit]}, y: label}
condition: [y]
prior: {z: {dist: normal, shape: [4]}}
decoder: {x: {given: [z, y], dist: normal, net: mlp}}
encoder: {z: {given: [x, y], dist: normal, net: mlp}}
objective: {bound: {type: iwae, samples: 2}}
""",
        "reconstruction.x kl.z bound.iwae dequantization.x",
        "lower",
        "lower",
        NO_Y,
    ),
    "flow_given_a_latent_and_an_image": case(
        """data:
  source: digits
  bind: {x: {column: image, as: [dequantize, logit]}, c: {column: image, as: [unit]}}
condition: [c]
prior: {z: {dist: normal, shape: [4]}, u: {dist: laplace}}
flow: {x: {given: [u, z, c], stack: [squeeze, {type: coupling, mask: channel}, {type: lu_linear, start: whiten}]}}
encoder: {z: {given: [x, c], dist: normal, net: mlp, flow: [{type: inverse_ar, hidden: [12]}]}}
""",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        NO_Y + " impute",
    ),
    "residual_flow_estimated": case(
        REALS
        + """
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: [{type: residual, hidden: [12], log_det: estimate}]}}
""",
        "likelihood.x",
        "estimate",
        "estimate",
        NO_Y,
    ),
    "residual_posterior_and_prior": case(
        BINARY
        + VAE.replace(
            "x, dist: normal, net: mlp}", "x, dist: normal, net: mlp, flow: [{type: residual, hidden: [6]}]}"
        ).replace("shape: [4]", "shape: [4], flow: [{type: residual, hidden: [6], log_det: estimate}]"),
        "reconstruction.x kl.z",
        "lower",
        "estimate",
        NO_Y,
    ),
    "continuous_flow_given_a_label": case(
        MOONS_Y
        + """
prior: {z: {dist: normal}}
flow: {x: {given: [z, y], stack: [{type: continuous, hidden: [8], steps: 4}]}}
condition: [y]
""",
        "likelihood.x",
        "exact",
        "exact",
        NO_Y,
    ),
    "label_given_an_image_with_holes": case(
        UNIT_Y
        + """
variables: {x: {missing: {rate: 0.3}}}
decoder: {x: {dist: normal}, y: {given: x, dist: categorical, net: mlp}}
""",
        "likelihood.x likelihood.y",
        "exact",
        "exact",
        "encode reconstruct interpolate",
    ),
    "flow_given_a_point_with_holes": case(
        POINT_TWICE
        + """
variables: {c: {missing: {rate: 0.3}}}
prior: {z: {dist: normal}}
decoder: {c: {dist: normal}}
flow: {x: {given: [z, c], stack: [{type: coupling}]}}
""",
        "likelihood.x likelihood.c",
        "exact",
        "exact",
        "classify",
    ),
}
"""Combinations that nobody named."""

GREY = "data: {source: digits, bind: {x: {column: image, as: [dequantize]}}}"
FLOW = """
prior: {z: {dist: normal}}
flow: {x: {given: z, stack: [{type: coupling, transform: affine, mask: checkerboard, repeat: 2}]}}
"""
SMOOTH = "net: {type: mlp, hidden: [12], activation: silu}"
NO_CODE = "impute compress classify encode reconstruct interpolate"

TURNS = "{type: transformer, layers: 1, width: 8, heads: 2}"
READERS = {
    "encoder_that_reads_tokens": case(
        ORDINAL_Y
        + "\ncondition: [y]\nprior: {z: {dist: normal, shape: [4]}}\n"
        + "decoder: {x: {given: [z, y], dist: categorical, net: mlp}}\n"
        + "encoder: {z: {given: [x, y], dist: normal, net: {type: gru, width: 6, layers: 2}, flow: [planar]}}",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        "classify compress",
    ),
    "encoder_that_attends": case(
        BINARY
        + "\nprior: {z: {dist: normal, shape: [4]}}\ndecoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
        + f"encoder: {{z: {{given: x, dist: normal, net: {TURNS[:-1]}, positions: axes}}}}}}",
        "reconstruction.x kl.z",
        "lower",
        "lower",
        "classify",
    ),
    "critic_that_attends": case(
        UNIT_Y
        + "\ncondition: [y]\nprior: {z: {dist: normal, shape: [4]}}\n"
        + "decoder: {x: {given: [z, y], dist: deterministic, net: mlp}}\n"
        + f"adversary: {{d: {{sees: [x, y], penalty: r1, net: {TURNS}}}}}",
        "adversary.d critic.d r1.d",
        "none",
        None,
        "log_prob encode reconstruct interpolate ood impute compress classify",
    ),
}

ENERGIES = {
    "planar_flow_2d": case(
        "energy: {z: {type: u1, shape: [2]}}\nencoder: {z: {dist: normal, flow: [{type: planar, repeat: 2}]}}",
        "kl.z",
        "lower",
        None,
        "impute compress classify log_prob ood reconstruct interpolate",
    ),
    "energy_model": case(
        GREY + "\nenergy: {x: {net: conv_down, negatives: {type: langevin, steps: 3, buffer: 20}}}",
        "energy.x",
        "none",
        None,
        NO_CODE + " log_prob",
    ),
    "energy_by_contrastive_divergence": case(
        MOONS + f"\nenergy: {{x: {{{SMOOTH}, negatives: contrastive_divergence}}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "energy_score_matching": case(
        MOONS
        + f"\nenergy: {{x: {{{SMOOTH}}}}}\nobjective: {{energy: {{x: {{type: score_matching, noise: 0.2}}}}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "energy_sliced_score_matching": case(
        MOONS
        + f"\nenergy: {{x: {{{SMOOTH}}}}}\nobjective: {{energy: {{x: {{type: score_matching, how: sliced}}}}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "rbm": case(
        BINARY + "\nenergy: {x: {net: {type: rbm, hidden: 5}}}", "energy.x", "none", "exact", NO_CODE
    ),
    "rbm_persistent": case(
        BINARY
        + "\nenergy: {x: {net: {type: rbm, hidden: 30}, negatives: {type: contrastive_divergence, buffer: 20}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "latent_energy_prior": case(
        BINARY + VAE + "energy: {z: {net: mlp, negatives: {type: langevin, steps: 3}}}",
        "reconstruction.x kl.z energy.z",
        "none",
        "estimate",
        NO_Y + " impute compress",
    ),
    "latent_energy_iwae": case(
        BINARY
        + VAE
        + "energy: {z: {net: mlp, negatives: {type: langevin, steps: 3}}}\n"
        + "objective: {bound: {type: iwae, samples: 3}, energy: {z: {weight: 0.5}}}",
        "reconstruction.x kl.z bound.iwae energy.z",
        "none",
        "estimate",
        NO_Y + " impute compress",
    ),
    "flow_energy_nce": case(
        REALS + FLOW + "energy: {x: {net: conv_down}}\nobjective: {energy: {x: noise_contrastive}}",
        "likelihood.x energy.x",
        "none",
        "estimate",
        "impute compress classify reconstruct interpolate",
    ),
    "energy_over_a_flow": case(
        REALS + FLOW + "energy: {x: {net: conv_down, negatives: {type: langevin, steps: 2}}}",
        "energy.x",
        "none",
        "estimate",
        "impute compress classify reconstruct interpolate",
    ),
    "energy_of_a_recurrent_reader": case(
        MOONS
        + "\nenergy: {x: {net: {type: rnn, width: 6}, negatives: {type: langevin, steps: 2, buffer: 20}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "energy_given_a_label": case(
        MOONS_Y
        + "\ncondition: [y]\n"
        + f"energy: {{x: {{given: y, {SMOOTH}, negatives: {{type: langevin, steps: 2, buffer: 20}}}}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "energy_given_an_image": case(
        "data: {source: digits, bind: {x: {column: image, as: [unit]}, c: {column: image, as: [unit]}}}\n"
        "condition: [c]\n"
        "energy: {x: {given: c, net: conv_down, negatives: {type: langevin, steps: 2, buffer: 20}}}",
        "energy.x",
        "none",
        None,
        NO_CODE + " log_prob",
    ),
    "energy_over_a_density_given_a_label": case(
        MOONS_Y
        + "\ncondition: [y]\ndecoder: {x: {given: y, dist: normal, net: mlp}}\n"
        + f"energy: {{x: {{{SMOOTH}, negatives: {{type: langevin, steps: 2}}}}}}",
        "energy.x",
        "none",
        "estimate",
        NO_CODE,
    ),
    "latent_energy_given_a_label": case(
        BINARY_Y
        + "\ncondition: [y]\nprior: {z: {given: y, dist: normal, shape: [4], net: mlp}}\n"
        + "energy: {z: {given: y, net: mlp, negatives: {type: langevin, steps: 3}}}\n"
        + "decoder: {x: {given: [z, y], dist: bernoulli, net: mlp}}\n"
        + "encoder: {z: {given: [x, y], dist: normal, net: mlp}}",
        "reconstruction.x kl.z energy.z",
        "none",
        "estimate",
        "impute compress classify",
    ),
    "flow_energy_nce_given_a_label": case(
        MOONS_Y
        + "\ncondition: [y]\nprior: {u: {given: y, dist: normal, net: mlp}}\n"
        + "flow: {x: {given: [u, y], stack: [{type: coupling, repeat: 2}]}}\n"
        + "energy: {x: {given: y, net: mlp}}\nobjective: {energy: {x: noise_contrastive}}",
        "likelihood.x energy.x",
        "none",
        "estimate",
        "impute compress classify reconstruct interpolate",
    ),
    "energy_over_a_density_with_a_label": case(
        MOONS_Y
        + "\ndecoder: {x: {dist: normal}, y: {given: x, dist: categorical, net: mlp}}\n"
        + f"energy: {{x: {{{SMOOTH}, negatives: {{type: langevin, steps: 2, buffer: 20}}}}}}",
        "likelihood.y energy.x",
        "none",
        "estimate",
        "impute compress encode reconstruct interpolate",
    ),
}

CHAIN = "{type: langevin, steps: 3, step_size: 0.1}"
CHAINED = VAE.replace("dist: normal, net: mlp}}", f"dist: {CHAIN}}}}}")
CHAINS = {
    "langevin_posterior": case(
        BINARY + CHAINED, "reconstruction.x prior.z", "none", "lower", NO_Y + " compress"
    ),
    "langevin_posterior_of_a_tilted_prior": case(
        BINARY + CHAINED + "energy: {z: {net: mlp, negatives: {type: langevin, steps: 3}}}",
        "reconstruction.x prior.z energy.z",
        "none",
        "estimate",
        NO_Y + " impute compress",
    ),
    "langevin_posterior_under_a_flow": case(
        BINARY + CHAINED.replace("shape: [4]}", "shape: [4], flow: [actnorm, {type: coupling, repeat: 2}]}"),
        "reconstruction.x prior.z",
        "none",
        "lower",
        NO_Y + " compress",
    ),
    "langevin_posterior_with_a_summed_component_and_a_label": case(
        BINARY_Y
        + f"""
prior: {{c: {{dist: {{type: categorical, classes: 3}}}}, z: {{given: c, dist: normal, shape: [4], net: mlp}}}}
decoder: {{x: {{given: z, dist: bernoulli, net: mlp}}, y: {{given: [z, c], dist: categorical, net: mlp}}}}
encoder: {{z: {{given: [x, y], dist: {CHAIN}}}}}
""",
        "reconstruction.x reconstruction.y prior.z",
        "none",
        "lower",
        "compress",
    ),
    "langevin_posterior_with_missing_entries": case(
        BINARY + "\nvariables: {x: {missing: {rate: 0.3}}}" + CHAINED,
        "reconstruction.x prior.z",
        "none",
        "lower",
        NO_Y + " compress",
    ),
    "langevin_posterior_of_the_context_of_a_flow": case(
        REALS
        + f"""
prior: {{u: {{dist: normal, shape: [1, 8, 8]}}, z: {{dist: normal, shape: [3]}}}}
flow: {{x: {{given: [u, z], stack: [{{type: coupling, repeat: 2}}]}}}}
encoder: {{z: {{given: x, dist: {CHAIN}}}}}
""",
        "reconstruction.x prior.z",
        "none",
        "lower",
        "impute compress classify",
    ),
}
"""Encoders that are chains on p."""

FLOWS = """
realnvp flow_gan conditional_flow flow_with_a_mixture_base flow_decoder realnvp_conditional density_of_one_variable
flow_with_a_latent_context flow_given_a_latent_that_the_prior_proposes residual_flow_estimated continuous_flow_given_a_label
"""
IMPLICIT = """
gan wgan_gp gan_instance_noise conditional_gan bigan infogan vae_gan infogan_with_densities
gan_of_levels bigan_of_codes gan_of_pixels_and_labels
gan_with_a_stochastic_decoder gan_beside_a_classifier unrolled_gan packed_gan auxiliary_classifier_gan stylegan2
information_off_a_corrupted_sample critic_of_each_level projected_labels_of_both_sides packed_levels_of_a_told_label
reconstruction_of_bits_in_the_features_of_a_bigan
"""
QUANTISED = "vq_vae quantised_code_without_prior two_quantised_levels"
JOINT = "mixture_of_bernoullis"
NOT_IMPUTED = frozenset((*f"autoencoder {FLOWS} {IMPLICIT} {QUANTISED} {JOINT}".split(), *ENERGIES))
"""Cases without a density of what is observed, of a flow or another joint density, of codes, and tilted ones."""

LATENT_FREE = """
pixelcnn image_gpt pixelcnn_with_label made wavenet mixture_of_logistics_entry_by_entry
mixture_of_logistics_given_a_label pixelcnn_pp
"""
PLAIN_NORMAL = (
    "vae beta_vae iwae joint_vae pixel_vae info_vae denoising_vae classifier_of_observed shared_trunk "
    "discretized_logistic_vae denoised_integers vae_gan_of_bits encoder_that_attends"
)
COMPRESSED = frozenset(f"{LATENT_FREE} {PLAIN_NORMAL}".split())
"""Cases of discrete rows, without latents or with one level of plain normal ones."""


def _whole(name: str, case: Case) -> Case:
    imputed, compressed = name not in NOT_IMPUTED, name in COMPRESSED
    more = {query for query, answered in (("impute", imputed), ("compress", compressed)) if not answered}
    return replace(case, refused=case.refused | more)


CASES = {name: _whole(name, case) for name, case in (NAMED | HYBRIDS | READERS | ENERGIES | CHAINS).items()}


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
