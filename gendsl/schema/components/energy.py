"""Fixed energies: factors exp(-E) with a formula of their own (docs/semantics.md, section 7)."""

from typing import ClassVar

from gendsl.schema.facts import Shape
from gendsl.schema.registry import Component, component


class Energy(Component):
    """A fixed energy with a formula of its own (`type: u1`)."""

    default_shape: ClassVar[Shape] = (2,)


@component("energy", "u1", build="gendsl.nn.energies:build_u1")
class U1(Energy):
    """Ring of two lobes: 1/2 ((|z| - 2)/0.4)^2 - log(exp(-1/2 ((z1 - 2)/0.6)^2) + exp(-1/2 ((z1 + 2)/0.6)^2)).

    Rezende and Mohamed 2015, table 1.
    """


@component("energy", "u2", build="gendsl.nn.energies:build_u2")
class U2(Energy):
    """Sine: 1/2 ((z2 - w1(z1))/0.4)^2, w1 = sin(pi z1 / 2), between -4 and 4.

    Rezende and Mohamed 2015, table 1. As printed it does not decay along z1 and has no normaliser; the paper's
    pictures end at 4, and so does this one: + 1/2 (max(0, |z1| - 4)/0.1)^2.
    """


@component("energy", "u3", build="gendsl.nn.energies:build_u3")
class U3(Energy):
    """Two sines: -log(exp(-1/2 ((z2 - w1)/0.35)^2) + exp(-1/2 ((z2 - w1 + w2)/0.35)^2)), between -4 and 4.

    w2 = 3 exp(-1/2 ((z1 - 1)/0.6)^2). Rezende and Mohamed 2015, table 1; ended at 4 as u2.
    """


@component("energy", "u4", build="gendsl.nn.energies:build_u4")
class U4(Energy):
    """Split sine: -log(exp(-1/2 ((z2 - w1)/0.4)^2) + exp(-1/2 ((z2 - w1 + w3)/0.35)^2)), between -4 and 4.

    w3 = 3 sigmoid((z1 - 1)/0.3). Rezende and Mohamed 2015, table 1; ended at 4 as u2.
    """
