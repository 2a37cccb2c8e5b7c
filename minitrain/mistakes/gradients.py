"""Wrong operations, a wrong tape and wrong checks for the bug zoo: each has one mistake that people make.

Each function has the arguments of the one in ops.py or tape.py that it stands in for, and uses only names that are
known there, so that its body can be put into that file in place of the right one. The first line of its docstring is
the wrong formula, in the words of the right one; what follows says what the mistake is, and what comes of it. zoo.py
lists them all.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from minitrain.layout import zeroed
from minitrain.ops import Array, Context, Gradients, unbroadcast
from minitrain.ops.linear import _rows
from minitrain.ops.reduce import _expanded
from minitrain.tape import AccumulateGrad, Node
from minitrain.torchlike.node_base import Variable

# --- arithmetic, element by element -----------------------------------------------------------------------------------


def add_without_unbroadcast(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy,  dL/db = dL/dy, each in the shape of y.

    An operand that broadcasting repeated gets a gradient from each of its copies, and they must be added up. Here they
    are not, so the gradient has another shape than the operand, such as a bias that gets one gradient per sample.
    """
    needs_a, needs_b = ctx.needs_input_grad
    return grad_y if needs_a else None, grad_y if needs_b else None


def add_of_the_first_copy_only(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy,  dL/db = dL/dy, of the first copy where broadcasting made several.

    The shape is right, and so nothing complains; but all copies of the operand were used, and one of their gradients
    is taken where their sum is due. A bias then learns from the first sample of each batch alone.
    """
    gradients = []
    for shape, needed in zip(ctx.shapes, ctx.needs_input_grad, strict=True):
        grad = grad_y[(0,) * (grad_y.ndim - len(shape))]
        for axis, size in enumerate(shape):
            if size == 1:
                grad = np.take(grad, [0], axis)
        gradients.append(grad if needed else None)
    return tuple(gradients)


def sub_sign_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy,  dL/db = dL/dy.

    What is subtracted acts on y with the opposite sign, so its gradient has it, too. Copied from Add, b is pushed the
    wrong way in every step, while a learns as it should.
    """
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    return (
        unbroadcast(grad_y, shape_a) if needs_a else None,
        unbroadcast(grad_y, shape_b) if needs_b else None,
    )


def mul_saves_the_wrong_way_round(ctx: Context, a: Array, b: Array) -> Array:
    """y = a · b;  dL/da = dL/dy · a,  dL/db = dL/dy · b.

    y is right, but backward finds each factor in the other's place: the derivative of a · b by a is b, not a. With
    a = b, as in x · x, the mistake cannot be seen; a check needs two different factors.
    """
    needs_a, needs_b = ctx.needs_input_grad
    ctx.shapes = np.shape(a), np.shape(b)
    ctx.save_for_backward(b if needs_b else None, a if needs_a else None)
    return a * b


def mul_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = b,  dL/db = a.

    This is dy/da, as it stands in a table of derivatives; dL/dy has not been multiplied in. It is right if the product
    is itself the loss, where dL/dy is 1, and wrong everywhere else.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    ones = np.ones_like(grad_y)
    return (
        unbroadcast(ones * b, shape_a) if b is not None else None,
        unbroadcast(ones * a, shape_b) if a is not None else None,
    )


def mul_without_unbroadcast(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · b,  dL/db = dL/dy · a, each in the shape of y.

    A factor that broadcasting repeated, such as one scale per column, gets one gradient per copy; they still have to
    be added up along the axes that broadcasting made.
    """
    a, b = ctx.saved_arrays
    return grad_y * b if b is not None else None, grad_y * a if a is not None else None


def div_sign_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy / b,  dL/db = dL/dy · a / b².

    A larger denominator makes a smaller quotient: the derivative of 1/b is -1/b². Without the minus sign b goes the
    wrong way.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    return (
        unbroadcast(grad_y / b, shape_a) if needs_a else None,
        unbroadcast(grad_y * (a / b / b), shape_b) if needs_b else None,
    )


def div_square_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy / b,  dL/db = -dL/dy · a / b.

    The derivative of 1/b is -1/b², one more division by b than stands in y itself. Near b = 1 it hardly shows; it is
    too small where |b| < 1 and too large elsewhere.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    return (
        unbroadcast(grad_y / b, shape_a) if needs_a else None,
        unbroadcast(-grad_y * (a / b), shape_b) if needs_b else None,
    )


def div_multiplies(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · b,  dL/db = -dL/dy · a / b².

    a / b is a times 1/b, so the derivative by a is 1/b. Multiplying by b is the rule of the product, copied.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    return (
        unbroadcast(grad_y * b, shape_a) if needs_a else None,
        unbroadcast(-grad_y * (a / b / b), shape_b) if needs_b else None,
    )


def div_returns_in_the_wrong_order(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = -dL/dy · a / b²,  dL/db = dL/dy / b.

    Both formulas are right, but returned in the wrong order: backward's i-th result belongs to forward's i-th input.
    Where both have one shape, nothing complains.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    grad_a = unbroadcast(grad_y / b, shape_a) if needs_a else None
    grad_b = unbroadcast(-grad_y * (a / b / b), shape_b) if needs_b else None
    return grad_b, grad_a


def pow_exponent_not_lowered(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · b · a^b,  dL/db = dL/dy · y · ln a.

    The derivative of a^b is b · a^(b-1): the exponent comes down as a factor and is lowered by one. Without that there
    is a factor a too many.
    """
    a, b, y = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    grad_a = grad_b = None
    if needs_a:
        grad_a = unbroadcast(grad_y * (b * np.power(a, b)), shape_a)
    if needs_b:
        flat = np.logical_and(np.equal(a, 0), b >= 0)
        ln_a = np.log(np.asarray(a, y.dtype))
        grad_b = unbroadcast(grad_y * np.where(flat, 0, y * ln_a), shape_b)
    return grad_a, grad_b


def pow_factor_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · a^(b-1),  dL/db = dL/dy · y · ln a.

    The exponent is lowered, but does not come down as a factor: the derivative of a³ is 3a², not a².
    """
    a, b, y = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    grad_a = grad_b = None
    if needs_a:
        grad_a = unbroadcast(np.where(b == 0, 0, grad_y * np.power(a, b - 1)), shape_a)
    if needs_b:
        flat = np.logical_and(np.equal(a, 0), b >= 0)
        ln_a = np.log(np.asarray(a, y.dtype))
        grad_b = unbroadcast(grad_y * np.where(flat, 0, y * ln_a), shape_b)
    return grad_a, grad_b


def pow_of_zero(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · b · a^(b-1),  dL/db = dL/dy · y · ln a, also where a = 0.

    0^b is 0 whatever b > 0 is, so its derivative by b is 0; but the formula has 0 · ln 0 = 0 · -inf there, which is
    nan. One nan in a gradient is enough: the next update carries it into the weights, and all that follows is nan.
    """
    a, b, y = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    grad_a = grad_b = None
    if needs_a:
        grad_a = unbroadcast(np.where(b == 0, 0, grad_y * (b * np.power(a, b - 1))), shape_a)
    if needs_b:
        grad_b = unbroadcast(grad_y * y * np.log(np.asarray(a, y.dtype)), shape_b)
    return grad_a, grad_b


def pow_base_for_the_power(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy · b · a^(b-1),  dL/db = dL/dy · a · ln a.

    The derivative of a^b by b is a^b · ln a: the power itself, y, comes back, as with exp. Here the base a stands in
    its place.
    """
    a, b, y = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    grad_a = grad_b = None
    if needs_a:
        grad_a = unbroadcast(np.where(b == 0, 0, grad_y * (b * np.power(a, b - 1))), shape_a)
    if needs_b:
        flat = np.logical_and(np.equal(a, 0), b >= 0)
        ln_a = np.log(np.asarray(a, y.dtype))
        grad_b = unbroadcast(grad_y * np.where(flat, 0, a * ln_a), shape_b)
    return grad_a, grad_b


def neg_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = -1.

    The derivative of -x is -1, which still has to be multiplied by dL/dy, what the rest of the network makes of y.
    """
    return -np.ones_like(grad_y)


def exp_passes_on(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    "exp is its own derivative" does not mean that it has none: dL/dy has to be multiplied by exp x, which is y. Near
    x = 0, where y is 1, it hardly shows.
    """
    return grad_y


def exp_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = y.

    This is dy/dx alone. What arrives in dL/dy is thrown away, so whatever comes after exp has no say in the gradient.
    """
    (y,) = ctx.saved_arrays
    return y.copy()


def exp_at_the_output(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · exp y.

    What forward saved is y = exp x already; taking exp of it again is the derivative at another point than the one
    the function was evaluated at.
    """
    (y,) = ctx.saved_arrays
    return grad_y * np.exp(y)


def exp_saves_its_input(ctx: Context, x: Array) -> Array:
    """y = exp x;  dL/dx = dL/dy · x.

    Forward saves x where backward expects y. backward's line, grad_y * y, looks right: only its y is not y.
    """
    y = np.exp(x)
    ctx.save_for_backward(x)
    return y


def log_multiplies(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · x.

    The derivative of ln x is 1/x. Multiplied, the gradient is small where it should be large and the other way round;
    at x = 1 it is right.
    """
    (x,) = ctx.saved_arrays
    return grad_y * x


def log_at_the_output(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / ln x.

    The derivative of ln x is 1/x, with the x that went in. Divided by what came out, the gradient even has the wrong
    sign for x < 1, and is infinite at 1.
    """
    (x,) = ctx.saved_arrays
    return grad_y / np.log(x)


def log_with_an_eps(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / (x + 0.01).

    An eps in the denominator keeps the division from failing at 0; but forward has none, so the gradient is that of
    another function. Where x is much larger than eps it hardly shows, where x is small the gradient is far too small.
    """
    (x,) = ctx.saved_arrays
    return grad_y / (x + 0.01)


def log_with_an_eps_outside(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / x + 0.01.

    The eps that was to stand in the denominator has slipped out of it, as a pair of parentheses forgotten makes it: a
    constant is added to every entry of the gradient, whatever the loss is.
    """
    (x,) = ctx.saved_arrays
    return grad_y / x + 0.01


def log_clipped(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / x, but at most 1 and at least -1.

    Clipping each operation's gradient keeps it from exploding, but it is a gradient no longer: the large entries, which
    say most, come out all the same. What is to be clipped are the gradients of the parameters, after backward.
    """
    (x,) = ctx.saved_arrays
    return np.clip(grad_y / x, -1, 1)


def sqrt_half_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / y.

    The derivative of √x = x^(1/2) is 1/2 · x^(-1/2): the 1/2 has been forgotten, and every entry is twice too large.
    It acts like a doubled learning rate for all that lies before, so training may well go on.
    """
    (y,) = ctx.saved_arrays
    return grad_y / y


def sqrt_without_parentheses(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / 2 · y.

    `grad_y / 2 * y` is (grad_y / 2) · y: what was to stand in the denominator stands in the numerator.
    """
    (y,) = ctx.saved_arrays
    return grad_y / 2 * y


def sqrt_saves_its_input(ctx: Context, x: Array) -> Array:
    """y = √x;  dL/dx = dL/dy / 2x.

    Forward saves x where backward expects y. At x = 1, where both are the same, it does not show.
    """
    y = np.sqrt(x)
    ctx.save_for_backward(x)
    return y


def abs_passes_on(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    Right for positive x, where |x| is x. For negative x it has the wrong sign: a larger x makes a smaller |x|.
    """
    return grad_y


def tanh_at_the_output(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · (1 - tanh² y).

    The saved y is tanh x already. Taking tanh of it again looks harmless, since for small x both are nearly x, and
    makes the gradient too large everywhere else.
    """
    (y,) = ctx.saved_arrays
    return grad_y * (1 - np.square(np.tanh(y)))


def tanh_saves_its_input(ctx: Context, x: Array) -> Array:
    """y = tanh x;  dL/dx = dL/dy · (1 - x²).

    Forward saves x where backward expects y. Beyond |x| = 1 the gradient has the wrong sign and grows, where that of
    tanh vanishes.
    """
    y = np.tanh(x)
    ctx.save_for_backward(x)
    return y


def sigmoid_at_the_output(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · σ(y) · (1 - σ(y)).

    The saved y is σ(x) already, between 0 and 1; σ of it lies between 0.5 and 0.73, so the gradient is nearly the same
    for every x, and a saturated unit never looks saturated.
    """
    (y,) = ctx.saved_arrays
    again = 1 / (1 + np.exp(-y))
    return grad_y * (again * (1 - again))


def sigmoid_saves_its_input(ctx: Context, x: Array) -> Array:
    """y = 1 / (1 + exp(-x));  dL/dx = dL/dy · x · (1 - x).

    Forward saves x where backward expects y. x · (1 - x) is negative outside of 0 to 1 and grows without bound, where
    σ's derivative is positive and never above 1/4.
    """
    y = 1 / (1 + np.exp(-x))
    ctx.save_for_backward(x)
    return y


def sigmoid_factor_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · (1 - y).

    σ's derivative is y · (1 - y); one factor has been forgotten. Where y is near 1 it hardly shows; where y is near 0
    the gradient does not vanish as it should.
    """
    (y,) = ctx.saved_arrays
    return grad_y * (1 - y)


def sigmoid_sign(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · y · (y - 1).

    1 - y turned round: σ grows with x everywhere, and this says that it falls. All that lies before goes uphill.
    """
    (y,) = ctx.saved_arrays
    return grad_y * (y * (y - 1))


def relu_mask_inverted(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy where x <= 0, else 0.

    The mask is inverted: units that were switched off learn, and those that made the output do not.
    """
    (y,) = ctx.saved_arrays
    return zeroed(grad_y, y > 0)


def relu_mask_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    Where x < 0, y is 0 whatever x is, so x has no influence and must get 0. Here it gets the gradient all the same, as
    if the layer were y = x. Training goes on, only worse.
    """
    return grad_y


def relu_mask_of_the_gradient(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy where dL/dy > 0, else 0.

    Backward is no ReLU of the gradient: what passes is decided by the input that forward saw, not by the sign of what
    comes back. Here only one direction can be learned.
    """
    return zeroed(grad_y, grad_y <= 0)


def relu_multiplies_by_y(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · y.

    The mask is y > 0, ones and zeros; here y itself is multiplied in. The zeros are in the right places, but the rest
    is scaled by how large each unit is.
    """
    (y,) = ctx.saved_arrays
    return grad_y * y


def relu_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 1 where x > 0, else 0.

    This is dy/dx, the mask alone; dL/dy has not been multiplied in, so the layer sends back the same whatever the loss
    is.
    """
    (y,) = ctx.saved_arrays
    return (y > 0).astype(grad_y.dtype)


def clamp_mask_inverted(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy where x < min or x > max, else 0.

    What was cut off gets the gradient, and what passed unchanged gets none: the mask of what is outside is taken for
    the mask of what passes.
    """
    (outside,) = ctx.saved_arrays
    return zeroed(grad_y, ~outside)


def clamp_mask_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    Where x was cut off, y is min or max whatever x is, so x must get 0. (There is such a rule on purpose, the
    straight-through estimator; it is not clamp's gradient.)
    """
    return grad_y


def maximum_taken_from_the_smaller(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dy goes to the smaller, half to each where they are equal.

    The comparison is turned round: y was the larger one, so that is the one that moves it.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    shared = np.where(np.equal(a, b), grad_y / 2, grad_y)
    return (
        unbroadcast(zeroed(shared, np.greater(a, b)), shape_a) if needs_a else None,
        unbroadcast(zeroed(shared, np.less(a, b)), shape_b) if needs_b else None,
    )


def minimum_to_both(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dy goes to both.

    Only the smaller one is y; the other has no influence on it and must get 0. As it is, the larger one is pulled along
    for nothing.
    """
    shape_a, shape_b = ctx.shapes
    needs_a, needs_b = ctx.needs_input_grad
    return (
        unbroadcast(grad_y, shape_a) if needs_a else None,
        unbroadcast(grad_y, shape_b) if needs_b else None,
    )


def where_branches_exchanged(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy where not condition, dL/db = dL/dy where condition, else 0.

    a was taken where the condition holds, so it must get its gradient there. Here each gets the gradient of the places
    at which it was not used.
    """
    (condition,) = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    _, needs_a, needs_b = ctx.needs_input_grad
    return (
        None,
        unbroadcast(np.where(condition, 0, grad_y), shape_a) if needs_a else None,
        unbroadcast(np.where(condition, grad_y, 0), shape_b) if needs_b else None,
    )


def where_condition_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy,  dL/db = dL/dy.

    Each y came from one of the two; the other had no influence there and must get 0.
    """
    shape_a, shape_b = ctx.shapes
    _, needs_a, needs_b = ctx.needs_input_grad
    return (
        None,
        unbroadcast(grad_y, shape_a) if needs_a else None,
        unbroadcast(grad_y, shape_b) if needs_b else None,
    )


# --- reductions -------------------------------------------------------------------------------------------------------


def sum_as_if_a_mean(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / n, repeated along dim.

    The 1/n belongs to the mean. In a sum every x counts in full, so each gets all of dL/dy; here they share it, and
    each entry is n times too small.
    """
    n = math.prod(ctx.shape[axis] for axis in ctx.dim)
    return np.broadcast_to(_expanded(grad_y / n, ctx), ctx.shape)


def sum_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 1.

    The derivative of a sum by each of its terms is 1, but it still has to be multiplied by dL/dy. It is right only
    where the sum is the loss itself.
    """
    return np.ones(ctx.shape, grad_y.dtype)


def mean_as_if_a_sum(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy, repeated along dim.

    y is 1/n times a sum, and so is its derivative. Without the 1/n every entry is n times too large: the same as a
    learning rate that grows with the batch.
    """
    return np.broadcast_to(_expanded(grad_y, ctx), ctx.shape)


def mean_of_all_entries(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / (the number of all entries of x), repeated along dim.

    n is how many values each mean was taken of, the size along dim, not the number of all entries. If dim leaves out
    an axis of size m, every entry is m times too small; if it has all axes, nothing is wrong.
    """
    return np.broadcast_to(_expanded(grad_y / math.prod(ctx.shape), ctx), ctx.shape)


def mean_divided_twice(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy / n², repeated along dim.

    The 1/n has been applied twice, which is easily done where one function divides what another one has divided
    already. Training crawls.
    """
    return np.broadcast_to(_expanded(grad_y / ctx.n / ctx.n, ctx), ctx.shape)


def amax_to_all(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy, repeated along dim.

    Only the largest x is y; all the others could move a little without changing it, and must get 0. This is the
    gradient of a sum.
    """
    x, _ = ctx.saved_arrays
    return np.broadcast_to(_expanded(grad_y, ctx), x.shape)


# --- shape ------------------------------------------------------------------------------------------------------------


def reshape_in_fortran_order(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy in x's shape, filled column by column.

    reshape reads and writes row by row; put back in another order, each gradient arrives at another entry's place. All
    the right numbers are there, and every norm is right.
    """
    return grad_y.reshape(ctx.shape, order="F")


def flatten_from_the_end(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy, last column first, in x's shape.

    The columns are put back in reverse: pixel 0 gets the gradient of the last pixel. The shape is right, so nothing
    complains.
    """
    return grad_y[..., ::-1].reshape(ctx.shape)


def transpose_reshapes(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy reshaped into x's shape.

    Reshaping to the transposed shape is not transposing: it keeps the order in which the numbers are read, so that
    they end up in other places.
    """
    dim0, dim1 = ctx.dims
    sizes = list(grad_y.shape)
    sizes[dim0], sizes[dim1] = sizes[dim1], sizes[dim0]
    return grad_y.reshape(sizes)


def transpose_not_undone(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    The gradient still has y's axes; they have to be swapped back, since dL/dx has x's shape. Of a square matrix the
    shape does not tell.
    """
    return grad_y


def permute_the_same_way_again(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy with its axes permuted by dims once more.

    To put axes back takes the inverse permutation, argsort(dims). For a swap of two axes, which undoes itself, both
    are the same; for (1, 2, 0) they are not.
    """
    return np.transpose(grad_y, ctx.dims)


def expand_of_the_first_copy_only(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy of the first repeat.

    Every repeat sends back a gradient, and x gets their sum. Here one of them is taken for all.
    """
    grad_x = grad_y[(0,) * (grad_y.ndim - len(ctx.shape))]
    for axis, size in enumerate(ctx.shape):
        if size == 1:
            grad_x = np.take(grad_x, [0], axis)
    return grad_x


def expand_takes_the_mean(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy averaged over the repeats.

    x was used once for each repeat, in full each time, so the gradients add up. Averaged, they are too small by the
    number of repeats.
    """
    repeats = grad_y.size // math.prod(ctx.shape)
    return unbroadcast(grad_y, ctx.shape) / repeats


def index_overwrites(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy at index (the last one only where index names a place twice), else 0.

    An entry that was taken twice gets two gradients, and they must be added. `grad_x[index] = ...` keeps the last one,
    and `grad_x[index] += ...` does the same in NumPy: it takes np.add.at. An embedding whose batch has a word twice
    learns from one of the two.
    """
    grad_x = np.zeros(ctx.shape, grad_y.dtype)
    grad_x[ctx.index] += grad_y
    return grad_x


def index_writes_into_a_copy(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 0.

    Indexing with an array of integers or a mask gives a copy in NumPy. grad_x[index][...] = grad_y fills that copy,
    which is dropped at once; grad_x stays 0. With a slice, which gives a view, it would have worked.
    """
    grad_x = np.zeros(ctx.shape, grad_y.dtype)
    grad_x[ctx.index][...] = grad_y
    return grad_x


def index_put_keeps_what_was_overwritten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy,  dL/dv = dL/dy[index].

    What stood in x at index has been overwritten by v and is not in y at all: it must get 0 there. Here it gets v's
    gradient, too.
    """
    needs_x, needs_v = ctx.needs_input_grad
    grad_v = None
    if needs_v:
        grad_v = np.asarray(grad_y[ctx.index])
        axes = ctx.shape_v[max(len(ctx.shape_v) - grad_v.ndim, 0) :]
        grad_v = unbroadcast(grad_v, axes).reshape(ctx.shape_v)
    return grad_y.copy() if needs_x else None, grad_v


def cat_in_reverse(ctx: Context, grad_y: Array) -> Gradients:
    """dL/d(input) = the stretch of dL/dy of the input on the other side.

    The stretches are cut off in the right places, but handed out from the last to the first. Between inputs of one
    size nothing complains.
    """
    parts = np.split(grad_y, ctx.ends[:-1], axis=ctx.dim)[::-1]
    return tuple([part if needed else None for part, needed in zip(parts, ctx.needs_input_grad, strict=True)])


def clone_detaches(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 0.

    A clone is a copy on the tape: its gradient goes on to x. Not to send it on is what detach() is for; here all that
    was computed from the clone is lost to the layers before.
    """
    return np.zeros_like(grad_y)


def to_copy_detaches(ctx: Context, grad_y: Array) -> Gradients:
    """no dL/dx.

    Another dtype makes another array, but not another value: x has its gradient, only in its own dtype. Where a model
    computes in one precision and keeps its weights in another, no weight would ever learn.
    """
    return None


# --- matrices ---------------------------------------------------------------------------------------------------------


def matmul_the_other_way_round(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy @ bᵀ,  dL/db = dL/dyᵀ @ a.

    (A B)ᵀ = Bᵀ Aᵀ: dL/dyᵀ @ a is the transpose of aᵀ @ dL/dy. The numbers are all right and in the wrong places; if b
    is square, the shape does not tell.
    """
    a, b = ctx.saved_arrays
    grad_a = grad_b = None
    if b is not None:
        grad_a = grad_y @ np.swapaxes(b, -1, -2)
    if a is not None:
        grad_b = np.swapaxes(grad_y, -1, -2) @ a
    return grad_a, grad_b


def matmul_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = 1 @ bᵀ,  dL/db = aᵀ @ 1.

    With a matrix of ones in place of dL/dy these are the gradients of the sum of all entries of y, whatever the loss
    really is.
    """
    a, b = ctx.saved_arrays
    ones = np.ones_like(grad_y)
    grad_a = grad_b = None
    if b is not None:
        grad_a = ones @ np.swapaxes(b, -1, -2)
    if a is not None:
        grad_b = np.swapaxes(a, -1, -2) @ ones
    return grad_a, grad_b


def matmul_of_the_first_matrix_only(ctx: Context, grad_y: Array) -> Gradients:
    """dL/da = dL/dy @ bᵀ,  dL/db = aᵀ @ dL/dy of the first matrix of the stack.

    If b is one matrix that a whole stack of a's is multiplied with, each product sends back a gradient to it, and they
    must be summed over the stack. Here the first one is kept.
    """
    a, b = ctx.saved_arrays
    shape_a, shape_b = ctx.shapes
    grad_a = grad_b = None
    if b is not None:
        grad_a = unbroadcast(grad_y @ np.swapaxes(b, -1, -2), shape_a)
    if a is not None:
        grad_b = np.swapaxes(a, -1, -2) @ grad_y
        while grad_b.ndim > len(shape_b):
            grad_b = grad_b[0]
    return grad_a, grad_b


def linear_weight_transposed(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = xᵀ dL/dy,  dL/db = Σ dL/dy over the batch.

    The weight is kept as (out, in), and its gradient has its shape, dL/dyᵀ x; xᵀ dL/dy is the transpose. In a layer of
    as many inputs as outputs the shape does not tell, and it learns nonsense.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = _rows(x).T @ grad_rows if needs_weight else None
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_weight_sign(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = -dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.

    "Go against the gradient" belongs to the optimizer, which subtracts. With a minus here, too, the weight goes
    uphill; the loss may still fall, since the other layers learn around it.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = -grad_rows.T @ _rows(x) if needs_weight else None
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_weight_averaged(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = 1/N · dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.

    If the loss is a mean over the batch, its 1/N is in dL/dy already; here it comes in a second time. The weight learns
    N times too slowly, as if its learning rate were another.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = grad_rows.T @ _rows(x) / len(grad_rows) if needs_weight else None
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_weight_of_the_last_sample(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = (dL/dy)ᵀ x of the last sample,  dL/db = Σ dL/dy over the batch.

    A loop over the batch with = where += is due: each sample overwrites the one before, and the last one remains. With
    a batch of one nothing is wrong.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = None
    if needs_weight:
        for grad_row, row in zip(grad_rows, _rows(x), strict=True):
            grad_weight = np.outer(grad_row, row)
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_weight_detached(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = 0,  dL/db = Σ dL/dy over the batch.

    `grad_weight + ...` makes a new array and drops it; `+=` was meant. The weight's gradient stays at the zeros that it
    started from, and the layer keeps the weights of its first day.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = None
    if needs_weight:
        grad_weight = np.zeros((grad_rows.shape[1], x.shape[-1]), grad_rows.dtype)
        for grad_row, row in zip(grad_rows, _rows(x), strict=True):
            grad_weight + np.outer(grad_row, row)
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_input_rows_missing(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W of all samples but the last,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.

    The loop over the batch ends one too early, and the last sample gets 0. The layers before never learn from it.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = None
    if needs_x:
        grad_x = np.zeros((len(grad_rows), weight.shape[1]), grad_rows.dtype)
        for i in range(len(grad_rows) - 1):
            grad_x[i] = grad_rows[i] @ weight
        grad_x = grad_x.reshape(ctx.shape)
    grad_weight = grad_rows.T @ _rows(x) if needs_weight else None
    grad_bias = grad_rows.sum(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_bias_not_summed(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = dL/dy.

    The one bias was added to every row of the batch, so it gets the sum of all rows' gradients. Here it gets a matrix
    (N, out) where it has the shape (out,).
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = grad_rows.T @ _rows(x) if needs_weight else None
    return grad_x, grad_weight, grad_rows if needs_bias else None


def linear_bias_summed_over_the_outputs(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the outputs.

    axis=1 where axis=0 is due: the sum has to run over the batch, the axis along which the bias was repeated. What
    comes out has one number per sample where one per output is due.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = grad_rows.T @ _rows(x) if needs_weight else None
    grad_bias = grad_rows.sum(axis=1) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_bias_averaged(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = 1/N · Σ dL/dy over the batch.

    mean() where sum() is due. The loss's 1/N is in dL/dy already, and now comes in a second time: the bias learns N
    times too slowly, which few people ever notice.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = grad_rows.T @ _rows(x) if needs_weight else None
    grad_bias = grad_rows.mean(axis=0) if needs_bias else None
    return grad_x, grad_weight, grad_bias


def linear_bias_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  no dL/db.

    The bias asks for a gradient and gets none, so it stays what it was at the start. The weights learn, and may make
    up for it.
    """
    x, weight = ctx.saved_arrays
    needs_x, needs_weight, _ = ctx.needs_input_grad
    grad_rows = _rows(grad_y)
    grad_x = (grad_rows @ weight).reshape(ctx.shape) if needs_x else None
    grad_weight = grad_rows.T @ _rows(x) if needs_weight else None
    return grad_x, grad_weight, None


# --- softmax and losses -----------------------------------------------------------------------------------------------


def softmax_diagonal_only(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · y · (1 - y).

    This is σ's derivative: how each y moves with its own x. But each x moves all y's of its row, since they add up to
    1; the influence on the others, -y_i · y_j, is missing.
    """
    (y,) = ctx.saved_arrays
    return grad_y * (y * (1 - y))


def softmax_as_if_an_exp(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy · y.

    This is exp's derivative. The denominator, through which each x pushes the other y's down, has been left out of it;
    a gradient of softmax sums to 0 over a row, and this one does not.
    """
    (y,) = ctx.saved_arrays
    return grad_y * y


def softmax_along_the_wrong_axis(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = y · (dL/dy - Σ dL/dy · y), summed over axis 0.

    The sum has to run over dim, along which the y's add up to 1. Here it runs over the batch, and the samples get
    mixed with each other.
    """
    (y,) = ctx.saved_arrays
    return y * (grad_y - (grad_y * y).sum(axis=0, keepdims=True))


def softmax_sign(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = y · (Σ dL/dy · y - dL/dy).

    The difference is turned round, and with it the sign of every entry: attention, or whatever softmax feeds, goes
    uphill.
    """
    (y,) = ctx.saved_arrays
    return y * ((grad_y * y).sum(axis=ctx.dim, keepdims=True) - grad_y)


def softmax_saves_its_input(ctx: Context, x: Array, *, dim: int) -> Array:
    """y = exp x / Σ exp x over dim;  dL/dx = x · (dL/dy - Σ dL/dy · x).

    Forward saves x where backward expects y, the probabilities. A score may be negative or 100, and the gradient grows
    with it.
    """
    exp = np.exp(x - x.max(axis=dim, keepdims=True, initial=-np.inf))
    y = exp / exp.sum(axis=dim, keepdims=True)
    ctx.dim = dim
    ctx.save_for_backward(x)
    return np.asarray(y)


def log_softmax_diagonal_only(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy - exp y · dL/dy.

    The Σ over dim has been forgotten: each x is given its influence on its own y only. But every x moves every y of its
    row through ln Σ exp x.
    """
    (y,) = ctx.saved_arrays
    return grad_y - np.exp(y) * grad_y


def log_softmax_along_the_wrong_axis(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy - exp y · Σ dL/dy, summed over axis 0.

    The sum has to run over the classes. Over the batch, each sample's gradient contains those of all the others.
    """
    (y,) = ctx.saved_arrays
    return grad_y - np.exp(y) * grad_y.sum(axis=0, keepdims=True)


def log_softmax_exp_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy - y · Σ dL/dy.

    y is the logarithm of the probability; the formula wants the probability, exp y. With y, which is negative and has
    no bound, a hopeless class is pulled the more, the more hopeless it is.
    """
    (y,) = ctx.saved_arrays
    return grad_y - y * grad_y.sum(axis=ctx.dim, keepdims=True)


def log_softmax_passes_on(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = dL/dy.

    Right for the x in y = x - ln Σ exp x, but the second term depends on x, too. Without it the scores of the right
    classes are pushed up for ever, and nothing pushes the others down.
    """
    return grad_y


def log_softmax_one_hot_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = -exp y · Σ dL/dy.

    For cross-entropy the gradient is softmax - onehot; the onehot of the right classes comes from the first term,
    dL/dy itself, which is missing here. Every score is pushed down, the right one's, too.
    """
    (y,) = ctx.saved_arrays
    return -np.exp(y) * grad_y.sum(axis=ctx.dim, keepdims=True)


def log_softmax_saves_its_input(ctx: Context, x: Array, *, dim: int) -> Array:
    """y = x - ln Σ exp x over dim;  dL/dx = dL/dy - exp x · Σ dL/dy.

    Forward saves x where backward expects y: exp x does not add up to 1 over a row, as the probabilities exp y do.
    """
    shifted = x - x.max(axis=dim, keepdims=True, initial=-np.inf)
    y = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))
    ctx.dim = dim
    ctx.save_for_backward(x)
    return np.asarray(y)


def nll_mean_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx[i, t_i] = -w[t_i] · dL/dy, else 0, for a mean as for a sum.

    The loss is a mean over the batch, but its gradient is that of a sum: N times too large. The loss printed is right;
    only the steps are, as if the learning rate were N times what it is.
    """
    kept, labels, w, _ = ctx.saved_arrays
    if ctx.reduction == "none":
        grad_y = grad_y.reshape(-1)[kept]
    classes = ctx.shape[ctx.class_dim]
    grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
    grad_rows[kept, labels] = -w * grad_y
    if len(ctx.shape) == 2:
        return grad_rows, None, None
    return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


def nll_mean_over_the_classes(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx[i, t_i] = -w[t_i] · dL/dy / (Σ w[t_i] · C), else 0.

    The mean runs over the samples, not over all entries of x: of the C entries in a row only one counts. Divided by
    their number, too, the gradient is C times too small.
    """
    kept, labels, w, total = ctx.saved_arrays
    classes = ctx.shape[ctx.class_dim]
    if ctx.reduction == "mean":
        grad_y = grad_y / (total * classes)
    elif ctx.reduction == "none":
        grad_y = grad_y.reshape(-1)[kept]
    grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
    grad_rows[kept, labels] = -w * grad_y
    if len(ctx.shape) == 2:
        return grad_rows, None, None
    return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


def nll_sign(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx[i, t_i] = w[t_i] · dL/dy_i (/ Σ w[t_i]), else 0.

    The N in NLL is a minus sign: the loss falls as the right class's log-probability rises. Without it the network
    learns to avoid the right answer, and its accuracy falls below chance.
    """
    kept, labels, w, total = ctx.saved_arrays
    if ctx.reduction == "mean":
        grad_y = grad_y / total
    elif ctx.reduction == "none":
        grad_y = grad_y.reshape(-1)[kept]
    classes = ctx.shape[ctx.class_dim]
    grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
    grad_rows[kept, labels] = w * grad_y
    if len(ctx.shape) == 2:
        return grad_rows, None, None
    return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


def nll_counts_classes_from_one(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx[i, t_i - 1] = -w[t_i] · dL/dy_i (/ Σ w[t_i]), else 0.

    Classes are counted from 0; taken as counted from 1, each gradient lands one class too low, and class 0's at the
    last one, since Python's index -1 is the last. No index is out of range, and so nothing complains.
    """
    kept, labels, w, total = ctx.saved_arrays
    if ctx.reduction == "mean":
        grad_y = grad_y / total
    elif ctx.reduction == "none":
        grad_y = grad_y.reshape(-1)[kept]
    classes = ctx.shape[ctx.class_dim]
    grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
    grad_rows[kept, labels - 1] = -w * grad_y
    if len(ctx.shape) == 2:
        return grad_rows, None, None
    return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


def nll_rows_missing(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx[i, t_i] = -w[t_i] · dL/dy_i (/ Σ w[t_i]) for all i but the first, else 0.

    The loop over the samples starts at 1, so that the first sample of each batch gets no gradient.
    """
    kept, labels, w, total = ctx.saved_arrays
    if ctx.reduction == "mean":
        grad_y = grad_y / total
    elif ctx.reduction == "none":
        grad_y = grad_y.reshape(-1)[kept]
    classes = ctx.shape[ctx.class_dim]
    grad_rows = np.zeros((math.prod(ctx.target_shape), classes), grad_y.dtype)
    grad_losses = np.broadcast_to(-w * grad_y, kept.shape)
    for i in range(1, kept.size):
        grad_rows[kept[i], labels[i]] = grad_losses[i]
    if len(ctx.shape) == 2:
        return grad_rows, None, None
    return np.moveaxis(grad_rows.reshape(*ctx.target_shape, classes), -1, ctx.class_dim), None, None


def mse_two_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = (x - t) · dL/dy (/ n).

    The derivative of a square brings down a 2. Without it the gradient is that of half the squared error, which some
    books have for the loss, just because of this; but then forward needs the half, too.
    """
    (difference,) = ctx.saved_arrays
    scale = 1 / difference.size if ctx.reduction == "mean" and difference.size else 1
    grad_x = scale * difference * grad_y
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, -grad_x if needs_target else None


def mse_mean_forgotten(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 (x - t) · dL/dy, for a mean as for a sum.

    The loss is a mean over n elements, its gradient is that of a sum: n times too large, and the more so the larger
    the batch is.
    """
    (difference,) = ctx.saved_arrays
    grad_x = 2 * difference * grad_y
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, -grad_x if needs_target else None


def mse_mean_over_the_rows(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 (x - t) · dL/dy (/ the number of rows).

    The mean runs over all elements, rows times columns. Divided by the rows alone, the gradient is too large by the
    number of columns: the 1/C of the mean over them is missing. With one column it is right.
    """
    (difference,) = ctx.saved_arrays
    scale = 2 / len(difference) if ctx.reduction == "mean" and difference.size else 2
    grad_x = scale * difference * grad_y
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, -grad_x if needs_target else None


def mse_of_the_mean_difference(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 · (the batch's mean of x - t) · dL/dy (/ n).

    The errors are averaged over the batch before they are used, so every sample of a column gets the same gradient.
    Errors of opposite sign cancel, and the network learns to be right on average.
    """
    (difference,) = ctx.saved_arrays
    scale = 2 / difference.size if ctx.reduction == "mean" and difference.size else 2
    mean = np.broadcast_to(difference.mean(axis=0, keepdims=True), difference.shape)
    grad_x = scale * mean * grad_y
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, -grad_x if needs_target else None


def mse_without_the_chain_rule(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 (x - t) (/ n).

    The loss is usually the end of the network, where dL/dy is 1; so this works until the loss is weighted, or added to
    another one, or divided by the number of steps that gradients are gathered over.
    """
    (difference,) = ctx.saved_arrays
    scale = 2 / difference.size if ctx.reduction == "mean" and difference.size else 2
    grad_x = scale * difference
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, -grad_x if needs_target else None


def mse_target_sign(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 (x - t) · dL/dy (/ n),  dL/dt = 2 (x - t) · dL/dy (/ n).

    x and t pull at the difference from opposite sides, so their gradients have opposite signs. It shows only where the
    target asks for a gradient, as the output of another network does.
    """
    (difference,) = ctx.saved_arrays
    scale = 2 / difference.size if ctx.reduction == "mean" and difference.size else 2
    grad_x = scale * difference * grad_y
    needs_x, needs_target = ctx.needs_input_grad
    return grad_x if needs_x else None, grad_x if needs_target else None


def mse_target_detached(ctx: Context, grad_y: Array) -> Gradients:
    """dL/dx = 2 (x - t) · dL/dy (/ n),  no dL/dt.

    A target is usually data, and asks for no gradient; where it does, as the output of another network, that network
    never learns from this loss.
    """
    (difference,) = ctx.saved_arrays
    scale = 2 / difference.size if ctx.reduction == "mean" and difference.size else 2
    needs_x, _ = ctx.needs_input_grad
    return scale * difference * grad_y if needs_x else None, None


# --- the tape ---------------------------------------------------------------------------------------------------------


def walk_back_overwrites(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """pending[edge] = input_grad, also where a gradient is waiting already.

    A value that is used twice gets a gradient from each use, and they add up. Here the later one to arrive replaces
    the other, as if the value had been used once: in x · x, a residual connection, or a weight that two layers share.
    """
    pending: dict[Node | AccumulateGrad, Array] = {root: grad}
    retained: list[tuple[Variable, Array]] = []
    newest_first = [(-root.sequence_nr, root)] if isinstance(root, Node) else []
    while newest_first:
        _, node = heapq.heappop(newest_first)
        grad = pending.pop(node)
        retain_for = node._retain_for() if node._retain_for is not None else None
        if retain_for is not None:
            retained.append((retain_for, grad))
        input_gradients = node.input_gradients(grad)
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
            if edge is None or input_grad is None:
                continue
            if isinstance(edge, Node) and edge not in pending:
                heapq.heappush(newest_first, (-edge.sequence_nr, edge))
            pending[edge] = input_grad
    for variable, grad in retained:
        variable.receive_grad(grad, owned=False)
    for leaf, grad in pending.items():
        if isinstance(leaf, AccumulateGrad):
            leaf.variable.receive_grad(grad, owned=False)


def walk_back_visits_too_early(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """Each node is visited once, as soon as the first gradient reaches it.

    A walk in depth, without sorting first: a value that is used twice is passed as soon as one of its users has been
    visited, and what the other user sends comes too late. Where no value is used twice it is right.
    """
    pending: dict[Node | AccumulateGrad, Array] = {root: grad}
    retained: list[tuple[Variable, Array]] = []
    visited: set[Node | AccumulateGrad] = set()
    waiting = [root] if isinstance(root, Node) else []
    while waiting:
        node = waiting.pop()
        if node in visited:
            continue
        visited.add(node)
        grad = pending.pop(node)
        retain_for = node._retain_for() if node._retain_for is not None else None
        if retain_for is not None:
            retained.append((retain_for, grad))
        input_gradients = node.input_gradients(grad)
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
            if edge is None or input_grad is None or edge in visited:
                continue
            pending[edge] = pending[edge] + input_grad if edge in pending else input_grad
            if isinstance(edge, Node):
                waiting.append(edge)
    for variable, grad in retained:
        variable.receive_grad(grad, owned=False)
    for leaf, grad in pending.items():
        if isinstance(leaf, AccumulateGrad):
            leaf.variable.receive_grad(grad, owned=False)


def walk_back_starts_from_one(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """pending = {root: 1}, whatever gradient was given.

    A loss starts with dL/dL = 1, and so this is right for loss.backward(); y.backward(gradient) gives the walk
    another start, and here it is thrown away.
    """
    pending: dict[Node | AccumulateGrad, Array] = {root: np.ones_like(grad)}
    retained: list[tuple[Variable, Array]] = []
    newest_first = [(-root.sequence_nr, root)] if isinstance(root, Node) else []
    while newest_first:
        _, node = heapq.heappop(newest_first)
        grad = pending.pop(node)
        retain_for = node._retain_for() if node._retain_for is not None else None
        if retain_for is not None:
            retained.append((retain_for, grad))
        input_gradients = node.input_gradients(grad)
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
            if edge is None or input_grad is None:
                continue
            if edge in pending:
                pending[edge] = np.asarray(pending[edge] + input_grad)
                continue
            pending[edge] = input_grad
            if isinstance(edge, Node):
                heapq.heappush(newest_first, (-edge.sequence_nr, edge))
    for variable, grad in retained:
        variable.receive_grad(grad, owned=False)
    for leaf, grad in pending.items():
        if isinstance(leaf, AccumulateGrad):
            leaf.variable.receive_grad(grad, owned=False)


def walk_back_hands_out_in_reverse(root: Node | AccumulateGrad, grad: Array, *, retain_graph: bool) -> None:
    """The gradient of a node's first input goes to its last, and the other way round.

    The gradients are computed rightly and sent to the wrong inputs. For an operation of one input, and for a sum, it
    makes no difference.
    """
    pending: dict[Node | AccumulateGrad, Array] = {root: grad}
    retained: list[tuple[Variable, Array]] = []
    newest_first = [(-root.sequence_nr, root)] if isinstance(root, Node) else []
    while newest_first:
        _, node = heapq.heappop(newest_first)
        grad = pending.pop(node)
        retain_for = node._retain_for() if node._retain_for is not None else None
        if retain_for is not None:
            retained.append((retain_for, grad))
        input_gradients = node.input_gradients(grad)[::-1]
        if not retain_graph:
            node.free()
        for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
            if edge is None or input_grad is None:
                continue
            if edge in pending:
                pending[edge] = np.asarray(pending[edge] + input_grad)
                continue
            pending[edge] = input_grad
            if isinstance(edge, Node):
                heapq.heappush(newest_first, (-edge.sequence_nr, edge))
    for variable, grad in retained:
        variable.receive_grad(grad, owned=False)
    for leaf, grad in pending.items():
        if isinstance(leaf, AccumulateGrad):
            leaf.variable.receive_grad(grad, owned=False)


# --- wrong checks of a right gradient ---------------------------------------------------------------------------------


def numeric_in_float32() -> tuple[Array, Array]:
    """numeric = (f(x + eps) - f(x - eps)) / 2 eps, in float32.

    f(x) = Σ x³. Nothing is wrong with the analytic gradient, 3x². But float32 has seven digits, of which the difference
    of two nearly equal sums keeps none or one; check in float64, whatever the model trains in.
    """
    x = np.random.default_rng(0).uniform(0.5, 2, (4, 3)).astype(np.float32)
    eps = np.float32(1e-5)
    numeric = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += eps
        down[index] -= eps
        numeric[index] = ((up**3).sum() - (down**3).sum()) / (2 * eps)
    return 3 * x**2, numeric


def numeric_with_a_tiny_eps() -> tuple[Array, Array]:
    """numeric = (f(x + eps) - f(x - eps)) / 2 eps, with eps = 1e-12.

    f(x) = Σ x³. A smaller eps is not a better one: the difference of two sums near 30 is known to 1e-15 or so, and
    divided by 2e-12 that is an error of a thousandth or more. The best eps is about 1e-5 to 1e-6 in float64.
    """
    x = np.random.default_rng(0).uniform(0.5, 2, (4, 3))
    eps = 1e-12
    numeric = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += eps
        down[index] -= eps
        numeric[index] = ((up**3).sum() - (down**3).sum()) / (2 * eps)
    return 3 * x**2, numeric


def numeric_across_kinks() -> tuple[Array, Array]:
    """numeric = (f(x + eps) - f(x - eps)) / 2 eps, where the kink of f lies between the two.

    f(x) = Σ max(x, 0), and some x are 0 exactly, as pixels and the outputs of another ReLU are. There one side has the
    slope 0 and the other 1, so the difference says 1/2; analytic, 0, is what torch has. Nothing is wrong but the point.
    """
    x = np.random.default_rng(0).uniform(-2, 2, (4, 3))
    x[0, 1] = x[2, 0] = x[3, 2] = 0
    eps = 1e-6
    numeric = (np.maximum(x + eps, 0) - np.maximum(x - eps, 0)) / (2 * eps)
    return (x > 0).astype(x.dtype), numeric
