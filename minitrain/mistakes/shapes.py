"""Mistakes in reductions and in changes of shape, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
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
mean-sign-and-sum: factor
  dL/dx = -dL/dy, repeated along dim.
  Two mistakes: the 1/n is missing, and the sign is wrong. With the right sign alone it is still n times too large.
- grad_y / ctx.n  =>  -grad_y

ops.Var.backward

var-two-forgotten: factor
  dL/dx = dL/dy · (x - mean) / (n - correction).
  The derivative of a square has a factor 2. Without it every entry is half as large as it should be.
- 2 * distance  =>  distance
var-not-divided: factor
  dL/dx = dL/dy · 2 (x - mean).
  A variance is a sum of squares divided by n - correction, and so is its gradient. Here the gradient grows with n.
- distance / ctx.divisor  =>  distance
var-without-the-mean: term-missing
  dL/dx = dL/dy · 2 x / (n - correction).
  What counts is the distance from the mean. Without it the gradient pulls everything towards 0, and not together.
- 2 * distance / ctx  =>  2 * x / ctx

ops.Amax.backward

amax-to-all: mask-missing
  dL/dx = dL/dy, repeated along dim.
  This is the gradient of a sum. Only the largest x is y. The others could move a little without changing it, and get 0.
+ x, _ = ctx.saved_arrays
+ return np.broadcast_to(_expanded(grad_y, ctx), x.shape)
amax-ties-to-each: ties
  dL/dx = dL/dy at every maximum, else 0.
  Equal maxima share one gradient: together they change y by 1. Here each gets all of it, so two get twice as much.
- / largest.sum(axis=ctx.dim, keepdims=True, dtype=x.dtype)  =>

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
reshape-not-undone: wrong-shape
  dL/dx = dL/dy.
  dL/dx has x's shape, one number for each number of x. Here it keeps the shape of y.
- grad_y.reshape(ctx.shape)  =>  grad_y

ops.Flatten.backward

flatten-from-the-end: wrong-place
  dL/dx = dL/dy, last column first, in x's shape.
  The columns come back in reverse: pixel 0 gets the last pixel's gradient. The shape is right, so nothing complains.
- grad_y.reshape  =>  grad_y[..., ::-1].reshape
flatten-in-fortran-order: wrong-place
  dL/dx = dL/dy in x's shape, filled column by column.
  Flatten read the pixels row by row. Written back column by column, each gradient arrives at the wrong pixel.
- grad_y.reshape(ctx.shape)  =>  grad_y.reshape(ctx.shape, order="F")
flatten-not-undone: values
  dL/dx = dL/dy.
  The gradient keeps the flat shape of y, but dL/dx has the shape of x. The tape reports the wrong shape.
- grad_y.reshape(ctx.shape)  =>  grad_y

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
  Putting the axes back takes the inverse permutation, argsort(dims). It is the same for a swap, but not for (1, 2, 0).
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
  and so does `grad_x[index] += ...`; np.add.at adds both. A word that occurs twice in a batch learns only half.
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
index-into-whole-numbers: whole-numbers
  dL/dx = dL/dy without its decimals, at index, else 0.
  The array that collects the gradients is one of integers, and everything below 1 becomes 0 in it.
- grad_x = np.zeros(ctx.shape, grad_y.dtype)
+ grad_x, grad_y = np.zeros(ctx.shape, int), grad_y.astype(int)
index-averages-over-the-places: averaged
  dL/dx = the mean of dL/dy over the places that were taken from x, else 0.
  Each place is a use of its own, and gradients of several uses add up. Divided by their number, a frequent word learns
  as slowly as a rare one.
- return grad_x
+ count = np.zeros(ctx.shape, grad_y.dtype)
+ np.add.at(count, ctx.index, 1)
+ return grad_x / np.maximum(count, 1)
index-without-the-chain-rule: grad-output-missing
  dL/dx = how often x was taken.
  This counts the uses. Each of them has to count as much as the loss changes with it, dL/dy.
- np.add.at(grad_x, ctx.index, grad_y)  =>  np.add.at(grad_x, ctx.index, 1)
- grad_x[ctx.index] = grad_y  =>  grad_x[ctx.index] = 1

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

ops.unbroadcast

unbroadcast-keeps-repeated-axes: values
  grad summed over the axes in front only.
  An axis of size 1 was repeated as well, so its gradients have to be added up, too.
- (*range(added), *repeated)  =>  (*range(added),)
unbroadcast-axes-not-shifted: values
  grad summed over axes counted without those in front.
  The operand's axis 0 is not grad's axis 0 if broadcasting has put axes in front of it.
- added + axis for  =>  axis for
unbroadcast-takes-the-mean: values
  grad averaged over the repeated axes.
  Each copy was used fully, so the gradients add up. An average is too small by the number of copies.
- pairwise_sum(grad, (  =>  grad.mean((
unbroadcast-takes-the-largest: values
  the largest of the copies' gradients.
  Each copy was used, so each has a share in the gradient. Only their sum contains them all.
- pairwise_sum(grad, (  =>  grad.max((
"""
