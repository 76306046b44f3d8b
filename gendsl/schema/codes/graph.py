"""GD3xx: the graph: sections, parents, cycles, conditions, what is observed."""

from __future__ import annotations

from gendsl.schema.codes.page import Code, page

_DATA = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}\n"
_LABELS = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}, y: label}}\n"
_VAE = (
    "prior:   {z: {dist: normal, shape: [16]}}\n"
    "decoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
    "encoder: {z: {given: x, dist: normal, net: mlp}}"
)
_LEVELS = _DATA + (
    "prior:\n  z2: {dist: normal, shape: [8]}\n  z1: {given: z2, dist: normal, shape: [16], net: mlp}\n"
    "decoder: {x: {given: z1, dist: bernoulli, net: mlp}}\n"
)

GRAPH: dict[str, Code] = {
    "GD300": Code(
        "nothing is modelled",
        page(
            "A spec declares at least one factor: a key of prior:, decoder:, flow: or encoder:.",
            "data: {source: digits, bind: {x: image}}",
            _DATA + _VAE,
        ),
    ),
    "GD301": Code(
        "a factor in the wrong section",
        page(
            "A variable that is bound to data has its distribution under decoder: or flow:, one that is not "
            "has it "
            "under prior:. The section says the role; the maths is the same.",
            _DATA + "prior: {x: {dist: bernoulli}}",
            _DATA + "decoder: {x: {dist: bernoulli}}",
        ),
    ),
    "GD302": Code(
        "two distributions of one variable",
        page(
            "A variable has at most one directed factor in p (prior, decoder or flow) and at most one in q "
            "(encoder).",
            "data: {source: two_moons, bind: {x: point}}\nprior: {z: {dist: normal}}\n"
            "flow: {x: {given: z, stack: [coupling]}}\ndecoder: {x: {dist: normal}}",
            "data: {source: two_moons, bind: {x: point}}\nprior: {z: {dist: normal}}\n"
            "flow: {x: {given: z, stack: [coupling]}}",
        ),
    ),
    "GD303": Code(
        "a parent that p does not define",
        page(
            "A parent in prior:, decoder: or flow: is a latent, a condition, or an observed variable that "
            "has a "
            "distribution of its own. The output of a corruption feeds encoders only.",
            _LABELS + _VAE.replace("given: z,", "given: [z, y],"),
            _LABELS
            + "condition: [y]\n"
            + _VAE.replace("given: z,", "given: [z, y],").replace("given: x,", "given: [x, y],"),
        ),
    ),
    "GD304": Code(
        "a parent that q does not know",
        page(
            "A parent in encoder: is bound to data, the output of a corruption, or has an encoder itself.",
            _LEVELS + "encoder: {z1: {given: [x, z2], dist: normal, net: mlp}}",
            _LEVELS
            + "encoder: {z1: {given: x, dist: normal, net: mlp}, z2: {given: z1, dist: normal, net: mlp}}",
        ),
    ),
    "GD305": Code(
        "a cycle",
        page(
            "Following the parents leads back to where it began, within p (prior, decoder, flow) or within "
            "q (encoder). "
            "The message prints the cycle. z above x in p and x above z in q is no cycle: the two sides are "
            "separate.",
            _LEVELS.replace("z2: {dist", "z2: {given: z1, dist")
            + "encoder: {z1: {given: x, dist: normal, net: mlp}, "
            "z2: {given: z1, dist: normal, net: mlp}}",
            _LEVELS
            + "encoder: {z1: {given: x, dist: normal, net: mlp}, z2: {given: z1, dist: normal, net: mlp}}",
        ),
    ),
    "GD306": Code(
        "a condition that is modelled, or not bound",
        page(
            "What condition: names is given in every row and never modelled or inferred, so it is bound to "
            "data and has "
            "no factor.",
            "extends: vae\ncondition: [z]",
            "extends: conditional_vae",
        ),
    ),
    "GD307": Code(
        "something that is never used",
        page(
            "A warning for networks, columns, corruptions and latents that nothing uses; an error for an "
            "ordering, which "
            "belongs to a variable with a distribution.",
            "data: {source: digits, bind: {x: {column: image, as: [unit]}, y: label}}\ncondition: [y]\n"
            "decoder: {x: {given: y, dist: normal, net: conv_up}}\nordering: {y: {type: natural}}",
            "data: {source: digits, bind: {x: {column: image, as: [unit]}, y: label}}\ncondition: [y]\n"
            "decoder: {x: {given: y, dist: normal, net: conv_up}}",
        ),
    ),
    "GD308": Code(
        "an encoder for the base of a flow",
        page(
            "The value of a flow's base follows from x by inverting the flow: there is nothing to infer.",
            "data: {source: two_moons, bind: {x: point}}\nprior: {z: {dist: normal}}\n"
            "flow: {x: {given: z, stack: [coupling]}}\nencoder: {z: {given: x, dist: normal, net: mlp}}",
            "data: {source: two_moons, bind: {x: point}}\nprior: {z: {dist: normal}}\n"
            "flow: {x: {given: z, stack: [coupling]}}",
        ),
    ),
    "GD309": Code(
        "a variable that is no part of the model",
        page(
            "What is observed: never is bound for metrics only, and the output of a corruption only feeds "
            "encoders: "
            "neither has a distribution in p or an encoder, and what is hidden is nobody's parent.",
            _LABELS + "variables: {y: {observed: never}}\n" + _VAE.replace("given: x,", "given: [x, y],"),
            _LABELS + "variables: {y: {observed: never}}\n" + _VAE,
        ),
    ),
    "GD310": Code(
        "a fact that cannot be so",
        page(
            "observed: speaks of variables that are bound to data; only a label can be partly observed, "
            "with no more "
            "known rows than there are; only an observed variable can have missing entries.",
            "extends: vae\nvariables: {z: {observed: always}}",
            "extends: vae\nvariables: {x: {observed: always}}",
        ),
    ),
}
