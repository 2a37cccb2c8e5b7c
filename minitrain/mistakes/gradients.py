"""Mistakes in backward passes and in the walk back, as edits of the library's source; specimen.py explains the form."""

ARITHMETIC = """
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

ops.Clamp.backward

clamp-mask-inverted: mask-inverted
  dL/dx = dL/dy where x < min or x > max, else 0.
  What was cut off gets the gradient, and what passed unchanged gets none: this is the mask of what lies outside.
- ~((x  =>  ((x
clamp-mask-forgotten: mask-missing
  dL/dx = dL/dy.
  Where x was cut off, y is min or max whatever x is, so x must get 0. (The straight-through estimator does this on
  purpose, but it is not the gradient of clamp.)
+ return grad_y

ops.Maximum.backward

maximum-taken-from-the-smaller: mask-inverted
  dL/dy goes to the smaller, half to each where they are equal.
  The comparison is reversed. y was the larger operand, so only the larger operand moves it.
- b_taken=np.less(a, b), a_taken=np.greater(a, b)  =>  b_taken=np.greater(a, b), a_taken=np.less(a, b)

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

REDUCTIONS_AND_SHAPES = """
ops.Sum.backward

sum-as-if-a-mean: mean-twice
  dL/dx = dL/dy / n, repeated along dim.
  The 1/n belongs to the mean. In a sum every x gets all of dL/dy. Here each entry is n times too small.
- grad_y, ctx  =>  grad_y / math.prod(ctx.shape[axis] for axis in ctx.dim), ctx
sum-without-the-chain-rule: grad-output-missing
  dL/dx = 1.
  The derivative of a sum with respect to each term is 1, times dL/dy. This is right only where the sum is the loss.
+ return np.ones(ctx.shape, grad_y.dtype)

ops.Mean.backward

mean-as-if-a-sum: mean-missing
  dL/dx = dL/dy, repeated along dim.
  y is 1/n times a sum, and so is its derivative. Here every entry is n times too large, like a learning rate times n.
- grad_y / ctx.n  =>  grad_y
mean-of-all-entries: mean-twice
  dL/dx = dL/dy / (the number of all entries of x), repeated along dim.
  n is the number of values in each mean, the size along dim, not the number of all entries. If dim leaves out an axis
  of size m, every entry is m times too small. If dim has all axes, nothing is wrong.
- ctx.n  =>  math.prod(ctx.shape)
mean-divided-twice: mean-twice
  dL/dx = dL/dy / n², repeated along dim.
  The 1/n is applied twice, for example by a function and by its caller. Training becomes very slow.
- grad_y / ctx.n  =>  grad_y / ctx.n / ctx.n
mean-multiplies: factor
  dL/dx = dL/dy · n, repeated along dim.
  A mean divides by n, and so must its gradient. Multiplied instead, every entry is n² times too large.
- grad_y / ctx.n  =>  grad_y * ctx.n

ops.Var.backward

var-two-forgotten: factor
  dL/dx = dL/dy · (x - mean) / (n - correction).
  The derivative of a square has a factor 2. Without it every entry is half as large as it should be.
- 2 * distance  =>  distance
var-not-divided: factor
  dL/dx = dL/dy · 2 (x - mean).
  A variance is a sum of squares divided by n - correction, and so is its gradient. Here the gradient grows with n.
- distance / ctx.divisor  =>  distance

ops.Amax.backward

amax-to-all: mask-missing
  dL/dx = dL/dy, repeated along dim.
  This is the gradient of a sum. Only the largest x is y. The others could move a little without changing it, and get 0.
+ x, _ = ctx.saved_arrays
+ return np.broadcast_to(_expanded(grad_y, ctx), x.shape)

ops.Max.backward

max-to-all: mask-missing
  dL/dx = dL/dy, for every entry.
  Only the largest x is y. All others could move a little without changing it, and must get 0.
+ x, _ = ctx.saved_arrays
+ return np.broadcast_to(grad_y, x.shape)

ops.Reshape.backward

reshape-in-fortran-order: wrong-place
  dL/dx = dL/dy in x's shape, filled column by column.
  reshape works row by row. In another order, the right numbers arrive at the wrong entries, and every norm is right.
- grad_y.reshape(ctx.shape)  =>  grad_y.reshape(ctx.shape, order="F")

ops.Flatten.backward

flatten-from-the-end: wrong-place
  dL/dx = dL/dy, last column first, in x's shape.
  The columns come back in reverse: pixel 0 gets the last pixel's gradient. The shape is right, so nothing complains.
- grad_y.reshape  =>  grad_y[..., ::-1].reshape
flatten-in-fortran-order: wrong-place
  dL/dx = dL/dy in x's shape, filled column by column.
  Flatten read the pixels row by row. Written back column by column, each gradient arrives at the wrong pixel.
- grad_y.reshape(ctx.shape)  =>  grad_y.reshape(ctx.shape, order="F")

ops.Transpose.backward

transpose-reshapes: wrong-place
  dL/dx = dL/dy reshaped into x's shape.
  Reshaping keeps the order in which the numbers are read. Transposing does not, so they end up in the wrong places.
+ dim0, dim1 = ctx.dims
+ sizes = list(grad_y.shape)
+ sizes[dim0], sizes[dim1] = sizes[dim1], sizes[dim0]
+ return grad_y.reshape(sizes)
transpose-not-undone: transposed
  dL/dx = dL/dy.
  The gradient still has the axes of y, which must be swapped back. The shape does not show it if the matrix is square.
+ return grad_y

ops.Permute.backward

permute-the-same-way-again: wrong-place
  dL/dx = dL/dy with its axes permuted by dims once more.
  Putting the axes back takes the inverse permutation, argsort(dims). For a swap of two axes, which undoes itself, both
  are the same. For (1, 2, 0) they are not.
- np.argsort(ctx.dims)  =>  ctx.dims

ops.Expand.backward

expand-of-the-first-copy-only: sum-missing
  dL/dx = dL/dy of the first repeat.
  Every repeat sends back a gradient, and x gets their sum. Here only the first one is used.
+ grad_x = grad_y[(0,) * (grad_y.ndim - len(ctx.shape))]
+ for axis, size in enumerate(ctx.shape):
+     if size == 1:
+         grad_x = np.take(grad_x, [0], axis)
+ return grad_x
expand-takes-the-mean: mean-twice
  dL/dx = dL/dy averaged over the repeats.
  Each repeat uses x fully, so the gradients add up. Averaged, they are too small by the number of repeats.
- unbroadcast(grad_y, ctx.shape)  =>  unbroadcast(grad_y, ctx.shape) / (grad_y.size // math.prod(ctx.shape))

ops.Index.backward

index-overwrites: path-forgotten
  dL/dx = dL/dy at index (only the last one where index names a place twice), else 0.
  An entry that was taken twice gets two gradients, and they must be added. `grad_x[index] = ...` keeps the last one,
  and in NumPy `grad_x[index] += ...` does the same; np.add.at adds both. An embedding whose batch contains a word twice
  learns from one of the two.
- np.add.at(grad_x, ctx.index, grad_y)  =>  grad_x[ctx.index] += grad_y
index-writes-into-a-copy: detached
  dL/dx = 0.
  In NumPy, indexing with an array of integers or a mask makes a copy. grad_x[index][...] = grad_y fills that copy,
  which is dropped at once, and grad_x stays 0. With a slice, which gives a view, it would have worked.
- np.add.at(grad_x, ctx.index, grad_y)  =>  grad_x[ctx.index][...] = grad_y
- grad_x[ctx.index] = grad_y  =>  grad_x[ctx.index][...] = grad_y
index-starts-from-ones: shifted
  dL/dx = 1 + dL/dy at index, else 1.
  The array that collects the gradients must start at 0. Here every entry is too large by 1, used or not.
- np.zeros  =>  np.ones

ops.IndexPut.backward

index-put-keeps-what-was-overwritten: mask-missing
  dL/dx = dL/dy,  dL/dv = dL/dy[index].
  v has overwritten what x had at index, so those entries of x must get 0. Here they get v's gradient as well.
- grad_x[ctx.index] = 0  =>  pass

ops.ViewPut.backward

view-put-keeps-what-was-overwritten: mask-missing
  dL/dx = dL/dy,  dL/dv = dL/dy in the view.
  v has overwritten what x had in the view, so those entries of x must get 0. Here they get v's gradient as well.
- ctx.view(grad_x)[...] = 0  =>  pass

ops.Cat.backward

cat-in-reverse: inputs-swapped
  dL/d(input) = the part of dL/dy that belongs to the input on the other side.
  The parts are cut in the right places, but returned from the last to the first. With equal sizes nothing complains.
- axis=ctx.dim)  =>  axis=ctx.dim)[::-1]

ops.Clone.backward

clone-detaches: detached
  dL/dx = 0.
  A clone is a copy on the tape, and its gradient continues to x. Stopping it is what detach() is for, not clone().
- grad_y  =>  np.zeros_like(grad_y)

ops.ToCopy.backward

to-copy-detaches: detached
  no dL/dx.
  Another dtype makes another array, but not another value: x gets its gradient, in its own dtype. If a model computes
  in one precision and keeps its weights in another, no weight would ever learn.
+ return None
"""

MATRICES = """
ops.Matmul.backward

matmul-the-other-way-round: transposed
  dL/da = dL/dy @ bᵀ,  dL/db = dL/dyᵀ @ a.
  This is the transpose of aᵀ @ dL/dy, since (A B)ᵀ = Bᵀ Aᵀ. The shape does not show it if b is square.
- unbroadcast(np.swapaxes(rows, -1, -2) @ grad_y, column).reshape(shape_b)  =>  np.swapaxes(grad_y, -1, -2) @ rows
matmul-without-the-chain-rule: grad-output-missing
  dL/da = 1 @ bᵀ,  dL/db = aᵀ @ 1.
  With ones in place of dL/dy, these are the gradients of the sum of all entries of y, whatever the loss is.
- grad_y @ np.swapaxes  =>  np.ones_like(grad_y) @ np.swapaxes
- @ grad_y, column  =>  @ np.ones_like(grad_y), column
matmul-of-the-first-matrix-only: sum-missing
  dL/da = dL/dy @ bᵀ,  dL/db = aᵀ @ dL/dy of the first matrix of the stack.
  If a stack of a's is multiplied with one matrix b, their gradients to b add up. Here only the first one is kept.
- unbroadcast(np.swapaxes(rows, -1, -2) @ grad_y, column).reshape(shape_b)
+ np.swapaxes(rows, -1, -2) @ grad_y
+     while grad_b.ndim > len(shape_b):
+         grad_b = grad_b[0]
matmul-half-of-a: factor
  dL/da = 1/2 · dL/dy @ bᵀ,  dL/db = aᵀ @ dL/dy.
  The 1/2 belongs to no formula here. The gradient still points the right way, so training only becomes slower.
- grad_y @ np.swapaxes(columns, -1, -2)  =>  grad_y @ np.swapaxes(columns, -1, -2) / 2
matmul-sign-of-b: sign
  dL/da = dL/dy @ bᵀ,  dL/db = -aᵀ @ dL/dy.
  The second operand, often a weight, goes uphill in every step, while the first one learns as it should.
- np.swapaxes(rows, -1, -2)  =>  -np.swapaxes(rows, -1, -2)

ops.Linear.backward

linear-input-sign: sign
  dL/dx = -dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The layer sends back its gradient with the wrong sign. Its own weights learn, but the layers before it go uphill.
- layout.product(  =>  -layout.product(
linear-input-rows-missing: rows-missing
  dL/dx = dL/dy W of all samples but the last,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The loop over the batch ends one sample too early, and the last sample gets 0. The layers before never learn from it.
- grad_x = layout.product(grad_rows, weight).reshape(ctx.shape)
+ grad_x = np.zeros((len(grad_rows), weight.shape[1]), grad_rows.dtype)
+     for i in range(len(grad_rows) - 1):
+         grad_x[i] = grad_rows[i] @ weight
+     grad_x = grad_x.reshape(ctx.shape)
linear-weight-transposed: transposed
  dL/dx = dL/dy W,  dL/dW = xᵀ dL/dy,  dL/db = Σ dL/dy over the batch.
  The weight has the shape (out, in), and so has its gradient, dL/dyᵀ x. xᵀ dL/dy is the transpose. In a layer with as
  many inputs as outputs the shape does not reveal it, and the layer learns nonsense.
- layout.transposed_product(grad_rows, _rows(x))  =>  layout.transposed_product(grad_rows, _rows(x)).T
linear-weight-sign: sign
  dL/dx = dL/dy W,  dL/dW = -dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The minus of "go against the gradient" belongs to the optimizer, which subtracts. With a minus here as well the weight
  goes uphill. The loss may still fall, since the other layers learn around it.
- layout.transposed_product(  =>  -layout.transposed_product(
linear-weight-averaged: mean-twice
  dL/dx = dL/dy W,  dL/dW = 1/N · dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  If the loss is a mean over the batch, its 1/N is in dL/dy already. Here it is applied a second time, and the weight
  learns N times too slowly, as if it had a smaller learning rate.
- layout.transposed_product(grad_rows, _rows(x))  =>  layout.transposed_product(grad_rows, _rows(x)) / len(grad_rows)
linear-weight-of-the-last-sample: sum-missing
  dL/dx = dL/dy W,  dL/dW = (dL/dy)ᵀ x of the last sample,  dL/db = Σ dL/dy over the batch.
  A loop over the batch uses = where += is needed, so the last sample remains. With a batch of one nothing is wrong.
- grad_weight = layout.transposed_product(grad_rows, _rows(x))
+ for grad_row, row in zip(grad_rows, _rows(x), strict=True):
+         grad_weight = np.outer(grad_row, row)
linear-weight-detached: detached
  dL/dx = dL/dy W,  dL/dW = 0,  dL/db = Σ dL/dy over the batch.
  `grad_weight + ...` makes a new array and drops it; `+=` was meant. The layer keeps its first weights forever.
- grad_weight = layout.transposed_product(grad_rows, _rows(x))
+ grad_weight = np.zeros((grad_rows.shape[1], x.shape[-1]), grad_rows.dtype)
+     for grad_row, row in zip(grad_rows, _rows(x), strict=True):
+         grad_weight + np.outer(grad_row, row)
linear-bias-not-summed: sum-missing
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = dL/dy.
  The same bias was added to every row, so it gets the sum of the rows' gradients, of shape (out,) and not (N, out).
- layout.pairwise_sum(grad_rows, (0,))  =>  grad_rows
linear-bias-summed-over-the-outputs: sum-wrong-axis
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the outputs.
  The bias was repeated along the batch, so the sum must run over axis 0. Over axis 1 it has one number per sample.
- (0,)  =>  (1,)
linear-bias-averaged: mean-twice
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = 1/N · Σ dL/dy over the batch.
  This is mean() where sum() is needed. The 1/N of the loss is in dL/dy already. Applied a second time, it makes the
  bias learn N times too slowly, which few people ever notice.
- layout.pairwise_sum(grad_rows, (0,))  =>  grad_rows.mean(axis=0)
linear-bias-of-the-first-sample: sum-missing
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = dL/dy of the first sample.
  Every sample used the bias, so their gradients add up. Here the bias learns from the first sample of each batch alone.
- layout.pairwise_sum(grad_rows, (0,))  =>  grad_rows[0]
linear-bias-forgotten: detached
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  no dL/db.
  The bias requires a gradient and gets none, so it keeps its first value. The weights learn, and may compensate for it.
- return grad_x, grad_weight, grad_bias  =>  return grad_x, grad_weight, None
"""

LOSSES = """
ops.Softmax.backward

softmax-diagonal-only: off-diagonal-missing
  dL/dx = dL/dy · y · (1 - y).
  This is the derivative of the sigmoid: how each y moves with its own x. But each x moves every y of its row, since
  they add up to 1. Its influence on the others, -y_i · y_j, is missing.
+ (y,) = ctx.saved_arrays
+ return grad_y * (y * (1 - y))
softmax-as-if-an-exp: off-diagonal-missing
  dL/dx = dL/dy · y.
  This is the derivative of exp. The denominator, through which each x pushes the other y's down, is left out. The
  gradient of softmax sums to 0 over a row, and this one does not.
+ (y,) = ctx.saved_arrays
+ return grad_y * y
softmax-along-the-wrong-axis: sum-wrong-axis
  dL/dx = y · (dL/dy - Σ dL/dy · y), summed over axis 0.
  The sum must run over dim, along which the y's add up to 1. Here it runs over the batch, and mixes the samples.
- axis=ctx.dim  =>  axis=0
softmax-sign: sign
  dL/dx = y · (Σ dL/dy · y - dL/dy).
  The difference is reversed, and with it the sign of every entry. Attention, or whatever uses the softmax, goes uphill.
- return y * (grad_y -  =>  return -y * (grad_y -

ops.Softmax.forward

softmax-saves-its-input: at-input
  y = exp x / Σ exp x over dim;  dL/dx = x · (dL/dy - Σ dL/dy · x).
  forward saves x where backward expects y. A score may be negative or 100, and the gradient grows with it.
- save_for_backward(y)  =>  save_for_backward(x)

ops.LogSoftmax.backward

log-softmax-diagonal-only: off-diagonal-missing
  dL/dx = dL/dy - exp y · dL/dy.
  The Σ over dim is missing, so each x gets its own y's gradient only. But it moves all of its row by ln Σ exp x.
- grad_y.sum(axis=ctx.dim, keepdims=True)  =>  grad_y
log-softmax-along-the-wrong-axis: sum-wrong-axis
  dL/dx = dL/dy - exp y · Σ dL/dy, summed over axis 0.
  The sum must run over the classes. Over the batch, each sample's gradient contains those of all other samples.
- axis=ctx.dim  =>  axis=0
log-softmax-exp-forgotten: operand
  dL/dx = dL/dy - y · Σ dL/dy.
  y is the logarithm of the probability, and the formula needs exp y. The less likely a class is, the more it is pulled.
- np.exp(y)  =>  y
log-softmax-passes-on: derivative-missing
  dL/dx = dL/dy.
  This is right for the x in y = x - ln Σ exp x, but the second term depends on x, too. Without it the scores of the
  right classes are pushed up forever, and nothing pushes the others down.
+ return grad_y
log-softmax-one-hot-forgotten: one-hot-missing
  dL/dx = -exp y · Σ dL/dy.
  The gradient of cross-entropy is softmax - onehot. The onehot of the right classes comes from the first term, dL/dy
  itself, which is missing here. Every score is pushed down, also the right one.
- grad_y - np.exp(y)  =>  -np.exp(y)

ops.LogSoftmax.forward

log-softmax-saves-its-input: at-input
  y = x - ln Σ exp x over dim;  dL/dx = dL/dy - exp x · Σ dL/dy.
  forward saves x where backward expects y: exp x does not add up to 1 over a row, as the probabilities exp y do.
- save_for_backward(y)  =>  save_for_backward(x)

ops.NLLLoss.backward

nll-mean-forgotten: mean-missing
  dL/dx[i, t_i] = -w[t_i] · dL/dy, else 0, for a mean as for a sum.
  The loss is a mean over the batch, but its gradient is that of a sum, N times too large. The printed loss is right.
  Only the steps are wrong, as if the learning rate were N times larger.
- grad_y = grad_y / total  =>  pass
nll-mean-over-the-classes: mean-twice
  dL/dx[i, t_i] = -w[t_i] · dL/dy / (Σ w[t_i] · C), else 0.
  The mean runs over the samples, since only one entry of each row counts. Here the gradient is C times too small.
- grad_y / total  =>  grad_y / (total * ctx.shape[ctx.class_dim])
nll-sign: sign
  dL/dx[i, t_i] = w[t_i] · dL/dy_i (/ Σ w[t_i]), else 0.
  The N in NLL is a minus sign: the loss falls when the right class's log-probability rises. Without it the network
  learns to avoid the right answer, and its accuracy falls below chance.
- -w * grad_y  =>  w * grad_y
nll-counts-classes-from-one: wrong-place
  dL/dx[i, t_i - 1] = -w[t_i] · dL/dy_i (/ Σ w[t_i]), else 0.
  Classes are counted from 0. Counted from 1, each gradient lands one class too low. The gradient of class 0 lands at
  the last class, since Python's index -1 is the last one. No index is out of range, so nothing complains.
- labels] = -w  =>  labels - 1] = -w
nll-rows-missing: rows-missing
  dL/dx[i, t_i] = -w[t_i] · dL/dy_i (/ Σ w[t_i]) for all i but the first, else 0.
  The loop over the samples starts at 1, so the first sample of each batch gets no gradient.
- grad_rows[kept, labels] = -w * grad_y
+ grad_losses = np.broadcast_to(-w * grad_y, kept.shape)
+ for i in range(1, kept.size):
+     grad_rows[kept[i], labels[i]] = grad_losses[i]
nll-mean-and-sum-exchanged: mean-missing
  dL/dx[i, t_i] = -w[t_i] · dL/dy, else 0, for a mean;  divided by Σ w[t_i] for a sum.
  The condition names the wrong reduction. The mean's gradient is N times too large, and the sum's N times too small.
- == "mean"  =>  == "sum"

ops.MSELoss.backward

mse-two-forgotten: factor
  dL/dx = (x - t) · dL/dy (/ n).
  The derivative of a square has a factor 2. Without it this is the gradient of half the squared error. Some books
  define the loss with that half for this very reason, but then forward needs it, too.
- 2 / difference.size  =>  1 / difference.size
- else 2  =>  else 1
mse-mean-forgotten: mean-missing
  dL/dx = 2 (x - t) · dL/dy, for a mean as for a sum.
  The loss is a mean over n elements, and this is the gradient of a sum: n times too large.
- 2 / difference.size if  =>  2 if
mse-mean-over-the-rows: mean-missing
  dL/dx = 2 (x - t) · dL/dy (/ the number of rows).
  The mean runs over all elements, rows times columns. Divided by the rows alone, it is right only with one column.
- 2 / difference.size  =>  2 / len(difference)
mse-of-the-mean-difference: averaged
  dL/dx = 2 · (the batch's mean of x - t) · dL/dy (/ n).
  The errors are averaged over the batch before they are used, so every sample of a column gets the same gradient.
  Errors of opposite sign cancel, and the network learns to be right on average.
- scale * difference * grad_y
+ scale * np.broadcast_to(difference.mean(axis=0, keepdims=True), difference.shape) * grad_y
mse-without-the-chain-rule: grad-output-missing
  dL/dx = 2 (x - t) (/ n).
  The loss is usually the end of the network, where dL/dy is 1. So this works until the loss is weighted, added to
  another one, or divided by the number of accumulation steps.
- scale * difference * grad_y  =>  scale * difference
mse-target-sign: sign
  dL/dx = 2 (x - t) · dL/dy (/ n),  dL/dt = 2 (x - t) · dL/dy (/ n).
  x and t change the difference in opposite directions, so their gradients have opposite signs. It shows only where the
  target requires a gradient, for example when it is the output of another network.
- -grad_x if  =>  grad_x if
mse-target-detached: detached
  dL/dx = 2 (x - t) · dL/dy (/ n),  no dL/dt.
  A target is usually data. If it is the output of another network, that network never learns from this loss.
- -grad_x if needs_target else None  =>  None
"""

TAPE = """
tape.walk_back

walk-back-overwrites: path-forgotten
  pending[edge] = input_grad, also where a gradient is waiting already.
  A value that is used twice gets a gradient from each use, and they add up. Here the later gradient replaces the
  earlier one, as if the value had been used once: in x · x, a residual connection, or a weight that two layers share.
- np.asarray(pending[edge] + input_grad)  =>  input_grad
walk-back-visits-too-early: path-forgotten
  Each node is visited once, as soon as the first gradient reaches it.
  This walks in depth, without sorting first. A value that is used twice is passed as soon as one of its users has been
  visited, and the other user's gradient comes too late. Where no value is used twice it is right.
+ pending: dict[Node | AccumulateGrad, Array] = {root: grad}
+ visited: set[Node | AccumulateGrad] = set()
+ waiting = [root] if isinstance(root, Node) else []
+ while waiting:
+     node = waiting.pop()
+     if node in visited:
+         continue
+     visited.add(node)
+     input_gradients = node.input_gradients(pending.pop(node))
+     if not retain_graph:
+         node.free()
+     for (edge, _), input_grad in zip(node.next_functions, input_gradients, strict=True):
+         if edge is None or input_grad is None or edge in visited:
+             continue
+         pending[edge] = pending[edge] + input_grad if edge in pending else input_grad
+         if isinstance(edge, Node):
+             waiting.append(edge)
+ for leaf, grad in pending.items():
+     if isinstance(leaf, AccumulateGrad):
+         leaf.variable.receive_grad(grad, owned=False)
walk-back-starts-from-one: grad-output-missing
  pending = {root: 1}, whatever gradient was given.
  loss.backward() starts with dL/dL = 1, so it is right. y.backward(gradient) should start with the given gradient.
- {root: grad}  =>  {root: np.ones_like(grad)}
walk-back-hands-out-in-reverse: inputs-swapped
  The gradient of a node's first input goes to its last, and the other way round.
  The gradients are right, but sent to the wrong inputs. With one input, and for a sum, it makes no difference.
- in zip(node.next_functions, input_gradients, strict=True)
+ in zip(node.next_functions, input_gradients[::-1], strict=True)
"""
