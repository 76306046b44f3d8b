"""GD5xx: capabilities, the objective and the players. GD6xx: resources."""

from __future__ import annotations

from gendsl.schema.codes.page import Code, page

_GREY = "data: {source: digits, bind: {x: {column: image, as: [unit]}}}\n"
_BINARY = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}\n"
_LABELS = "data: {source: digits, bind: {x: {column: image, as: [unit]}, y: label}}\ncondition: [y]\n"
_LATENT = "prior: {z: {dist: normal, shape: [16]}}\n"
_VAE = _BINARY + _LATENT + "decoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
_GAN = _GREY + _LATENT + "decoder: {x: {given: z, dist: deterministic, net: conv_up}}"
_ENERGY = """data: {bind: {x: {column: image, as: [dequantize]}}}
energy: {x: {net: conv_down}}
"""
_FINITE = (
    _BINARY
    + "prior: {c: {dist: categorical, classes: 10}}\ndecoder: {x: {given: c, dist: bernoulli, net: mlp}}"
)

CAPABILITIES: dict[str, Code] = {
    "GD501": Code(
        "an observed variable that nothing trains",
        page(
            "A deterministic or implicit decoder has no density, so there is no likelihood to maximise: "
            "then an adversary "
            "has to see the variable. For squared error write dist: {type: normal, scale: fixed}.",
            _GAN,
            _GAN + "\nadversary: {d: {sees: x, net: conv_down}}",
        ),
    ),
    "GD502": Code(
        "a latent that nothing infers",
        page(
            "Between log p(x) and a latent above x there has to be a route: an encoder, a flow that is "
            "inverted, or a sum "
            "over finitely many values. And what an encoder infers has to be a part of p.",
            _VAE.rstrip(),
            _VAE + "encoder: {z: {given: x, dist: normal, net: mlp}}",
        ),
    ),
    "GD503": Code(
        "a density that is needed and cannot be had",
        page(
            "A planar flow knows the density of its own samples only, because its inverse has no closed "
            "form: that is "
            "what an encoder needs. A prior or a decoder is asked for log p at given points, and needs "
            "layers with an "
            "inverse, such as coupling.",
            "extends: vae\nprior: {z: {flow: [planar]}}",
            "extends: vae\nprior: {z: {flow: [coupling]}}",
        ),
    ),
    "GD504": Code(
        "an autoregressive network and its ordering",
        page(
            "made, gated_pixelcnn, the recurrent nets and the transformer need to be told in which order "
            "the entries "
            "come, and follow only some orders. Nothing is guessed.",
            "data: {source: digits, bind: {x: {column: image, as: [ordinal]}}}\n"
            "decoder: {x: {dist: categorical, net: gated_pixelcnn}}",
            "data: {source: digits, bind: {x: {column: image, as: [ordinal]}}}\nordering: {x: {type: "
            "raster}}\n"
            "decoder: {x: {dist: categorical, net: gated_pixelcnn}}",
        ),
    ),
    "GD505": Code(
        "samples without a gradient",
        page(
            "What makes the samples that an adversary sees learns by the gradient through them, and discrete samples "
            "have none: name an estimator that relaxes them, or use real values. Likewise an encoder of a discrete "
            "latent: one of few values is enumerated, any other needs an estimator, objective: {estimator: {n: "
            "score_function}}.",
            _BINARY + _LATENT + "decoder: {x: {given: z, dist: bernoulli, net: conv_up}}\n"
            "adversary: {d: {sees: x, net: conv_down}}",
            _BINARY + _LATENT + "decoder: {x: {given: z, dist: bernoulli, net: conv_up}}\n"
            "adversary: {d: {sees: x, net: conv_down}}\nobjective: {estimator: {x: straight_through}}",
        ),
    ),
    "GD506": Code(
        "an adversary without one of its sides",
        page(
            "Real tuples come from the data and the encoder, fake ones from the prior and the decoder: each "
            "variable that "
            "is seen needs both, and what depends on a condition is judged together with it.",
            _LABELS + _LATENT + "decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}\n"
            "adversary: {d: {sees: x, net: conv_down}}",
            _LABELS + _LATENT + "decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}\n"
            "adversary: {d: {sees: [x, y], net: conv_down}}",
        ),
    ),
    "GD507": Code(
        "a term, a chain or a draw that the model does not have",
        page(
            "objective: re-weights or re-estimates terms that are derived from the graph; 'gendsl explain' "
            "lists them. "
            "in: d.features needs an adversary d that sees the variable; walkback: and sample: {chain: ...} a "
            "corruption beneath the encoder of a code without a prior; sample: {top_k: ..., top_p: ...} a variable "
            "that is drawn from a categorical distribution.",
            "extends: gan\nobjective: {kl: {z: {weight: 4}}}",
            "extends: vae\nobjective: {kl: {z: {weight: 4}}}",
        ),
    ),
    "GD508": Code(
        "a bound that does not apply",
        page(
            "A bound speaks of latents that are sampled from an encoder with a density. iwae and renyi need "
            "log q, so no "
            "code and no adversary in place of the KL stands beside them; "
            "discrete latents are drawn, with the gradient of score_function.",
            "extends: realnvp\nobjective: {bound: iwae}",
            "extends: vae\nobjective: {bound: iwae}",
        ),
    ),
    "GD509": Code(
        "a stage or a player of nothing",
        page(
            "fit: names factors as explain does (encoder.z, decoder.x, adversary.d), at least one of which "
            "has "
            "parameters that a term reaches; players: names adversaries of the spec.",
            "extends: vae\ntrain: {stages: [{fit: [encoder.z, decoder.y]}]}",
            "extends: vae\ntrain: {stages: [{fit: [encoder.z, decoder.x]}]}",
        ),
    ),
    "GD510": Code(
        "missing entries that cannot be left out",
        page(
            "Entries can be missing where the density is a product over the entries given the parents: then "
            "the missing "
            "ones are left out. An autoregressive network, a flow or an adversary would take what stands in "
            "their place "
            "for data.",
            "extends: pixelcnn\nvariables: {x: {missing: {rate: 0.2}}}",
            "extends: vae\nvariables: {x: {missing: {rate: 0.2}}}",
        ),
    ),
    "GD511": Code(
        "an encoder without a density",
        page(
            "A deterministic or implicit encoder has no log q, so there is no KL. With a prior it needs an "
            "adversary that "
            "sees the latent, objective.mmd, or a stage that fits the prior to the codes; without a prior "
            "it is a plain "
            "autoencoder.",
            _VAE + "encoder: {z: {given: x, dist: deterministic, net: mlp}}",
            _VAE
            + "encoder: {z: {given: x, dist: deterministic, net: mlp}}\nadversary: {d: {sees: z, net: mlp}}",
        ),
    ),
    "GD512": Code(
        "an unknown metric",
        page(
            "evaluate: {metrics: [...]} names what is measured; without it, all that the model can be asked "
            "is.",
            "extends: gan\nevaluate: {metrics: [fidelity]}",
            "extends: gan\nevaluate: {metrics: [mmd]}",
        ),
    ),
    "GD514": Code(
        "too many states",
        page(
            "Finite latents with an encoder are enumerated, value by value, all of them together: at most 256 joint "
            "states, or an estimator has to be named (score_function, gumbel, straight_through). "
            "Those without an encoder are summed out: at most 4096.",
            _FINITE.replace("classes: 10", "classes: 5000"),
            _FINITE,
        ),
    ),
    "GD515": Code(
        "a factor that nothing trains",
        page(
            "A warning: the factor has parameters, and no term of the objective reaches them in any stage.",
            "extends: conditional_vae\nprior: {w: {given: y, dist: normal, shape: [4], net: mlp}}",
            "extends: conditional_vae",
        ),
    ),
    "GD516": Code(
        "an energy that cannot be trained",
        page(
            "An energy multiplies a density by exp(-E). A network is trained by `negatives` or by "
            "`objective: {energy: {x: ...}}`; a fixed energy is sampled by an encoder. Chains and scores need real "
            "values, noise_contrastive a density beneath, an energy on a latent an encoder with a density.",
            _ENERGY,
            _ENERGY.replace("conv_down", "conv_down, negatives: {type: langevin, buffer: 2000}"),
        ),
    ),
    "GD520": Code(
        "an option that does not suit what the adversary sees",
        page(
            "augment: transforms images [C, H, W]; pack: puts several rows of a batch side by side; project: "
            "names a label that is seen beside something else; classify: names "
            "a label that is known on every row, that the decoder is given, and that the critic does not see; "
            "smoothing: is of a logistic loss; start: is a step of training.",
            _LABELS + _LATENT + "decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}\n"
            "adversary: {d: {sees: [x, y], classify: y, net: conv_down}}",
            _LABELS + _LATENT + "decoder: {x: {given: [z, y], dist: deterministic, net: conv_up}}\n"
            "adversary: {d: {sees: x, classify: y, net: conv_down}}",
        ),
    ),
}

RESOURCES: dict[str, Code] = {
    "GD601": Code(
        "more memory than there is",
        page(
            "An estimate of what training needs, made before anything is allocated, is more than the "
            "machine has. The "
            "message names the largest part.",
            "extends: vae\ndecoder: {x: {net: {type: mlp, hidden: [200000, 200000]}}}",
            "extends: vae\ndecoder: {x: {net: {type: mlp, hidden: [256, 256]}}}",
        ),
    ),
    "GD602": Code(
        "a kernel that cannot run",
        page(
            "kernels: triton asks for the Triton kernels and says why they cannot run here; kernels: auto "
            "takes the "
            "reference where they cannot. compile: true leaves out networks that training differentiates twice, as a "
            "note says: compiled code has no second derivative.",
            "extends: vae_planar_flow\nrun: {kernels: triton, device: cpu}",
            "extends: vae_planar_flow\nrun: {kernels: auto}",
        ),
    ),
}
