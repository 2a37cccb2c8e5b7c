"""Mistakes in arithmetic and in elementwise functions, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
ops.Add.backward

add-without-unbroadcast: sum-missing
  dL/da = dL/dy,  dL/db = dL/dy, each in the shape of y.
  An operand that broadcasting repeated gets a gradient from each copy, and they must be added up. Here they are not, so
  the gradient has the wrong shape: a bias, for example, gets one gradient per sample.
- unbroadcast(grad_y, shape_a)  =>  grad_y
- unbroadcast(grad_y, shape_b)  =>  grad_y
add-of-the-first-copy-only: sum-missing
  dL/da = dL/dy,  dL/db = dL/dy, of the first copy where broadcasting made several.
  The shape is right, so nothing complains. But every copy of the operand was used, and only one of their gradients is
  kept, where the sum is needed. A bias then learns from the first sample of each batch alone.
+ gradients = []
+ for shape, needed in zip(ctx.shapes, ctx.needs_input_grad, strict=True):
+     grad = grad_y[(0,) * (grad_y.ndim - len(shape))]
+     for axis, size in enumerate(shape):
+         if size == 1:
+             grad = np.take(grad, [0], axis)
+     gradients.append(grad if needed else None)
+ return tuple(gradients)
add-negates-b: sign
  dL/da = dL/dy,  dL/db = -dL/dy.
  This is the gradient of a difference. In a sum both operands move y the same way, so both get dL/dy with its own sign.
- unbroadcast(grad_y, shape_b)  =>  unbroadcast(-grad_y, shape_b)

ops.Sub.backward

sub-sign-forgotten: sign
  dL/da = dL/dy,  dL/db = dL/dy.
  What is subtracted moves y the other way, so its gradient has the opposite sign. Here b goes uphill in every step.
- unbroadcast(-grad_y, shape_b)  =>  unbroadcast(grad_y, shape_b)

ops.Mul.forward

mul-saves-the-wrong-way-round: operand
  y = a · b;  dL/da = dL/dy · a,  dL/db = dL/dy · b.
  y is right, but backward finds each factor in the other's place: the derivative of a · b with respect to a is b, not
  a. With a = b, as in x · x, nobody notices. A check needs two different factors.
- a if needs_b else None, b if needs_a else None  =>  b if needs_b else None, a if needs_a else None

ops.Mul.backward

mul-without-the-chain-rule: grad-output-missing
  dL/da = b,  dL/db = a.
  This is dy/da, as in a table of derivatives, without the factor dL/dy. It is right only where the product is the loss.
- grad_y * b  =>  np.ones_like(grad_y) * b
- grad_y * a  =>  np.ones_like(grad_y) * a
mul-without-unbroadcast: sum-missing
  dL/da = dL/dy · b,  dL/db = dL/dy · a, each in the shape of y.
  A factor that broadcasting repeated, such as one scale per column, gets a gradient per copy. They must be added up.
- unbroadcast(grad_y * b, shape_a)  =>  grad_y * b
- unbroadcast(grad_y * a, shape_b)  =>  grad_y * a
mul-with-the-chain-rule-twice: not-linear
  dL/da = dL/dy² · b,  dL/db = dL/dy² · a.
  dL/dy is multiplied in twice. If the loss follows at once, dL/dy is 1, and its square, too: there it does not show.
- grad_y * b  =>  grad_y * grad_y * b
- grad_y * a  =>  grad_y * grad_y * a

ops.Div.backward

div-sign-forgotten: sign
  dL/da = dL/dy / b,  dL/db = dL/dy · a / b².
  A larger denominator makes a smaller quotient: the derivative of 1/b is -1/b². Without the minus, b goes uphill.
- unbroadcast(-grad_y  =>  unbroadcast(grad_y
div-square-forgotten: operand
  dL/da = dL/dy / b,  dL/db = -dL/dy · a / b.
  The derivative of 1/b is -1/b². Near b = 1 the missing 1/b hardly shows. Elsewhere the gradient is too small or large.
- (a / b / b)  =>  (a / b)
div-multiplies: operand
  dL/da = dL/dy · b,  dL/db = -dL/dy · a / b².
  a / b is a times 1/b, so the derivative with respect to a is 1/b. Multiplying by b is the product's rule, copied.
- grad_y / b, shape_a  =>  grad_y * b, shape_a
div-returns-in-the-wrong-order: inputs-swapped
  dL/da = -dL/dy · a / b²,  dL/db = dL/dy / b.
  backward's i-th result belongs to forward's i-th input. Where both inputs have the same shape, nothing complains.
- unbroadcast(grad_y / b, shape_a)  =>  unbroadcast(-grad_y * (a / b / b), shape_a)
- unbroadcast(-grad_y * (a / b / b), shape_b)  =>  unbroadcast(grad_y / b, shape_b)

ops.Pow.backward

pow-exponent-not-lowered: operand
  dL/da = dL/dy · b · a^b,  dL/db = dL/dy · y · ln a.
  The derivative of a^b is b · a^(b-1): the exponent becomes a factor and is lowered by one. Here one a is too many.
- np.power(a, b - 1)  =>  np.power(a, b)
pow-factor-forgotten: operand
  dL/da = dL/dy · a^(b-1),  dL/db = dL/dy · y · ln a.
  The exponent is lowered, but does not become a factor: the derivative of a³ is 3a², not a².
- (b * np.power(a, b - 1))  =>  np.power(a, b - 1)
pow-of-zero: not-finite
  dL/da = dL/dy · b · a^(b-1),  dL/db = dL/dy · y · ln a, also where a = 0.
  0^b is 0 for every b > 0, so its derivative with respect to b is 0. But the formula computes 0 · ln 0 = 0 · -inf,
  which is nan. After the next update the nan is in the weights, and soon everything is nan.
- np.where(flat, 0, y * ln_a)  =>  (y * ln_a)
pow-base-for-the-power: at-input
  dL/da = dL/dy · b · a^(b-1),  dL/db = dL/dy · a · ln a.
  The derivative of a^b with respect to b is a^b · ln a, with the power y itself. Here the base a stands in its place.
- y * ln_a  =>  a * ln_a

ops.Neg.backward

neg-without-the-chain-rule: grad-output-missing
  dL/dx = -1.
  The derivative of -x is -1, which still has to be multiplied by dL/dy, the effect of y on the loss.
- -grad_y  =>  -np.ones_like(grad_y)
neg-sign-forgotten: sign
  dL/dx = dL/dy.
  When x grows, -x falls, so the gradient changes its sign on the way back. Here everything before goes uphill.
- -grad_y  =>  grad_y

ops.Exp.backward

exp-passes-on: derivative-missing
  dL/dx = dL/dy.
  dL/dy has to be multiplied by the derivative, exp x, which is y. Near x = 0, where y is 1, it hardly shows.
- grad_y * y  =>  grad_y
exp-without-the-chain-rule: grad-output-missing
  dL/dx = y.
  This is dy/dx alone. dL/dy is thrown away, so whatever comes after exp has no influence on the gradient.
- grad_y * y  =>  y.copy()
exp-at-the-output: at-output
  dL/dx = dL/dy · exp y.
  forward saved y = exp x. Taking exp of it again gives the derivative at the wrong point, at y instead of at x.
- grad_y * y  =>  grad_y * np.exp(y)

ops.Exp.forward

exp-saves-its-input: at-input
  y = exp x;  dL/dx = dL/dy · x.
  forward saves x where backward expects y. backward's line, grad_y * y, looks right, but its y is not y.
- save_for_backward(y)  =>  save_for_backward(x)

ops.Log.backward

log-multiplies: operand
  dL/dx = dL/dy · x.
  The derivative of ln x is 1/x. With a product the gradient grows where it should shrink. At x = 1 it is right.
- grad_y / x  =>  grad_y * x
log-at-the-output: at-output
  dL/dx = dL/dy / ln x.
  The derivative of ln x is 1/x. Divided by ln x, the gradient has the wrong sign for x < 1, and is infinite at 1.
- grad_y / x  =>  grad_y / np.log(x)
log-with-an-eps: eps
  dL/dx = dL/dy / (x + 0.01).
  An eps in the denominator prevents a division by 0. But forward has none, so this is the gradient of another function.
  Where x is much larger than eps it hardly shows. Where x is small the gradient is far too small.
- grad_y / x  =>  grad_y / (x + 0.01)
log-with-an-eps-outside: shifted
  dL/dx = dL/dy / x + 0.01.
  The eps was meant for the denominator, but parentheses are missing. So every entry of the gradient is shifted by eps.
- grad_y / x  =>  grad_y / x + 0.01
log-clipped: clipped
  dL/dx = dL/dy / x, but at most 1 and at least -1.
  Clipping each operation's gradient keeps it from exploding, but then it is no longer the gradient: all large entries,
  which matter most, become equal. Clip the parameters' gradients instead, after backward.
- grad_y / x  =>  np.clip(grad_y / x, -1, 1)
log-of-the-square: operand
  dL/dx = dL/dy / x².
  1/x² is the derivative of -1/x, the next line in the table. The derivative of ln x is 1/x.
- grad_y / x  =>  grad_y / (x * x)

ops.Sqrt.backward

sqrt-half-forgotten: factor
  dL/dx = dL/dy / y.
  The derivative of √x = x^(1/2) is 1/2 · x^(-1/2). Without the 1/2 every entry is twice too large. That acts like a
  doubled learning rate for all layers before, so training may well continue.
- (2 * y)  =>  y
sqrt-without-parentheses: operand
  dL/dx = dL/dy / 2 · y.
  `grad_y / 2 * y` is (grad_y / 2) · y: y was meant for the denominator, and is in the numerator.
- (2 * y)  =>  2 * y

ops.Sqrt.forward

sqrt-saves-its-input: at-input
  y = √x;  dL/dx = dL/dy / 2x.
  forward saves x where backward expects y. At x = 1, where both are the same, it does not show.
- save_for_backward(y)  =>  save_for_backward(x)

ops.Abs.backward

abs-passes-on: derivative-missing
  dL/dx = dL/dy.
  This is right for positive x, where |x| is x. For negative x it has the wrong sign: a larger x makes a smaller |x|.
- grad_y * sign  =>  grad_y

ops.Tanh.backward

tanh-at-the-output: at-output
  dL/dx = dL/dy · (1 - tanh² y).
  The saved y is tanh x already. For small x, tanh y is nearly y. Everywhere else the gradient becomes too large.
- y * y  =>  np.square(np.tanh(y))
tanh-square-forgotten: wrong-derivative
  dL/dx = dL/dy · (1 - y).
  The derivative of tanh is 1 - y². Without the square it is above 1 for negative y, and not symmetric.
- y * y)  =>  y)
tanh-as-the-sigmoid: wrong-derivative
  dL/dx = dL/dy · y · (1 - y).
  This is the sigmoid's derivative. tanh is between -1 and 1, and its derivative is 1 - y² = (1 - y) · (1 + y).
+ (y,) = ctx.saved_arrays
+ return grad_y * (y * (1 - y))
tanh-without-parentheses: term-without-grad
  dL/dx = dL/dy · 1 - y².
  The parentheses of dL/dy · (1 - y²) are missing. So y² is subtracted from the gradient, whatever dL/dy is.
+ (y,) = ctx.saved_arrays
+ return grad_y * 1 - y * y

ops.Tanh.forward

tanh-saves-its-input: at-input
  y = tanh x;  dL/dx = dL/dy · (1 - x²).
  forward saves x where backward expects y. Beyond |x| = 1 the gradient has the wrong sign, and it grows.
- save_for_backward(y)  =>  save_for_backward(x)

ops.Sigmoid.backward

sigmoid-at-the-output: at-output
  dL/dx = dL/dy · sigmoid y · (1 - sigmoid y).
  The saved y is the sigmoid of x already, between 0 and 1. The sigmoid of that lies between 0.5 and 0.73, so the
  gradient is nearly the same for every x, and a saturated unit never looks saturated.
- return grad_y * (y * (1 - y))
+ again = 1 / (1 + np.exp(-y))
+ return grad_y * (again * (1 - again))
sigmoid-factor-forgotten: operand
  dL/dx = dL/dy · (1 - y).
  The derivative is y · (1 - y). Without the first factor, the gradient does not vanish where y is near 0 as it should.
- (y * (1 - y))  =>  (1 - y)
sigmoid-sign: sign
  dL/dx = dL/dy · y · (y - 1).
  The difference is reversed. The sigmoid grows with x, and this says that it falls, so everything before goes uphill.
- (1 - y)  =>  (y - 1)

ops.Sigmoid.forward

sigmoid-saves-its-input: at-input
  y = 1 / (1 + exp(-x));  dL/dx = dL/dy · x · (1 - x).
  forward saves x where backward expects y. The gradient is negative for x outside of 0 to 1, and has no bound.
- save_for_backward(y)  =>  save_for_backward(x)

ops.ReLU.forward

relu-takes-the-smaller: values
  y = min(x, 0).
  The negative part passes, and the positive part is cut off: the reverse of a ReLU.
- np.maximum(x  =>  np.minimum(x
relu-saves-the-negative: values
  y = max(x, 0);  dL/dx = 0 where x >= 0.
  backward takes its mask from the saved array. With -y it finds nothing above 0, and stops every gradient.
- save_for_backward(y)  =>  save_for_backward(-y)

ops.ReLU.backward

relu-mask-inverted: mask-inverted
  dL/dx = dL/dy where x <= 0, else 0.
  The gradient passes where the input was negative, and stops elsewhere: only the units that were off learn.
- y <= 0  =>  y > 0
relu-mask-forgotten: mask-missing
  dL/dx = dL/dy.
  Where x < 0, y is 0 whatever x is, so x must get 0. Here it gets the gradient anyway. Training works, only worse.
+ return grad_y
relu-mask-of-the-gradient: mask-wrong-side
  dL/dx = dL/dy where dL/dy > 0, else 0.
  The input of forward decides what passes, not the sign of the gradient. Here the layer learns in one direction only.
- y <= 0  =>  grad_y <= 0
relu-multiplies-by-y: operand
  dL/dx = dL/dy · y.
  The mask is y > 0, ones and zeros. Here the gradient is multiplied by y itself, so the size of each unit scales it.
- zeroed(grad_y, y <= 0)  =>  grad_y * y
relu-without-the-chain-rule: grad-output-missing
  dL/dx = 1 where x > 0, else 0.
  This is dy/dx, the mask alone. It is not multiplied by dL/dy, so the layer sends back the same for every loss.
- zeroed(grad_y, y <= 0)  =>  (y > 0).astype(grad_y.dtype)
relu-passes-at-zero: values
  dL/dx = dL/dy where x >= 0, else 0.
  The derivative at 0 is a matter of choice; torch's is 0. Here every unit that is off, with y = 0, passes the gradient.
- y <= 0  =>  y < 0
relu-returns-the-mask: grad-output-missing
  dL/dx = (y > 0), of True and False.
  The mask says where the gradient passes, and must be multiplied by dL/dy. A bool counts as 1 or 0 in the next product.
- zeroed(grad_y, y <= 0)  =>  y > 0

ops.Clamp.backward

clamp-mask-inverted: mask-inverted
  dL/dx = dL/dy where x < min or x > max, else 0.
  What was cut off gets the gradient, and what passed unchanged gets none: this is the mask of what lies outside.
- ~((x  =>  ((x
clamp-mask-forgotten: mask-missing
  dL/dx = dL/dy.
  Where x was cut off, y does not depend on x, so x must get 0. (A straight-through estimator omits this on purpose.)
+ return grad_y
clamp-lower-bound-alone: mask-missing
  dL/dx = dL/dy where x >= min, else 0.
  The upper bound cuts off as well: above it y does not change with x, so x must get 0 there, too.
- (x >= ctx.min) & (x <= ctx.max)  =>  x >= ctx.min

ops.Maximum.backward

maximum-taken-from-the-smaller: mask-inverted
  dL/dy goes to the smaller, half to each where they are equal.
  The comparison is reversed. y was the larger operand, so only the larger operand moves it.
- b_taken=np.less(a, b), a_taken=np.greater(a, b)  =>  b_taken=np.greater(a, b), a_taken=np.less(a, b)
maximum-ties-to-both: ties
  dL/dy goes to the larger, and to both where they are equal.
  Where two operands are equal, y grows by 1 if both grow by 1, but here they get 2 dL/dy together. Give it to one of
  them, or half of it to each.
- return _gradients_of_taken(ctx, grad_y, b_taken=np.less(a, b), a_taken=np.greater(a, b))
+ to_a, to_b = zeroed(grad_y, np.less(a, b)), zeroed(grad_y, np.greater(a, b))
+ return unbroadcast(to_a, ctx.shapes[0]), unbroadcast(to_b, ctx.shapes[1])

ops.Minimum.backward

minimum-to-both: mask-missing
  dL/dy goes to both.
  Only the smaller operand is y. The other one has no influence and must get 0. Here it is pulled along for nothing.
- b_taken=np.greater(a, b), a_taken=np.less(a, b)
+ b_taken=np.zeros(grad_y.shape, bool), a_taken=np.zeros(grad_y.shape, bool)

ops.Where.backward

where-branches-exchanged: mask-inverted
  dL/da = dL/dy where not condition, dL/db = dL/dy where condition, else 0.
  a was taken where the condition holds, so its gradient belongs there. Here the two gradients are exchanged.
- np.where(condition, grad_y, 0)  =>  np.where(condition, 0, grad_y)
- np.where(condition, 0, grad_y), shape_b  =>  np.where(condition, grad_y, 0), shape_b
where-condition-forgotten: mask-missing
  dL/da = dL/dy,  dL/db = dL/dy.
  Each y came from one of the two operands. The other one had no influence there and must get 0.
- np.where(condition, grad_y, 0)  =>  grad_y
- np.where(condition, 0, grad_y)  =>  grad_y
"""
