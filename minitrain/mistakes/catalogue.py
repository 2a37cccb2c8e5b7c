"""The bug zoo: mistakes that people make in a backward pass, an optimizer or a gradient check, each planted once.

A specimen is one function that stands in for a function of the library, with one thing wrong in it. The gradients are
in zoo_gradients.py, the optimizers in zoo_optimizers.py; here is the list of them, with what each stands in for and
which mistake it is, by the name that the autopsy has for it. zoo_table.py examines them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from minitrain.mistakes import gradients as gradients
from minitrain.mistakes import optimizers as optimizers


@dataclasses.dataclass(frozen=True)
class Specimen:
    """One mistake of the zoo.

    name: with dashes. of: what function stands in for ("ops.ReLU.backward", "optim.SGD.update", "tape.walk_back"), or
    "" for a wrong check, a function without arguments that returns an analytic and a numeric gradient.
    mistake: the autopsy's name for it. formula: the wrong one. explanation: what is wrong, and what comes of it.
    """

    name: str
    of: str
    function: Callable[..., Any]
    mistake: str
    formula: str
    explanation: str


def _specimen(of: str, mistake: str, function: Callable[..., Any]) -> Specimen:
    formula, _, explanation = inspect.cleandoc(function.__doc__ or "").partition("\n")
    return Specimen(function.__name__.replace("_", "-"), of, function, mistake, formula, " ".join(explanation.split()))


SPECIMENS: dict[str, Specimen] = {
    specimen.name: specimen
    for specimen in (
        _specimen("ops.Add.backward", "sum-missing", gradients.add_without_unbroadcast),
        _specimen("ops.Add.backward", "sum-missing", gradients.add_of_the_first_copy_only),
        _specimen("ops.Sub.backward", "sign", gradients.sub_sign_forgotten),
        _specimen("ops.Mul.forward", "operand", gradients.mul_saves_the_wrong_way_round),
        _specimen("ops.Mul.backward", "grad-output-missing", gradients.mul_without_the_chain_rule),
        _specimen("ops.Mul.backward", "sum-missing", gradients.mul_without_unbroadcast),
        _specimen("ops.Div.backward", "sign", gradients.div_sign_forgotten),
        _specimen("ops.Div.backward", "operand", gradients.div_square_forgotten),
        _specimen("ops.Div.backward", "operand", gradients.div_multiplies),
        _specimen("ops.Div.backward", "inputs-swapped", gradients.div_returns_in_the_wrong_order),
        _specimen("ops.Pow.backward", "operand", gradients.pow_exponent_not_lowered),
        _specimen("ops.Pow.backward", "operand", gradients.pow_factor_forgotten),
        _specimen("ops.Pow.backward", "not-finite", gradients.pow_of_zero),
        _specimen("ops.Pow.backward", "at-input", gradients.pow_base_for_the_power),
        _specimen("ops.Neg.backward", "grad-output-missing", gradients.neg_without_the_chain_rule),
        _specimen("ops.Exp.backward", "derivative-missing", gradients.exp_passes_on),
        _specimen("ops.Exp.backward", "grad-output-missing", gradients.exp_without_the_chain_rule),
        _specimen("ops.Exp.backward", "at-output", gradients.exp_at_the_output),
        _specimen("ops.Exp.forward", "at-input", gradients.exp_saves_its_input),
        _specimen("ops.Log.backward", "operand", gradients.log_multiplies),
        _specimen("ops.Log.backward", "at-output", gradients.log_at_the_output),
        _specimen("ops.Log.backward", "eps", gradients.log_with_an_eps),
        _specimen("ops.Log.backward", "shifted", gradients.log_with_an_eps_outside),
        _specimen("ops.Log.backward", "clipped", gradients.log_clipped),
        _specimen("ops.Sqrt.backward", "factor", gradients.sqrt_half_forgotten),
        _specimen("ops.Sqrt.backward", "operand", gradients.sqrt_without_parentheses),
        _specimen("ops.Sqrt.forward", "at-input", gradients.sqrt_saves_its_input),
        _specimen("ops.Abs.backward", "derivative-missing", gradients.abs_passes_on),
        _specimen("ops.Tanh.backward", "at-output", gradients.tanh_at_the_output),
        _specimen("ops.Tanh.forward", "at-input", gradients.tanh_saves_its_input),
        _specimen("ops.Sigmoid.backward", "at-output", gradients.sigmoid_at_the_output),
        _specimen("ops.Sigmoid.backward", "operand", gradients.sigmoid_factor_forgotten),
        _specimen("ops.Sigmoid.backward", "sign", gradients.sigmoid_sign),
        _specimen("ops.Sigmoid.forward", "at-input", gradients.sigmoid_saves_its_input),
        _specimen("ops.ReLU.backward", "mask-inverted", gradients.relu_mask_inverted),
        _specimen("ops.ReLU.backward", "mask-missing", gradients.relu_mask_forgotten),
        _specimen("ops.ReLU.backward", "mask-wrong-side", gradients.relu_mask_of_the_gradient),
        _specimen("ops.ReLU.backward", "operand", gradients.relu_multiplies_by_y),
        _specimen("ops.ReLU.backward", "grad-output-missing", gradients.relu_without_the_chain_rule),
        _specimen("ops.Clamp.backward", "mask-inverted", gradients.clamp_mask_inverted),
        _specimen("ops.Clamp.backward", "mask-missing", gradients.clamp_mask_forgotten),
        _specimen("ops.Maximum.backward", "mask-inverted", gradients.maximum_taken_from_the_smaller),
        _specimen("ops.Minimum.backward", "mask-missing", gradients.minimum_to_both),
        _specimen("ops.Where.backward", "mask-inverted", gradients.where_branches_exchanged),
        _specimen("ops.Where.backward", "mask-missing", gradients.where_condition_forgotten),
        _specimen("ops.Sum.backward", "mean-twice", gradients.sum_as_if_a_mean),
        _specimen("ops.Sum.backward", "grad-output-missing", gradients.sum_without_the_chain_rule),
        _specimen("ops.Mean.backward", "mean-missing", gradients.mean_as_if_a_sum),
        _specimen("ops.Mean.backward", "mean-twice", gradients.mean_of_all_entries),
        _specimen("ops.Mean.backward", "mean-twice", gradients.mean_divided_twice),
        _specimen("ops.Amax.backward", "mask-missing", gradients.amax_to_all),
        _specimen("ops.Reshape.backward", "wrong-place", gradients.reshape_in_fortran_order),
        _specimen("ops.Flatten.backward", "wrong-place", gradients.flatten_from_the_end),
        _specimen("ops.Transpose.backward", "wrong-place", gradients.transpose_reshapes),
        _specimen("ops.Transpose.backward", "transposed", gradients.transpose_not_undone),
        _specimen("ops.Permute.backward", "wrong-place", gradients.permute_the_same_way_again),
        _specimen("ops.Expand.backward", "sum-missing", gradients.expand_of_the_first_copy_only),
        _specimen("ops.Expand.backward", "mean-twice", gradients.expand_takes_the_mean),
        _specimen("ops.Index.backward", "path-forgotten", gradients.index_overwrites),
        _specimen("ops.Index.backward", "detached", gradients.index_writes_into_a_copy),
        _specimen("ops.IndexPut.backward", "mask-missing", gradients.index_put_keeps_what_was_overwritten),
        _specimen("ops.Cat.backward", "inputs-swapped", gradients.cat_in_reverse),
        _specimen("ops.Clone.backward", "detached", gradients.clone_detaches),
        _specimen("ops.ToCopy.backward", "detached", gradients.to_copy_detaches),
        _specimen("ops.Matmul.backward", "transposed", gradients.matmul_the_other_way_round),
        _specimen("ops.Matmul.backward", "grad-output-missing", gradients.matmul_without_the_chain_rule),
        _specimen("ops.Matmul.backward", "sum-missing", gradients.matmul_of_the_first_matrix_only),
        _specimen("ops.Linear.backward", "transposed", gradients.linear_weight_transposed),
        _specimen("ops.Linear.backward", "sign", gradients.linear_weight_sign),
        _specimen("ops.Linear.backward", "mean-twice", gradients.linear_weight_averaged),
        _specimen("ops.Linear.backward", "sum-missing", gradients.linear_weight_of_the_last_sample),
        _specimen("ops.Linear.backward", "detached", gradients.linear_weight_detached),
        _specimen("ops.Linear.backward", "rows-missing", gradients.linear_input_rows_missing),
        _specimen("ops.Linear.backward", "sum-missing", gradients.linear_bias_not_summed),
        _specimen("ops.Linear.backward", "sum-wrong-axis", gradients.linear_bias_summed_over_the_outputs),
        _specimen("ops.Linear.backward", "mean-twice", gradients.linear_bias_averaged),
        _specimen("ops.Linear.backward", "detached", gradients.linear_bias_forgotten),
        _specimen("ops.Softmax.backward", "off-diagonal-missing", gradients.softmax_diagonal_only),
        _specimen("ops.Softmax.backward", "off-diagonal-missing", gradients.softmax_as_if_an_exp),
        _specimen("ops.Softmax.backward", "sum-wrong-axis", gradients.softmax_along_the_wrong_axis),
        _specimen("ops.Softmax.backward", "sign", gradients.softmax_sign),
        _specimen("ops.Softmax.forward", "at-input", gradients.softmax_saves_its_input),
        _specimen("ops.LogSoftmax.backward", "off-diagonal-missing", gradients.log_softmax_diagonal_only),
        _specimen("ops.LogSoftmax.backward", "sum-wrong-axis", gradients.log_softmax_along_the_wrong_axis),
        _specimen("ops.LogSoftmax.backward", "operand", gradients.log_softmax_exp_forgotten),
        _specimen("ops.LogSoftmax.backward", "derivative-missing", gradients.log_softmax_passes_on),
        _specimen("ops.LogSoftmax.backward", "one-hot-missing", gradients.log_softmax_one_hot_forgotten),
        _specimen("ops.LogSoftmax.forward", "at-input", gradients.log_softmax_saves_its_input),
        _specimen("ops.NLLLoss.backward", "mean-missing", gradients.nll_mean_forgotten),
        _specimen("ops.NLLLoss.backward", "mean-twice", gradients.nll_mean_over_the_classes),
        _specimen("ops.NLLLoss.backward", "sign", gradients.nll_sign),
        _specimen("ops.NLLLoss.backward", "wrong-place", gradients.nll_counts_classes_from_one),
        _specimen("ops.NLLLoss.backward", "rows-missing", gradients.nll_rows_missing),
        _specimen("ops.MSELoss.backward", "factor", gradients.mse_two_forgotten),
        _specimen("ops.MSELoss.backward", "mean-missing", gradients.mse_mean_forgotten),
        _specimen("ops.MSELoss.backward", "mean-missing", gradients.mse_mean_over_the_rows),
        _specimen("ops.MSELoss.backward", "averaged", gradients.mse_of_the_mean_difference),
        _specimen("ops.MSELoss.backward", "grad-output-missing", gradients.mse_without_the_chain_rule),
        _specimen("ops.MSELoss.backward", "sign", gradients.mse_target_sign),
        _specimen("ops.MSELoss.backward", "detached", gradients.mse_target_detached),
        _specimen("tape.walk_back", "path-forgotten", gradients.walk_back_overwrites),
        _specimen("tape.walk_back", "path-forgotten", gradients.walk_back_visits_too_early),
        _specimen("tape.walk_back", "grad-output-missing", gradients.walk_back_starts_from_one),
        _specimen("tape.walk_back", "inputs-swapped", gradients.walk_back_hands_out_in_reverse),
        _specimen("optim.Optimizer.zero_grad", "gradients-not-zeroed", optimizers.zero_grad_does_nothing),
        _specimen("optim.Optimizer.zero_grad", "gradients-not-zeroed", optimizers.zero_grad_returns_too_early),
        _specimen("optim.Optimizer.step", "late-gradient", optimizers.step_one_late),
        _specimen("optim.Optimizer.step", "not-updated", optimizers.step_returns_too_early),
        _specimen("optim.Optimizer.step", "lr-not-followed", optimizers.step_ignores_the_groups),
        _specimen("optim.SGD.update", "uphill", optimizers.sgd_uphill),
        _specimen("optim.SGD.update", "lr-missing", optimizers.sgd_lr_forgotten),
        _specimen("optim.SGD.update", "not-updated", optimizers.sgd_rebinds_the_parameter),
        _specimen("optim.SGD.update", "decay-missing", optimizers.sgd_decay_forgotten),
        _specimen("optim.SGD.update", "decay-sign", optimizers.sgd_decay_sign),
        _specimen("optim.SGD.update", "decay-decoupled", optimizers.sgd_decay_decoupled),
        _specimen("optim.SGD.update", "gradient-written", optimizers.sgd_decay_written_into_the_gradient),
        _specimen("optim.SGD.update", "stale-momentum", optimizers.sgd_momentum_of_the_first_gradient),
        _specimen("optim.SGD.update", "stale-momentum", optimizers.sgd_momentum_not_kept),
        _specimen("optim.SGD.update", "momentum-averaged", optimizers.sgd_momentum_averaged),
        _specimen("optim.SGD.update", "momentum-missing", optimizers.sgd_momentum_unused),
        _specimen("optim.SGD.update", "nesterov-missing", optimizers.sgd_nesterov_forgotten),
        _specimen("optim.SGD.update", "dampened-first", optimizers.sgd_first_gradient_dampened),
        _specimen("optim.SGD.update", "lr-inside-momentum", optimizers.sgd_lr_inside_the_momentum),
        _specimen("optim.RMSprop.update", "eps-inside-root", optimizers.rmsprop_eps_inside_the_root),
        _specimen("optim.RMSprop.update", "square-missing", optimizers.rmsprop_square_forgotten),
        _specimen("optim.RMSprop.update", "root-missing", optimizers.rmsprop_root_forgotten),
        _specimen("optim.RMSprop.update", "betas-swapped", optimizers.rmsprop_alpha_on_the_wrong_term),
        _specimen("optim.RMSprop.update", "decay-missing", optimizers.rmsprop_decay_forgotten),
        _specimen("optim.RMSprop.update", "momentum-missing", optimizers.rmsprop_momentum_unused),
        _specimen("optim.RMSprop.update", "step-not-counted", optimizers.rmsprop_step_not_counted),
        _specimen("optim.Adam.update", "uphill", optimizers.adam_uphill),
        _specimen("optim.Adam.update", "lr-missing", optimizers.adam_lr_forgotten),
        _specimen("optim.Adam.update", "bias-correction-missing", optimizers.adam_uncorrected),
        _specimen("optim.Adam.update", "bias-correction-missing", optimizers.adam_first_average_uncorrected),
        _specimen("optim.Adam.update", "bias-correction-missing", optimizers.adam_second_average_uncorrected),
        _specimen("optim.Adam.update", "eps-inside-root", optimizers.adam_eps_inside_the_root),
        _specimen("optim.Adam.update", "eps-uncorrected", optimizers.adam_eps_uncorrected),
        _specimen("optim.Adam.update", "betas-swapped", optimizers.adam_betas_swapped),
        _specimen("optim.Adam.update", "step-not-counted", optimizers.adam_step_not_counted),
        _specimen("optim.Adam.update", "square-missing", optimizers.adam_square_forgotten),
        _specimen("optim.Adam.update", "root-missing", optimizers.adam_root_forgotten),
        _specimen("optim.Adam.update", "momentum-missing", optimizers.adam_momentum_unused),
        _specimen("optim.Adam.update", "stale-momentum", optimizers.adam_averages_not_kept),
        _specimen("optim.Adam.update", "decay-decoupled", optimizers.adam_decay_decoupled),
        _specimen("optim.Adam.update", "decay-coupled", optimizers.adam_decay_coupled),
        _specimen("optim.Adam.update", "decay-sign", optimizers.adam_decay_sign),
        _specimen("optim.Adam.update", "decay-missing", optimizers.adam_decay_forgotten),
        _specimen("optim.Adam.update", "lr-missing", optimizers.adam_decay_without_lr),
        _specimen("", "rounding", gradients.numeric_in_float32),
        _specimen("", "rounding", gradients.numeric_with_a_tiny_eps),
        _specimen("", "kinks", gradients.numeric_across_kinks),
    )
}
