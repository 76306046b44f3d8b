"""Known mistakes of generative-modelling libraries, each a small replacement in one source file.

`old` occurs exactly once in `file`; `tests` are the tests that must fail once it is `new`. A mistake that
belongs to a part that is not built yet joins the list together with that part.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A mistake: what it is, the replacement that plants it, and the tests that kill it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BOUNDS = "tests/laws/test_bounds.py::"
WEIGHTED = BOUNDS + "test_weighted_terms_and_bound_add_up_to_minus_the_bound"
EXACT_POSTERIOR = BOUNDS + "test_with_the_exact_posterior_every_weight_is_log_p"
LAYERS = "tests/laws/test_flow_layers.py::"
TRANSFORMS = "tests/laws/test_transforms.py::"
NETWORKS = "tests/laws/test_networks.py::"
PLANAR = "tests/kernels/test_planar_reference.py::"
VERIFY = "tests/runtime/test_verify.py::"
DEQUANTIZED = "tests/laws/test_dequantizers.py::"
PREPARED = "tests/data/test_preprocessing.py::"
REACHED = "tests/compiler/test_training_terms.py::test_gradients_reach_exactly_the_factors_that_the_rules_say"
TRAIN = "tests/runtime/test_train.py::"
IMPUTE = "tests/laws/test_impute.py::"
ENERGIES = "tests/laws/test_energies.py::"
ESTIMATORS = "tests/laws/test_estimators.py::"
CHAINS = "tests/laws/test_posterior_chains.py::"
STARTS = "tests/runtime/test_starts.py::"
RESUME = "tests/runtime/test_resume.py::"

OBJECTIVE = (
    Mutant(
        "IWAE's value lacks log k",
        "gendsl/nn/bounds.py",
        "return total - math.log(samples)",
        "return total",
        (EXACT_POSTERIOR,),
    ),
    Mutant(
        "IWAE's value is the weighted mean of log w, up to log k above the bound",
        "gendsl/nn/objective/likelihoods.py",
        "value = (weights * log_weights).sum(0).mean() / power",
        "value = 0.0 * (weights * log_weights).sum(0).mean() / power",
        (WEIGHTED,),
    ),
    Mutant(
        "normalised importance weights are inverted",
        "gendsl/nn/objective/evaluation.py",
        "torch.softmax(self.bound.power * self.log_w, 0)",
        "torch.softmax(-self.bound.power * self.log_w, 0)",
        (WEIGHTED,),
    ),
    Mutant(
        "importance weights are q / p",
        "gendsl/nn/inference.py",
        "log_p = log_p - self.grid(self.log_q[name])",
        "log_p = log_p + self.grid(self.log_q[name])",
        (EXACT_POSTERIOR,),
    ),
    Mutant(
        "the gradient flows through the normalised weights",
        "gendsl/nn/objective/likelihoods.py",
        "weights, power = e.normalised, e.bound.power",
        "weights, power = e.normalised.detach(), e.bound.power",
        (WEIGHTED,),
    ),
    Mutant(
        "the negative log-likelihood has lost its sign",
        "gendsl/nn/objective/evaluation.py",
        "value = -trace.contributions[subject]",
        "value = trace.contributions[subject]",
        (BOUNDS + "test_the_elbos_terms_by_hand", BOUNDS + "test_a_mixture_is_summed_exactly"),
    ),
    Mutant(
        "the KL weight is ignored when k > 1",
        "gendsl/nn/objective/evaluation.py",
        "total = total - weight_at(term, self.step) * self.rowwise(term)[0]",
        "total = total - self.rowwise(term)[0]",
        (WEIGHTED,),
    ),
    Mutant(
        "the closed-form KL has the factor 0.499",
        "gendsl/nn/inference.py",
        "return kl_divergence(own, other)",
        "return 0.998 * kl_divergence(own, other)",
        (BOUNDS + "test_the_closed_form_kl_completes_log_p_and_a_factor_of_0499_would_show",),
    ),
    Mutant(
        "the KL is taken in closed form although a parent in p follows from the latent in q",
        "compiler/derive/divergence.py",
        "elif below:",
        "elif not below and below:",
        (
            BOUNDS + "test_two_levels_take_the_sampled_route",
            BOUNDS + "test_two_levels_loss_is_minus_log_p_and_the_forbidden_closed_form_is_not",
        ),
    ),
    Mutant(
        "a score-function gradient has the wrong sign",
        "gendsl/nn/estimators.py",
        "return value + (score - score.detach()) * (value - others).detach()",
        "return value - (score - score.detach()) * (value - others).detach()",
        (ESTIMATORS + "test_score_function_gradients_are_those_of_enumeration",),
    ),
    Mutant(
        "a score function leaves out draws that a term is downstream of",
        "compiler/passes/players.py",
        'return tuple(name for name in names if f"encoder.{name}" in reached)',
        "return tuple(name for name in names if name == term.subject)",
        (ESTIMATORS + "test_score_function_gradients_are_those_of_enumeration",),
    ),
    Mutant(
        "codes to which a prior is fitted are not cut",
        "gendsl/nn/latents.py",
        "return self.values[name].detach() if fitted else self.values[name]",
        "return self.values[name]",
        (REACHED + "[autoencoder_second_stage]",),
    ),
)

DATA = (
    Mutant(
        "the density of a learned dequantizer is left out of the bound",
        "gendsl/nn/dequantizer.py",
        "return y, cells.log_det + log_det + slope",
        "return y, cells.log_det + log_det",
        (DEQUANTIZED + "test_minus_the_loss_is_a_bound_on_the_probability_of_the_column",),
    ),
    Mutant(
        "bits per dimension divide by 256 levels whatever the data have",
        "gendsl/nn/steps.py",
        "torch.full_like(x, -math.log(self.spacing * self.levels))",
        "torch.full_like(x, -math.log(self.spacing * 256))",
        (PREPARED + "test_grey_values_of_uniform_density_take_log2_17_bits",),
    ),
    Mutant(
        "bits per dimension forget the scaling to [0, 1]",
        "gendsl/nn/steps.py",
        "torch.full_like(x, -math.log(self.width))",
        "torch.zeros_like(x)",
        (
            PREPARED + "test_log_det_is_that_of_the_jacobian",
            PREPARED + "test_bits_of_a_real_column_do_not_depend_on_the_steps",
        ),
    ),
    Mutant(
        "the log-Jacobian of the preprocessing has the wrong sign in bits per dimension",
        "gendsl/nn/preprocessing.py",
        "return -(log_prob + log_det)",
        "return -(log_prob - log_det)",
        (PREPARED + "test_bits_of_a_real_column_do_not_depend_on_the_steps",),
    ),
    Mutant(
        "a Bernoulli loss on grey values passes for log p",
        "compiler/passes/supports.py",
        'if factor.side == "p" and not inner.within(own):',
        'if factor.side == "p" and not inner.within(own) and factor.dist.tag != "bernoulli":',
        (
            "tests/compiler/test_bad_specs.py::test_bad_spec[shapes/bernoulli_on_grey_values]",
            "tests/compiler/test_bad_specs.py::test_bad_spec[shapes/bernoulli_on_integers]",
        ),
    ),
    Mutant(
        "samples are spread 2 % too wide",
        "gendsl/nn/factor.py",
        "drawn = self.distribution(temperature)\n        value = drawn.rsample()",
        "drawn = self.distribution(1.02 * temperature)\n        value = drawn.rsample()",
        (VERIFY + "test_sound_models_pass[vae]",),
    ),
)

DRAWS = (
    Mutant(
        "sampling ignores what is observed later in the order",
        "gendsl/nn/imputation.py",
        "return ~(turn[:, 1:] & ~turn[:, :-1]).any(1)",
        "return torch.ones_like(turn[:, 0])",
        (IMPUTE + "test_exact_draws_follow_the_conditional_of_every_mask",),
    ),
    Mutant(
        "completions are drawn without their importance weights",
        "gendsl/nn/imputation.py",
        "chosen = torch.multinomial(torch.softmax(log_w, 0).T, 1)[:, 0]",
        "chosen = torch.multinomial(torch.softmax(0 * log_w, 0).T, 1)[:, 0]",
        (IMPUTE + "test_weighed_draws_follow_the_conditional",),
    ),
    Mutant(
        "a Langevin step has sqrt(2 eps) noise beside eps / 2 of the gradient",
        "gendsl/nn/langevin.py",
        "math.sqrt(eps * spec.temperature) * torch.randn_like(x)",
        "math.sqrt(2 * eps * spec.temperature) * torch.randn_like(x)",
        (ENERGIES + "test_langevin_has_the_stationary_variance_of_its_discretisation",),
    ),
    Mutant(
        "a Langevin step's noise is scaled by eps",
        "gendsl/nn/langevin.py",
        "math.sqrt(eps * spec.temperature) * torch.randn_like(x)",
        "eps * spec.temperature * torch.randn_like(x)",
        (ENERGIES + "test_langevin_has_the_stationary_variance_of_its_discretisation",),
    ),
    Mutant(
        "the negative phase of an energy has lost its sign",
        "gendsl/nn/objective/energies.py",
        "on_data - below",
        "on_data + below",
        (ENERGIES + "test_the_contrast_has_the_gradient_of_the_negative_log_likelihood",),
    ),
)

CHAINED = (
    Mutant(
        "one normaliser for every value of the conditions",
        "gendsl/nn/tilt.py",
        "return torch.stack(found)[which]",
        "return found[0]",
        (ENERGIES + "test_log_prob_under_conditions_has_a_normaliser_for_each_of_their_values",),
    ),
    Mutant(
        "a chain that goes on forgets the condition that it began with",
        "gendsl/nn/energies.py",
        "buffer[rows] = given[name].to(buffer.dtype)",
        "pass",
        (ENERGIES + "test_samples_under_conditions_follow_the_density_of_their_values",),
    ),
    Mutant(
        "posterior chains leave the prior's energy out",
        "gendsl/nn/posterior.py",
        "return -log_p + tilt.energy(model, self.name)(*tilt.read(trace, self.name)) if tilted else -log_p",
        "return -log_p",
        (CHAINS + "test_the_potential_is_minus_log_p",),
    ),
    Mutant(
        "posterior chains climb the likelihood alone",
        "gendsl/nn/posterior.py",
        "only=latents | data)",
        "only=data)",
        (CHAINS + "test_the_potential_is_minus_log_p",),
    ),
    Mutant(
        "what a later stage fits starts from the first stage's data",
        "gendsl/nn/starting.py",
        "return self.training and self.open and not bool(self.started)",
        "return self.training and not bool(self.started)",
        (STARTS + "test_actnorm_standardises_the_codes_of_a_trained_encoder",),
    ),
)

FLOWS = (
    Mutant(
        "planar without the constraint w.u > -1",
        "gendsl/nn/transforms/planar.py",
        "return u + correction * w / norm",
        "return u",
        (TRANSFORMS + "test_planar_is_invertible_at_extreme_parameters",),
    ),
    Mutant(
        "planar's constraint divides by |w| instead of its square",
        "gendsl/nn/transforms/planar.py",
        "norm = (w * w).sum(-1, keepdim=True).clamp_min",
        "norm = (w * w).sum(-1, keepdim=True).sqrt().clamp_min",
        (TRANSFORMS + "test_planar_constraint_is_about_the_product_whatever_the_length_of_w",),
    ),
    Mutant(
        "planar takes log(|det| + eps)",
        "gendsl/kernels/planar_cpu.py",
        "return torch.log1p(torch.maximum(x, -2 - x)).sum(-1)",
        "return torch.log((1 + x).abs() + 1e-8).sum(-1)",
        (PLANAR + "test_log_det_is_the_jacobians",),
    ),
    Mutant(
        "an affine layer's log-determinant has the wrong sign",
        "gendsl/nn/transforms/entries.py",
        "return value * torch.exp(log_scale) + shift, log_scale",
        "return value * torch.exp(log_scale) + shift, -log_scale",
        (LAYERS + "test_log_determinant_is_the_jacobians",),
    ),
    Mutant(
        "an affine layer's log-determinant has a factor 1/2",
        "gendsl/nn/transforms/entries.py",
        "return value * torch.exp(log_scale) + shift, log_scale",
        "return value * torch.exp(log_scale) + shift, 0.5 * log_scale",
        (LAYERS + "test_log_determinant_is_the_jacobians",),
    ),
    Mutant(
        "a spline clamps what lies outside its knots",
        "gendsl/nn/transforms/spline.py",
        "return torch.where(inside, image, value), torch.where",
        "return image, torch.where",
        (LAYERS + "test_a_spline_starts_at_the_identity_and_is_right_at_its_edges",),
    ),
    Mutant(
        "the upper end of a spline falls into a bin after the last",
        "gendsl/nn/transforms/spline.py",
        "(point.unsqueeze(-1) >= start[..., 1:-1])",
        "(point.unsqueeze(-1) >= start[..., 1:])",
        (LAYERS + "test_a_spline_starts_at_the_identity_and_is_right_at_its_edges",),
    ),
    Mutant(
        "a coupling's conditioner sees what it transforms",
        "gendsl/nn/transforms/coupling.py",
        '"value": (value * self.mask).reshape',
        '"value": value.reshape',
        (LAYERS + "test_shapes_and_round_trip", LAYERS + "test_log_determinant_is_the_jacobians"),
    ),
    Mutant(
        "an inverse is off by a scale of 1.001",
        "gendsl/nn/transforms/entries.py",
        "return (value - shift) * torch.exp(-log_scale), -log_scale",
        "return (value - shift) * torch.exp(-log_scale) * 1.001, -log_scale",
        (LAYERS + "test_shapes_and_round_trip",),
    ),
    Mutant(
        "a masked network lets an entry see itself: >= for >",
        "gendsl/nn/networks/made.py",
        "after[:, None] > before[None, :] if before is entering",
        "after[:, None] >= before[None, :] if before is entering",
        (NETWORKS + "test_an_entry_depends_on_all_the_entries_before_it_and_on_no_other",),
    ),
)

ADVERSARIES = (
    Mutant(
        "the generator's loss has a gradient in the critic",
        "gendsl/nn/freezing.py",
        "parameter.requires_grad_(False)",
        "parameter.requires_grad_(True)",
        (REACHED + "[gan]", VERIFY + "test_sound_models_pass[gan]"),
    ),
    Mutant(
        "the critic's loss has a gradient in the generator",
        "gendsl/nn/objective/tuples.py",
        "with torch.no_grad():\n            e.detached[critic.name]",
        "with torch.enable_grad():\n            e.detached[critic.name]",
        (REACHED + "[gan]", VERIFY + "test_sound_models_pass[gan]"),
    ),
)

RUNS = (
    Mutant(
        "validation leaves the KL out",
        "runtime/train.py",
        'loss = self.model.loss("model", batch, self.step, player.terms, training=False)',
        'loss = self.model.loss("model", batch, self.step, player.terms[:1], training=False)',
        (TRAIN + "test_validation_reports_the_objective_that_is_trained",),
    ),
    Mutant(
        "validation weighs the terms as at the first step",
        "runtime/train.py",
        'loss = self.model.loss("model", batch, self.step, player.terms, training=False)',
        'loss = self.model.loss("model", batch, 0, player.terms, training=False)',
        (TRAIN + "test_validation_reports_the_objective_that_is_trained",),
    ),
    Mutant(
        "training goes on from the averaged weights after validation",
        "runtime/optimisers.py",
        "for (parameter, _), value in zip(pairs, own, strict=True):",
        "for (parameter, _), value in zip(pairs[:0], own[:0], strict=True):",
        ("tests/runtime/test_optimisers.py::test_swapped_evaluates_the_average_and_puts_back",),
    ),
    Mutant(
        "the best weights are kept without their average",
        "runtime/state.py",
        "with self.averaged():\n                self.best",
        "if True:\n                self.best",
        (TRAIN + "test_the_best_weights_are_averaged_ones",),
    ),
    Mutant(
        "the average follows the wrong weights",
        "runtime/optimisers.py",
        "[p.detach() for p in self.named.values()], None)",
        "[p.detach().roll(1, 0) for p in self.named.values()], None)",
        ("tests/runtime/test_optimisers.py::test_an_average_follows_its_formula",),
    ),
    Mutant(
        "a resume forgets the optimiser's state",
        "runtime/state.py",
        'optimiser.restore(f"optim/{i}/{name}", found.tensors)',
        'optimiser.tensors(f"optim/{i}/{name}")',
        (RESUME + "test_shipped_specs[vae_planar_flow]",),
    ),
    Mutant(
        "a run goes on with other data",
        "runtime/run.py",
        "        if other is not None:\n            raise DataError(",
        "        if other is not None and False:\n            raise DataError(",
        ("tests/runtime/test_data_record.py::test_other_values_are_not_gone_on_with",),
    ),
)

MUTANTS = (*OBJECTIVE, *DATA, *DRAWS, *CHAINED, *FLOWS, *ADVERSARIES, *RUNS)
