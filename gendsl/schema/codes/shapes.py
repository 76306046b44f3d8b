"""GD4xx: shapes, supports and data."""

from __future__ import annotations

from gendsl.schema.codes.page import Code, page

_GREY = "data: {source: digits, bind: {x: {column: image, as: [unit]}}}\n"
_BINARY = "data: {source: digits, bind: {x: {column: image, as: [{binarize: static}]}}}\n"
_POINTS = "data: {source: two_moons, bind: {x: point}}\n"
_FLOW = "prior: {z: {dist: normal}}\nflow: {x: {given: z, stack: [coupling]}}"

SHAPES: dict[str, Code] = {
    "GD401": Code(
        "shapes that disagree",
        page(
            "Shapes are inferred from the data and along the factors; what is written is checked against "
            "that. Both "
            "places are shown. A network that is shared reads inputs of the same shapes everywhere, and none "
            "that walks a variable in an order is shared.",
            "extends: vae\nencoder: {z: {shape: [8]}}",
            "extends: vae\nprior: {z: {shape: [8]}}",
        ),
    ),
    "GD402": Code(
        "a shape that is not known",
        page(
            "The size of a latent follows from nothing else: it is written once, where the latent is "
            "declared.",
            _BINARY + "prior: {z: {dist: normal}}\ndecoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
            "encoder: {z: {given: x, dist: normal, net: mlp}}",
            _BINARY
            + "prior: {z: {dist: normal, shape: [16]}}\ndecoder: {x: {given: z, dist: bernoulli, net: mlp}}\n"
            "encoder: {z: {given: x, dist: normal, net: mlp}}",
        ),
    ),
    "GD403": Code(
        "a network that cannot read this",
        page(
            "Convolutions read grids [C, H, W] or make them; a network without autoregression needs "
            "parents; a critic's "
            "network gives one number. The message says what the network was given.",
            _POINTS
            + "prior: {z: {dist: normal, shape: [2]}}\ndecoder: {x: {given: z, dist: normal, net: conv_up}}\n"
            "encoder: {z: {given: x, dist: normal, net: mlp}}",
            _POINTS
            + "prior: {z: {dist: normal, shape: [2]}}\ndecoder: {x: {given: z, dist: normal, net: mlp}}\n"
            "encoder: {z: {given: x, dist: normal, net: mlp}}",
        ),
    ),
    "GD404": Code(
        "values outside a support",
        page(
            "A distribution gives values in its support, and the data have to lie in it: grey values from 0 "
            "to 1 are not "
            "0 or 1, labels are not reals, and a flow acts on the reals. Change the distribution, or the "
            "preprocessing "
            "under as:.",
            _GREY + "decoder: {x: {dist: bernoulli}}",
            _GREY + "decoder: {x: {dist: continuous_bernoulli}}",
        ),
    ),
    "GD405": Code(
        "an unknown column",
        page(
            "bind: names a column that the source does not have.",
            "data: {source: digits, bind: {x: pixels}}\ndecoder: {x: {dist: categorical}}",
            "data: {source: digits, bind: {x: image}}\ndecoder: {x: {dist: categorical}}",
        ),
    ),
    "GD406": Code(
        "data that cannot be read",
        page(
            "The file or folder is not there, or is not what the source expects. Relative paths start at "
            "the folder of "
            "the spec.",
            "data: {source: npz, path: nowhere.npz, bind: {x: data}}\ndecoder: {x: {dist: normal}}",
            "data: {source: two_moons, bind: {x: point}}\ndecoder: {x: {dist: normal}}",
        ),
    ),
    "GD407": Code(
        "a preprocessing step that makes no sense here",
        page(
            "Every step under as: says what it needs: logit continuous values in [0, 1], unit known bounds, "
            "dequantize a "
            "grid of values. Steps act in the order written.",
            "data: {source: digits, bind: {x: {column: image, as: [logit]}}}\ndecoder: {x: {dist: normal}}",
            "data: {source: digits, bind: {x: {column: image, as: [dequantize, logit]}}}\ndecoder: {x: "
            "{dist: normal}}",
        ),
    ),
    "GD408": Code(
        "a flow layer or a corruption that cannot act on this shape",
        page(
            "A coupling needs two dimensions or more, a checkerboard a grid [C, H, W], a channel mask two "
            "channels, the corruption block a grid.",
            _POINTS + _FLOW.replace("[coupling]", "[{type: coupling, mask: checkerboard}]"),
            _POINTS + _FLOW,
        ),
    ),
    "GD409": Code(
        "a distribution that cannot be this variable's",
        page(
            "A categorical needs to know its classes, a uniform low below high, and a deterministic or "
            "implicit head "
            "gives real values.",
            _BINARY + "prior: {c: {dist: categorical}}\ndecoder: {x: {given: c, dist: bernoulli, net: mlp}}",
            _BINARY + "prior: {c: {dist: categorical, classes: 10}}\n"
            "decoder: {x: {given: c, dist: bernoulli, net: mlp}}",
        ),
    ),
    "GD410": Code(
        "an encoder outside its prior's support",
        page(
            "The KL of q against p is infinite, or has no meaning, where q gives values that p cannot: a "
            "normal encoder "
            "of a categorical latent, or of one with a uniform prior.",
            _BINARY + "prior: {c: {dist: categorical, classes: 10}}\n"
            "decoder: {x: {given: c, dist: bernoulli, net: mlp}}\nencoder: {c: {given: x, dist: normal, "
            "net: mlp}}",
            _BINARY + "prior: {c: {dist: categorical, classes: 10}}\n"
            "decoder: {x: {given: c, dist: bernoulli, net: mlp}}\nencoder: {c: {given: x, dist: "
            "categorical, net: mlp}}",
        ),
    ),
    "GD411": Code(
        "rows that are not there",
        page(
            "The shares of split: add up to one at most and leave every part a row; what is evaluated or "
            "validated on "
            "exists. A warning for a batch that is larger than the data.",
            "extends: vae\ndata: {split: {train: 0.8, valid: 0.2, test: 0.2}}",
            "extends: vae\ndata: {split: {train: 0.7, valid: 0.1, test: 0.2}}",
        ),
    ),
}
