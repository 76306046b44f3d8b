"""GD2xx: names and keys. GD9xx: plug-ins."""

from __future__ import annotations

from gendsl.schema.codes.page import Code, page

NAMES: dict[str, Code] = {
    "GD201": Code(
        "an unknown key",
        page(
            "The key is not one that this part of a spec has. The message names the nearest key, the "
            "section that the key belongs to, or what another library's word is called here.",
            "train: {learning_rate: 0.001}",
            "train: {optim: {lr: 0.001}}",
        ),
    ),
    "GD202": Code(
        "a missing key",
        page(
            "A key that has no default is not written; the message says what it takes.",
            "adversary: {d: {net: mlp}}",
            "adversary: {d: {sees: x, net: mlp}}",
        ),
    ),
    "GD203": Code(
        "the wrong type of value",
        page(
            "The key takes another type: a number where text is written, a list where one value is. "
            "Nothing is converted silently.",
            "train: {steps: '100'}",
            "train: {steps: 100}",
        ),
    ),
    "GD204": Code(
        "a value out of range",
        page(
            "The type is right, the value is not possible; the message says which ones are.",
            "train: {batch_size: 0}",
            "train: {batch_size: 128}",
        ),
    ),
    "GD205": Code(
        "parameters of a distribution in two forms",
        page(
            "A factor takes the parameters of its distribution beside dist: or inside it, not both at once.",
            "prior: {c: {dist: {type: categorical, logits: learned}, classes: 10}}",
            "prior: {c: {dist: {type: categorical, logits: learned, classes: 10}}}",
        ),
    ),
    "GD206": Code(
        "an unknown variable",
        page(
            "A variable is defined by a key of prior:, decoder:, flow:, corruption:, data: {bind: "
            "...} and the like; the name written here is none of them.",
            "extends: vae\ndecoder: {x: {given: zz}}",
            "extends: vae\ndecoder: {x: {given: z}}",
        ),
    ),
    "GD207": Code(
        "one name for two things",
        page(
            "A name means one thing in a whole spec: a variable, an adversary or a shared network. "
            "And in a list of parents, of conditions, or of what is seen, each is named once.",
            "extends: gan\nadversary: {x: {sees: x, net: conv_down}}",
            "extends: gan\nadversary: {critic: {sees: x, net: conv_down}}",
        ),
    ),
    "GD208": Code(
        "an unknown network",
        page(
            "net: {ref: name} stands for the network of that name under nets:, which is not a "
            "reference itself.",
            "extends: vae\nencoder: {z: {net: {ref: trunk}}}",
            "extends: vae\nnets: {trunk: {type: mlp, hidden: [64]}}\nencoder: {z: {net: {ref: trunk}}}",
        ),
    ),
    "GD210": Code(
        "an unknown component",
        page(
            "No distribution, flow layer, network, loss, ... of this name is known. 'gendsl "
            "components' lists them. Those of a plug-in are known only where requires: names it.",
            "extends: vae\nencoder: {z: {flow: [{type: planer, repeat: 16}]}}",
            "extends: vae\nencoder: {z: {flow: [{type: planar, repeat: 16}]}}",
        ),
    ),
    "GD211": Code(
        "a component that this version does not build",
        page(
            "The name belongs to the language, but this version has no implementation of it. 'gendsl "
            "components' lists what there is.",
            "extends: vae\nprior: {w: {dist: normal, shape: [2]}}\ndecoder: {x: {given: [z, w]}}\n"
            "encoder: {z: {dist: langevin, net: null}, w: {given: x, dist: normal, net: mlp}}",
            "extends: vae\nprior: {w: {dist: normal, shape: [2]}}\ndecoder: {x: {given: [z, w]}}\n"
            "encoder: {w: {given: x, dist: normal, net: mlp}}",
        ),
    ),
    "GD212": Code(
        "a component without its name",
        page(
            "A map that describes a component says which one under 'type' (a distribution of a factor "
            "under 'dist').",
            "extends: vae\nencoder: {z: {flow: [{repeat: 16}]}}",
            "extends: vae\nencoder: {z: {flow: [{type: planar, repeat: 16}]}}",
        ),
    ),
    "GD213": Code(
        "reserved for later",
        page(
            "Diffusion, flow matching and time-indexed latents are reserved: their words are kept "
            "free and refused.",
            "prior: {z: {dist: normal, time: 100}}",
            "prior: {z: {dist: normal, shape: [16]}}",
        ),
    ),
    "GD220": Code(
        "the version of the grammar",
        page(
            "The first key of a spec is 'gendsl: 1', the version of the grammar it is written in.",
            "gendsl: 2\nname: a",
            "gendsl: 1\nname: a",
        ),
    ),
}

PLUGINS: dict[str, Code] = {
    "GD901": Code(
        "a plug-in that is not installed",
        page(
            "requires: names a package whose components are registered under the entry-point group "
            "gendsl.components, and no installed package has this name there.",
            "requires: [not_installed]",
            "requires: [installed]        (pip install the package first)",
        ),
    ),
    "GD902": Code(
        "a plug-in that fails to import",
        page(
            "The package is installed, and importing its components raised an error.",
            "requires: [broken]",
            "requires: [repaired]",
        ),
    ),
}
