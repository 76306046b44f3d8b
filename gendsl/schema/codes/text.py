"""GD1xx: the text of a spec, its parents, constants and options."""

from __future__ import annotations

from gendsl.schema.codes.page import Code, page

TEXT: dict[str, Code] = {
    "GD101": Code(
        "not YAML",
        page(
            "The text breaks a rule of YAML: a bracket or quote that is never closed, keys of one map "
            "that are not equally indented, two values on one line. The caret stands where the parser "
            "could not go on, or where what was left open began. Nothing after it was read.",
            "encoder: {z: {given: x, dist: normal\ntrain: {steps: 100}",
            "encoder: {z: {given: x, dist: normal}}\ntrain: {steps: 100}",
        ),
    ),
    "GD102": Code(
        "not UTF-8",
        page(
            "A spec is UTF-8 text (a byte-order mark at its start is allowed). Files saved as UTF-16 "
            "or in a code page have to be saved again.",
            "name: caf\\xe9        (Latin-1)",
            "name: café           (UTF-8)",
        ),
    ),
    "GD103": Code(
        "a character that cannot stand in a spec",
        page(
            "Control characters, line separators that only some programs take for ends of lines, and "
            "marks that reorder the text around them are refused, because a reader does not see what "
            "they do. Inside double quotes such a character can be written as an escape, but for NUL "
            "and halves of surrogate pairs.",
            "name: a<U+2028>b",
            'name: "a\\u2028b"',
        ),
    ),
    "GD104": Code(
        "a tab in indentation",
        page(
            "YAML counts indentation in spaces; a tab has no agreed width.",
            "train:\n<tab>steps: 100",
            "train:\n  steps: 100",
        ),
    ),
    "GD105": Code(
        "an empty document",
        page("The file holds no value at all.", "# only a comment", "gendsl: 1\ndata: {source: digits}"),
    ),
    "GD106": Code(
        "the document is not a map",
        page(
            "A spec is a map from sections to what they declare.",
            "- prior\n- decoder",
            "gendsl: 1\nprior: {}",
        ),
    ),
    "GD107": Code(
        "a second document",
        page(
            "One file holds one spec, so there is nothing after a line of '---'. To say what two "
            "specs have in common, put it into a third and name that under extends: in both.",
            "name: one\n---\nname: two",
            "extends: common.yaml\nname: one",
        ),
    ),
    "GD108": Code(
        "a key written twice",
        page(
            "The same key stands twice in one map. YAML readers would silently keep one of the two.",
            "train: {steps: 100, batch_size: 64, steps: 200}",
            "train: {steps: 200, batch_size: 64}",
        ),
    ),
    "GD109": Code(
        "a key that is not a string",
        page(
            "Keys are names. A plain number, true, false or null is not one, nor is a list, a map or "
            "an alias. (on, off, yes, no and y are names here.)",
            "decoder: {1: {dist: normal}}",
            "decoder: {x1: {dist: normal}}",
        ),
    ),
    "GD110": Code(
        "a YAML tag",
        page(
            "Tags ('!!float', '!include') would let a spec choose how it is read. What a value is "
            "follows from how it is written.",
            "name: !!str 12",
            "name: '12'",
        ),
    ),
    "GD111": Code(
        "a merge key",
        page(
            "'<<' copies the keys of another map; it is no part of YAML 1.2 and has been used to "
            "exhaust readers. Use extends:, a shared network under nets:, or constants under let:.",
            "common: &common {given: x, dist: normal}\nencoder:\n  z: {<<: *common, net: mlp}",
            "encoder:\n  z: {given: x, dist: normal, net: mlp}",
        ),
    ),
    "GD112": Code(
        "an unknown anchor",
        page(
            "'*name' stands for the value that was marked '&name' before it, and there is none. Text "
            "that begins with '*' needs quotes.",
            "a: *shape\nb: &shape [16]",
            "a: &shape [16]\nb: *shape",
        ),
    ),
    "GD113": Code(
        "an alias inside its own anchor",
        page("The value would contain itself.", "stack: &s [actnorm, *s]", "stack: [actnorm, coupling]"),
    ),
    "GD114": Code(
        "an unclear number",
        page(
            "Leading zeros (010), other bases (0o17, 0x1f), underscores (1_000), infinities, NaN and "
            "integers above 64 bits are read differently by different readers of YAML, or lose "
            "digits.",
            "train: {steps: 1_000}",
            "train: {steps: 1000}",
        ),
    ),
    "GD115": Code(
        "too long",
        page(
            "A spec is at most 1 MiB. Data belong into files of their own.",
            "data: {source: memory, values: [0.1, 0.2, ...]}",
            "data: {source: npz, path: values.npz}",
        ),
    ),
    "GD116": Code(
        "nested too deep",
        page("At most 32 lists and maps may be open inside each other.", "a: [[[[[[...]]]]]]", "a: [1, 2]"),
    ),
    "GD117": Code(
        "too many keys and values",
        page(
            "At most 50,000 keys and values; an alias or a constant counts as all that it stands for.",
            "a: &a [1, 1]\nb: &b [*a, *a]\nc: &c [*b, *b]        (and so on, twenty times)",
            "a: [1, 1]",
        ),
    ),
    "GD118": Code(
        "too many aliases",
        page(
            "At most 256 aliases.", "a: &a 1\nb: [*a, *a, ...]", "let: {a: 1}\nb: {repeat: 300, value: ${a}}"
        ),
    ),
    "GD119": Code(
        "a YAML directive",
        page("'%YAML' and '%TAG' change how a text is read.", "%YAML 1.1\n---\nname: a", "name: a"),
    ),
    "GD120": Code(
        "a key without ':'",
        page(
            "In braces YAML reads a word without ': ' as a key without a value; most often the space "
            "after ':' is missing.",
            "prior: {z: {dist:normal}}",
            "prior: {z: {dist: normal}}",
        ),
    ),
    "GD130": Code(
        "the parent spec cannot be found",
        page(
            "extends: names a file, relative to the file it is written in, or a shipped spec by its "
            "bare name.",
            "extends: vea",
            "extends: vae",
        ),
    ),
    "GD131": Code(
        "specs that extend each other",
        page(
            "The chain of parents comes back to its beginning.",
            "# in a.yaml\nextends: a.yaml",
            "extends: vae",
        ),
    ),
    "GD132": Code(
        "extends is not a name",
        page("A spec has one parent.", "extends: [vae, wgan_gp]", "extends: vae"),
    ),
    "GD133": Code(
        "an unknown constant",
        page(
            "${name} stands for a constant of let:, of the spec or of a parent. A constant may name "
            "those that are written before it.",
            "let: {width: 64}\nnets: {trunk: {type: resnet, width: '${widht}'}}",
            "let: {width: 64}\nnets: {trunk: {type: resnet, width: '${width}'}}",
        ),
    ),
    "GD134": Code(
        "a constant inside a string",
        page(
            "A constant stands for a whole value. There is no arithmetic and no joining of strings in "
            "a spec.",
            "name: vae_${width}",
            "name: vae_64",
        ),
    ),
    "GD135": Code(
        "let cannot hold this",
        page(
            "let: is a map from names (letters, digits, '_') to scalars and lists. For maps there are "
            "nets: and extends:.",
            "let: {net: {type: mlp}}",
            "let: {hidden: [256, 256]}",
        ),
    ),
    "GD136": Code(
        "a constant that is not used",
        page("A warning: nothing names this constant.", "let: {width: 64}\nname: a", "name: a"),
    ),
    "GD137": Code(
        "an option that cannot be read",
        page(
            "--set takes PATH=VALUE and --unset takes PATH. A path is keys joined by '.', with [0] "
            "for items of lists; a value is what could follow 'key: ' on one line.",
            "--set train.steps 100",
            "--set train.steps=100 --set 'encoder.z.net.hidden=[64, 64]'",
        ),
    ),
    "GD138": Code(
        "a path that leads nowhere",
        page(
            "The path of --set or --unset goes through a value that is no map or list, or past the "
            "end of a list. Maps that are missing on the way are made; items of lists are not. gendsl "
            "and extends belong to the file.",
            "--set train.steps.x=100",
            "--set train.steps=100",
        ),
    ),
    "GD139": Code(
        "nothing to remove",
        page("--unset names a key that is not there.", "--unset train.stpes", "--unset train.steps"),
    ),
}
