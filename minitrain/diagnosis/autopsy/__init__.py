"""Names the likely mistake in a wrong gradient.

Each mistake changes the right numbers in its own way: N times too large, zero where the mask is inverted, each row in
its neighbour's place. Every test computes the gradient that one mistake would give, and compares it with the wrong one.
A mistake is reported only if it explains every entry, together with the numbers that show it. Specific explanations
come before general ones. If nothing fits, nothing is reported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import (
    nothing_wrong,
    wrong_derivative,
    wrong_factor,
    wrong_formula,
    wrong_linearity,
    wrong_local,
    wrong_mask,
    wrong_output,
    wrong_part,
    wrong_path,
    wrong_place,
    wrong_product,
    wrong_rest,
    wrong_sender,
    wrong_shape,
    wrong_steps,
    wrong_sum,
    wrong_term,
)
from minitrain.diagnosis.autopsy.case import Case, Mistake, agree
from minitrain.diagnosis.autopsy.facts import fact
from minitrain.diagnosis.autopsy.wrong_steps import together
from minitrain.diagnosis.autopsy.wrong_twice import behind_a_constant
from minitrain.ops import Array

__all__ = ["Case", "Mistake", "agree", "autopsy", "fact", "together"]

# In the order in which they are tried: the specific ones first.
HYPOTHESES = (
    wrong_linearity.not_floats,
    wrong_path.not_finite,
    wrong_path.detached,
    wrong_path.inputs_swapped,
    wrong_path.walked,
    wrong_factor.grad_output_missing,
    wrong_factor.sign,
    wrong_factor.mean,
    wrong_factor.factor,
    wrong_place.transposed,
    wrong_place.product_transposed,
    wrong_sum.one_term,
    wrong_sum.wrong_axis,
    wrong_term.terms,
    wrong_sum.overwritten,
    wrong_steps.one_step,
    wrong_mask.mask_inverted,
    wrong_mask.mask_missing,
    wrong_mask.mask_wrong_side,
    wrong_sum.rows_missing,
    wrong_derivative.derivative_missing,
    wrong_derivative.other_end,
    wrong_derivative.at_output,
    wrong_derivative.off_diagonal,
    wrong_part.one_of_each_row,
    wrong_derivative.one_hot,
    wrong_sum.averaged,
    wrong_factor.operand,
    wrong_local.product_rule,
    wrong_derivative.input_for_result,
    wrong_place.wrong_place,
    wrong_product.spread_wrongly,
    wrong_sender.factor_on_the_other_side,
    wrong_product.map_not_turned,
    wrong_product.inner_transpose,
    wrong_product.not_symmetric,
    wrong_product.other_input_changed,
    wrong_factor.eps,
    wrong_factor.clipped,
    wrong_part.other_mask,
    wrong_local.formula,
    wrong_part.one_side,
    wrong_part.two_slopes_exchanged,
    wrong_local.other_point,
    wrong_sender.shifted,
    wrong_sender.moved,
    wrong_sender.taken_elsewhere,
    wrong_sender.averaged_uses,
    wrong_sender.not_spread,
    wrong_output.between,
    wrong_local.ratio,
    wrong_formula.factor,
    wrong_factor.two_operands,
    wrong_local.precedence,
    wrong_factor.shifted,
    wrong_part.row_factors,
    wrong_rest.multiple,
    wrong_factor.operand_before_sum,
    wrong_formula.term,
    wrong_local.taken_formula,
    wrong_output.between_unnamed,
    wrong_sender.normalised_wrongly,
    wrong_sender.mixed,
    wrong_rest.along_an_axis,
    wrong_local.elsewhere,
    nothing_wrong.kinks,
    nothing_wrong.rounding,
)

# Those that measure the function at other points, only where nothing else fits.
MEASURING = (wrong_product.other_input_changed, wrong_local.other_point, wrong_local.elsewhere)

# Those that are also tried behind a constant: a sign, a 2, a mean's 1/N.
BEHIND_A_CONSTANT = (
    wrong_place.transposed,
    wrong_place.product_transposed,
    wrong_sum.one_term,
    wrong_sum.wrong_axis,
    wrong_mask.mask_inverted,
    wrong_mask.mask_missing,
    wrong_derivative.at_output,
    wrong_derivative.derivative_missing,
    wrong_derivative.other_end,
    wrong_derivative.off_diagonal,
    wrong_local.product_rule,
    wrong_term.terms,
    wrong_product.spread_wrongly,
    wrong_product.inner_transpose,
    wrong_place.wrong_place,
)

# Those that only say where to look.
VAGUE = (wrong_rest.unbalanced, wrong_part.some_entries)


def autopsy(analytic: Array, numeric: Array, **known: Any) -> list[Mistake]:
    """The likely mistakes in a gradient, the likeliest first. Empty if it is right, or if no known mistake explains it.

    analytic: the gradient to examine. numeric: the right one, measured by finite differences, in the input's shape.
    known: what else is known about the operation, see Case. The more is given, the more specific the answer.
    """
    case = Case(np.asarray(analytic), np.asarray(numeric), **known)
    if case.analytic.shape != case.numeric.shape:
        return [found for test in wrong_shape.MISSHAPEN if (found := test(case)) is not None]
    if case.without_grad is not None:  # what is no multiple of dL/dy has no other reading
        found = wrong_linearity.not_floats(case) or wrong_linearity.term_without_grad(case)
        return [found] if found else []
    if not case.numeric.size or not np.isfinite(case.numeric).all() or agree(case.analytic, case.numeric):
        return []
    mistakes: dict[str, Mistake] = {}
    with np.errstate(all="ignore"):
        for test in HYPOTHESES:
            mistake = None if mistakes and test in MEASURING else test(case)
            if mistake is not None:
                mistakes.setdefault(mistake.name, mistake)
        for mistake in behind_a_constant(case, BEHIND_A_CONSTANT) if not mistakes else ():
            mistakes.setdefault(mistake.name, mistake)
        for test in VAGUE:
            mistake = test(case)
            if mistake is not None:
                mistakes.setdefault(mistake.name, mistake)
    return [*mistakes.values()]
