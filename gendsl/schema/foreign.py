"""Words of other libraries, and what they are called in a spec.

Looked up only for a key or name that the language does not have at its place, before the nearest names are. Some words
mean something else in one part of a spec: `lr` beside a critic's loss is that critic's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Foreign:
    """A word of another library: its path here (x, z and d stand for names) and what to write."""

    ours: str
    advice: str


_Row = tuple[str, str, str]

_TRAINING: tuple[_Row, ...] = (
    ("lr learning_rate base_lr", "train.optim.lr", "write train: {optim: {lr: 0.001}}"),
    ("optimizer optimiser opt", "train.optim", "write train: {optim: {type: adam, lr: 0.001}}"),
    ("weight_decay l2", "train.optim.weight_decay", "write train: {optim: {weight_decay: 0.01}}"),
    ("betas adam_betas", "train.optim.betas", "write train: {optim: {betas: [0.9, 0.999]}}"),
    (
        "grad_clip gradient_clip gradient_clip_val clip_grad max_grad_norm clip_norm clipnorm",
        "train.optim.clip",
        "write train: {optim: {clip: 1.0}}",
    ),
    (
        "scheduler lr_scheduler lr_schedule warmup_steps",
        "train.optim.schedule",
        "write train: {optim: {schedule: {type: cosine, warmup: 100}}}",
    ),
    ("num_epochs n_epochs max_epochs nb_epochs", "train.epochs", "write train: {epochs: 10}"),
    (
        "num_steps n_steps max_steps num_iterations n_iter max_iter iterations total_steps train_steps",
        "train.steps",
        "write train: {steps: 2000}",
    ),
    ("batchsize bs train_batch_size minibatch_size", "train.batch_size", "write train: {batch_size: 128}"),
    ("trainer training fit training_config", "train", "training is described under train:"),
    (
        "early_stopping early_stop",
        "train.validate.patience",
        "write train: {validate: {every: 500, patience: 10}}",
    ),
    ("val_check_interval eval_every", "train.validate.every", "write train: {validate: {every: 500}}"),
    ("ema_decay use_ema polyak", "train.ema", "write train: {ema: 0.999}"),
    (
        "save_every checkpoint_every save_steps",
        "train.checkpoint.every",
        "write train: {checkpoint: {every: 500}}",
    ),
)

_RUNNING: tuple[_Row, ...] = (
    ("random_state random_seed manual_seed rng_seed", "run.seed", "write run: {seed: 0}, or give --seed"),
    ("accelerator gpus gpu cuda use_cuda use_gpu devices", "run.device", "write run: {device: cuda}"),
    ("fp16 bf16 amp mixed_precision dtype autocast", "run.precision", "write run: {precision: bfloat16}"),
    ("torch_compile jit", "run.compile", "write run: {compile: true}"),
    ("num_threads n_jobs num_workers", "run.threads", "write run: {threads: 1}"),
)

_SECTIONS: tuple[_Row, ...] = (
    (
        "generator gen netG likelihood generative px p_x_given_z",
        "decoder",
        "an observed variable's distribution is written under decoder:",
    ),
    ("discriminator critic disc netD", "adversary", "write adversary: {d: {sees: x, net: mlp}}"),
    (
        "guide posterior inference_model inference recognition recognition_model variational qz",
        "encoder",
        "the distribution of z given x is written under encoder:",
    ),
    (
        "base_dist base_distribution base latent_prior pz",
        "prior",
        "a latent's distribution is written under prior:",
    ),
    (
        "normalizing_flow normalising_flow flows bijector bijectors transport",
        "flow",
        "write flow: [...] inside a factor, or the section flow: for x as a bijection of z",
    ),
    (
        "transforms preprocessing preprocess",
        "data.bind.x.as",
        "write data: {bind: {x: {column: image, as: [unit]}}}",
    ),
    ("dataset dataloader datamodule data_source train_data", "data.source", "write data: {source: digits}"),
    ("model architecture", "decoder", "a spec has no model: section; write prior:, decoder: and encoder:"),
    ("modules networks backbone", "nets", "networks that are shared are written under nets:"),
    ("observed_variables observations", "variables.x.observed", "write variables: {x: {observed: always}}"),
    ("corrupt noise_channel", "corruption", "write corruption: {x_noisy: {given: x, dist: mask, rate: 0.5}}"),
    ("order autoregressive_order", "ordering", "write ordering: {x: {type: raster}}"),
    ("defaults include inherits inherit", "extends", "write extends: other.yaml"),
    ("constants vars params", "let", "write let: {width: 64} and use it as ${width}"),
    ("plugins plugin imports", "requires", "write requires: [name]"),
    ("metrics", "evaluate.metrics", "write evaluate: {metrics: [log_prob]}"),
    ("sampling", "sample", "samples are described under sample:"),
)

_OBJECTIVE: tuple[_Row, ...] = (
    (
        "loss_fn loss_function criterion losses",
        "objective",
        "the objective is derived; re-weight its terms under objective:",
    ),
    (
        "beta kld_weight kl_weight kl_coeff kl_beta kl_scale",
        "objective.kl.z.weight",
        "write objective: {kl: {z: {weight: 4}}}",
    ),
    (
        "anneal annealing kl_anneal kl_annealing kl_warmup beta_warmup",
        "objective.kl.z.warmup",
        "write objective: {kl: {z: {warmup: 500}}}",
    ),
    ("free_nats", "objective.kl.z.free_bits", "write objective: {kl: {z: {free_bits: 0.5}}}"),
    (
        "num_particles n_particles importance_samples num_importance_samples k_samples",
        "objective.bound.samples",
        "write objective: {bound: {type: iwae, samples: 50}}",
    ),
    ("num_samples n_samples", "sample.n", "write sample: {n: 64}; for evaluation, evaluate: {samples: 500}"),
    (
        "gp_weight lambda_gp gradient_penalty",
        "adversary.d.penalty",
        "write penalty: {type: gradient, weight: 10}",
    ),
    ("n_critic critic_iters disc_iters num_critic", "adversary.d.steps", "write adversary: {d: {steps: 5}}"),
    ("label_smoothing", "adversary.d.smoothing", "write adversary: {d: {smoothing: 0.1}}"),
)

_PARTS: tuple[_Row, ...] = (
    (
        "latent_dim latent_size z_dim zdim z_size n_latent nz n_latents num_latents latent_features",
        "prior.z.shape",
        "write prior: {z: {dist: normal, shape: [16]}}",
    ),
    ("latent latents", "prior", "latent variables are the keys of prior:"),
    (
        "context cond conditioning parents inputs",
        "decoder.x.given",
        "a factor's parents are written as given: z",
    ),
    ("conditional cond_on condition_on", "condition", "write condition: [y]"),
    (
        "hidden_features hidden_dims hidden_dim hidden_size hidden_sizes hidden_units units hidden_layers",
        "decoder.x.net.hidden",
        "write net: {type: mlp, hidden: [256, 256]}",
    ),
    (
        "num_layers n_layers depth num_hidden_layers",
        "decoder.x.net.layers",
        "write layers: 4, or list the widths of an mlp: hidden: [256, 256]",
    ),
    (
        "d_model embed_dim n_embd channels base_channels",
        "decoder.x.net.width",
        "write net: {type: transformer, width: 128}",
    ),
    ("n_head n_heads num_heads nhead", "decoder.x.net.heads", "write net: {type: transformer, heads: 4}"),
    ("network module", "decoder.x.net", "write net: mlp"),
    ("distribution dist_type family", "decoder.x.dist", "write dist: bernoulli"),
    (
        "num_flows n_flows flow_steps num_transforms flow_length",
        "encoder.z.flow[0].repeat",
        "write flow: [{type: planar, repeat: 16}]",
    ),
    ("num_bins n_bins", "prior.z.flow[0].bins", "write {type: coupling, transform: rq_spline, bins: 8}"),
    ("num_embeddings codebook_size n_codes", "encoder.c.dist.codes", "write dist: {type: vq, codes: 64}"),
    ("embedding_dim", "encoder.c.dist.dim", "write dist: {type: vq, codes: 64, dim: 16}"),
    (
        "covariance covariance_type full_covariance",
        "decoder.x.dist.scale",
        "write {dist: normal, scale: full}",
    ),
    ("num_classes n_classes num_categories", "prior.c.classes", "write {dist: categorical, classes: 10}"),
    (
        "num_pseudo_inputs pseudoinputs",
        "prior.z.dist.pseudo_inputs",
        "write dist: {type: vamp, pseudo_inputs: 100}",
    ),
    (
        "event_shape data_shape input_dim input_shape",
        "variables.x.shape",
        "shapes are inferred from the data; variables: {x: {shape: [64]}} checks one",
    ),
)

_NAMES: tuple[_Row, ...] = (
    ("gaussian diagonal_gaussian diag_normal multivariate_normal mvn", "normal", "write dist: normal"),
    ("dirac delta", "deterministic", "write dist: deterministic"),
    ("onehotcategorical one_hot_categorical softmax multinomial", "categorical", "write dist: categorical"),
    ("real_nvp realnvp affine_coupling", "coupling", "write {type: coupling, transform: affine}"),
    ("nsf neural_spline rational_quadratic", "coupling", "write {type: coupling, transform: rq_spline}"),
    ("maf masked_autoregressive", "masked_ar", "write {type: masked_ar}"),
    ("iaf inverse_autoregressive", "inverse_ar", "write {type: inverse_ar}"),
    ("batchnorm_flow act_norm", "actnorm", "write {type: actnorm}"),
    ("permutation_layer reverse_permutation", "permute", "write {type: permute}"),
    ("cnf ffjord neural_ode", "continuous", "write {type: continuous}"),
    ("dense feedforward fully_connected linear", "mlp", "write net: mlp"),
    ("cnn convnet conv conv2d", "conv_down", "write net: conv_down (or conv_up towards an image)"),
    ("deconv convtranspose conv_transpose", "conv_up", "write net: conv_up"),
    ("gpt bert decoder_only", "transformer", "write net: transformer"),
    ("stylegan stylegan2", "style", "write net: style"),
    ("vector_quantizer vector_quantized codebook", "vq", "write dist: vq"),
    ("vampprior vamp_prior", "vamp", "write dist: vamp"),
    ("wgan earth_mover", "wasserstein", "write loss: wasserstein"),
    ("wgan_gp wgan-gp", "wasserstein", "write loss: wasserstein, penalty: {type: gradient, weight: 10}"),
    ("lsgan mse_gan", "least_squares", "write loss: least_squares"),
    ("vanilla bce minimax", "saturating", "write loss: saturating, or non_saturating"),
    (
        "mnist fashion_mnist fashionmnist",
        "data.source",
        "write data: {source: idx, name: mnist} (or fashion_mnist)",
    ),
    ("moons make_moons", "data.source", "write data: {source: two_moons}"),
    ("spectral_norm sn", "spectral", "write penalty: spectral"),
    (
        "diffaugment diff_augment cutout translation color",
        "differentiable",
        "write augment: {type: differentiable, policy: [color, translation, cutout]}",
    ),
    ("ada", "adaptive", "write augment: {type: adaptive, target: 0.6}"),
)

_CRITICS_OPTIM = "write train: {players: {adversary: {d: {optim: {lr: 0.0002}}}}}"
_MODELS_OPTIM = "write train: {players: {model: {optim: {lr: 0.0002}}}}"
_BY_PLACE: tuple[tuple[tuple[str, ...], tuple[_Row, ...]], ...] = (
    (
        ("adversary",),
        (
            ("given inputs input compares judges on", "adversary.d.sees", "write sees: x, or sees: [x, z]"),
            (
                "optim optimizer optimiser opt lr learning_rate betas weight_decay ttur",
                "train.players.adversary.d.optim",
                _CRITICS_OPTIM,
            ),
            (
                "gamma lambda lambda_ coef coefficient strength",
                "adversary.d.penalty.weight",
                "write weight: 10",
            ),
            ("k K", "adversary.d.steps", "write adversary: {d: {steps: 5}}; unrolled, unroll: {steps: 5}"),
        ),
    ),
    (
        ("train", "players"),
        (
            ("discriminator critic disc netD D d", "train.players.adversary", _CRITICS_OPTIM),
            ("generator gen netG G g", "train.players.model", _MODELS_OPTIM),
        ),
    ),
    (
        ("train",),
        (
            (
                "lr_d d_lr disc_lr critic_lr discriminator_lr optim_d optimizer_d opt_d optimizerD",
                "train.players.adversary.d.optim",
                _CRITICS_OPTIM,
            ),
            (
                "lr_g g_lr gen_lr generator_lr optim_g optimizer_g opt_g optimizerG",
                "train.players.model.optim",
                _MODELS_OPTIM,
            ),
        ),
    ),
    (
        ("objective",),
        (
            (
                "r1 r2 gradient spectral penalty gp",
                "adversary.d.penalty",
                "write adversary: {d: {penalty: {type: r1, weight: 10}}}",
            ),
            (
                "gan gan_loss adv adv_loss adversarial adversarial_loss",
                "objective.adversary",
                "write objective: {adversary: {d: {weight: 0.1}}}",
            ),
        ),
    ),
)


def _table(rows: tuple[_Row, ...]) -> dict[str, Foreign]:
    return {word: Foreign(ours, advice) for words, ours, advice in rows for word in words.split()}


FOREIGN: Mapping[str, Foreign] = MappingProxyType(
    _table((*_TRAINING, *_RUNNING, *_SECTIONS, *_OBJECTIVE, *_PARTS, *_NAMES))
)
"""Words of Keras, Lightning, Pyro, pythae, nflows, zuko, Ludwig and others -> what they are called here."""

FOREIGN_AT: Mapping[tuple[str, ...], Mapping[str, Foreign]] = MappingProxyType(
    {place: MappingProxyType(_table(rows)) for place, rows in _BY_PLACE}
)
"""How the path of a map begins -> words that are something else there."""


def foreign_at(word: str, path: Sequence[str | int]) -> Foreign | None:
    """What a word is called here, if maps at this path have a meaning of their own for it; the longest beginning wins.

    The advice names the adversary that the map belongs to, where it belongs to one.
    """
    for length in (2, 1):
        found = FOREIGN_AT.get(tuple(str(e) for e in path[:length]), {}).get(word)
        if found is None:
            continue
        if path[0] == "adversary" and len(path) > 1:
            return Foreign(found.ours, found.advice.replace("{d:", f"{{{path[1]}:"))
        return found
    return None
