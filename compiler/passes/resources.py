"""Resources: parameters (exact), memory and work of training (estimates), and threads (a rule of the spec
alone).

Calibrated on peaks of resident memory measured on the CPU (peak RSS of the whole process): a VAE, IWAE,
planar posterior, PixelCNN, RealNVP and GAN, small ones and ones of a gigabyte, agree within a factor of 1.5.
"""

from __future__ import annotations

from gendsl.compiler.derive.discrete import states
from gendsl.compiler.derive.energies import Way, negatives, way
from gendsl.compiler.derive.posterior_chains import blanket, spec_of
from gendsl.compiler.derive.sampling import draws_of
from gendsl.compiler.graph import Critic, Factor, Graph, How, Resources, Role
from gendsl.compiler.paths import DRAWN, above
from gendsl.errors import SpecError
from gendsl.schema.components.optim import OptimSpec
from gendsl.schema.facts import numel

PROCESS = 480 * 2**20
"""Resident bytes of a process that has taken one training step of a tiny model."""

NUMBER = 4
"""Bytes of a number."""

KEPT = 2
"""What the backward pass needs of each activation: its value, and its gradient for a while."""

CHUNK_ROWS = 16384
"""Rows that one pass of importance sampling holds at most."""

EVALUATED_ROWS = 512
"""Rows of data that are scored at once."""

ONE_PASS = {How.BASE, How.SUMMED, How.ENUMERATED, How.SAMPLED_ONLY, How.INFORMATION, How.QUANTISED}
"""Routes that need no importance samples."""

MANY_FLOPS = 50_000_000_000
"""A training step with more work than this uses two threads.

Below it a second thread gains little on an idle machine and loses much on a busy one: threads that wait for each other
spin, and steps of 5 GFLOP took twenty times as long.
"""


def resources(graph: Graph) -> Graph:
    """Parameters, memory and work of one training step."""
    parts = [f.bill for f in graph.factors.values()] + [c.bill for c in graph.critics.values()]
    parameters = sum(b.parameters for b in parts)
    flops = _work(graph)
    memory = PROCESS + _state(graph) + max(_training(graph), _evaluation(graph)) + _data(graph)
    threads = graph.spec.run.threads
    if threads == "auto":
        threads = 2 if flops > MANY_FLOPS else 1
    return graph.update(resources=Resources(parameters, memory, flops, threads))


def _rows(graph: Graph, factor: Factor) -> int:
    """How many rows a factor's network sees for one row of data: states of finite latents times draws of
    others.

    Values are computed on the fewest rows that their parents need; whatever reads a finite latent needs them
    all.
    """
    reads = {*factor.parents, *above(graph, "q" if factor.side == "q" else "p", factor.head)}
    hows = {n: r.how for n, r in graph.routes.items()}
    finite = [n for n, how in hows.items() if how in (How.ENUMERATED, How.SUMMED)]
    draws = draws_of(graph) if any(how in DRAWN for how in hows.values()) else 1
    walked = [o.walkback or 0 for o in graph.spec.objective.reconstruction.values()]
    rows = 1 + max(walked, default=0)
    if reads & set(finite):
        for name in finite:
            rows *= states(graph, name)
        return rows * draws
    own = hows.get(factor.head) in DRAWN and factor.side == "p" and bool(factor.parents)
    return draws if own or any(hows.get(n) in DRAWN for n in reads) else rows


def _training(graph: Graph) -> int:
    """Bytes of activations and their gradients in one step."""
    batch = graph.spec.train.batch_size
    kept = sum(_rows(graph, f) * f.bill.activations for f in graph.factors.values())
    if graph.critics:
        kept += sum(f.bill.activations for f in graph.side("p"))
        kept += sum(2 * c.bill.activations for c in graph.critics.values())
    return batch * kept * NUMBER * KEPT


def _evaluation(graph: Graph) -> int:
    """Bytes of one pass of importance sampling, which keeps nothing for a backward pass."""
    if {r.how for r in graph.routes.values()} <= ONE_PASS:
        return 0
    rows = min(CHUNK_ROWS, EVALUATED_ROWS * graph.spec.evaluate.samples)
    held = 0
    for factor in graph.factors.values():
        drawn = any(n in graph.routes for n in factor.parents)
        many = factor.side == "p" or bool(factor.flow) or drawn
        held += (rows if many else EVALUATED_ROWS) * factor.bill.activations
    return held * NUMBER


def _state(graph: Graph) -> int:
    """Bytes of weights, gradients, a temporary, the optimisers' state and the averaged weights."""
    train = graph.spec.train
    model = train.players.model.optim or train.optim
    copies = (
        3 + (train.ema is not None) + (train.validate_ is not None and train.validate_.patience is not None)
    )
    total = sum(f.bill.parameters * (copies + model.state_copies()) for f in graph.factors.values())
    for critic in graph.critics.values():
        total += critic.bill.parameters * (copies + _optim(graph, critic).state_copies())
    return NUMBER * total


def _optim(graph: Graph, critic: Critic) -> OptimSpec:
    options = graph.spec.train.players.adversary.get(critic.name)
    return options.optim if options is not None and options.optim is not None else graph.spec.train.optim


def _work(graph: Graph) -> int:
    """Operations of one step of every player: a backward pass costs twice a forward pass."""
    batch = graph.spec.train.batch_size
    work = 3 * sum(_rows(graph, f) * f.bill.flops for f in graph.factors.values())
    fakes = sum(f.bill.flops for f in graph.side("p"))
    for factor in graph.side("e"):
        if way(graph, factor.head) is Way.NEGATIVES:
            work += 3 * negatives(graph, factor.head).steps * factor.bill.flops
    for factor in graph.side("q"):
        spec = spec_of(factor)
        if spec is not None:
            work += 3 * spec.steps * sum(_rows(graph, f) * f.bill.flops for f in _beside(graph, factor.head))
    for critic in graph.critics.values():
        differentiated = sum(3 for p in critic.spec.penalty if p.differentiates)
        work += 3 * fakes + 3 * 2 * critic.bill.flops
        work += critic.spec.steps * (fakes + (3 * 2 + 2 * differentiated) * critic.bill.flops)
    return batch * work


def _beside(graph: Graph, name: str) -> list[Factor]:
    """The factors that a chain on p evaluates at every step."""
    heads = set().union(*blanket(graph, name))
    return [f for f in graph.factors.values() if f.side in ("p", "e") and f.head in heads]


def _data(graph: Graph) -> int:
    """Resident bytes of the columns that are bound, as they are read and as they are kept."""
    if graph.source is None:
        return 0
    bound = [v for v in graph.variables.values() if v.column is not None and v.role is not Role.LATENT]
    shapes = [v.column.shape for v in bound if v.column is not None]
    return sum(2 * 8 * numel(shape) for shape in shapes) * graph.source.rows


def refuse_too_large(graph: Graph, available: int) -> None:
    """Raises SpecError where training would need more memory than there is; nothing has been allocated
    yet.
    """
    need = graph.resources.memory
    if need <= available:
        return
    biggest = max(graph.factors.values(), key=lambda f: f.bill.parameters + f.bill.activations)
    raise SpecError(
        [
            graph.spec.diagnostic(
                "GD601",
                f"training needs about {need / 2**30:.1f} GiB, and this machine has {available / 2**30:.1f} "
                "GiB",
                biggest.path,
                on="key",
                help=f"{biggest.name} is the largest part ({biggest.bill.parameters:,} parameters): make it "
                "smaller, "
                f"or train.batch_size ({graph.spec.train.batch_size})",
            )
        ]
    )
