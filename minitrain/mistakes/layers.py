"""Mistakes in matrix products, layers and losses, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
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

ops.Linear.forward

linear-bias-not-added: values
  y = x Wᵀ.
  forward leaves the bias out. Everything that is computed from y, up to the loss, is wrong, too.
- y += bias  =>  pass
linear-bias-subtracted: values
  y = x Wᵀ - b.
  The bias is subtracted, but backward has the gradient of a sum: the bias learns the wrong way.
- y += bias  =>  y -= bias
linear-weight-not-transposed: values
  y = x W + b.
  If W is square, the shapes fit, so nothing complains, and each input meets the wrong weight.
- weight.T  =>  weight
linear-axes-reversed: values
  y with the batch's axes in reverse order.
  For x with more than two axes, the batch's axes have to come back in their own order.
- *x.shape[:-1]  =>  *x.shape[-2::-1]

ops.Linear.backward

linear-input-sign: sign
  dL/dx = -dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The layer sends back its gradient with the wrong sign. Its own weights learn, but the layers before it go uphill.
- product(grad_rows, weight)  =>  -product(grad_rows, weight)
linear-input-rows-missing: rows-missing
  dL/dx = dL/dy W of all samples but the last,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The loop over the batch ends one sample too early, and the last sample gets 0. The layers before never learn from it.
- grad_x = product(grad_rows, weight).reshape(ctx.shape) if needs_x else None
+ grad_x = None
+ if needs_x:
+     grad_x = np.zeros((len(grad_rows), weight.shape[1]), grad_rows.dtype)
+     for i in range(len(grad_rows) - 1):
+         grad_x[i] = grad_rows[i] @ weight
+     grad_x = grad_x.reshape(ctx.shape)
linear-weight-transposed: transposed
  dL/dx = dL/dy W,  dL/dW = xᵀ dL/dy,  dL/db = Σ dL/dy over the batch.
  The weight has the shape (out, in), and so has its gradient, dL/dyᵀ x. xᵀ dL/dy is the transpose. In a layer with as
  many inputs as outputs the shape does not reveal it, and the layer learns nonsense.
- transposed_product(grad_rows, as_rows(x))  =>  transposed_product(grad_rows, as_rows(x)).T
linear-weight-sign: sign
  dL/dx = dL/dy W,  dL/dW = -dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  The minus of "go against the gradient" belongs to the optimizer, which subtracts. With a minus here as well the weight
  goes uphill. The loss may still fall, since the other layers learn around it.
- transposed_product(  =>  -transposed_product(
linear-weight-averaged: mean-twice
  dL/dx = dL/dy W,  dL/dW = 1/N · dL/dyᵀ x,  dL/db = Σ dL/dy over the batch.
  If the loss is a mean over the batch, its 1/N is in dL/dy already. Here the weight learns N times too slowly.
- transposed_product(grad_rows, as_rows(x))  =>  transposed_product(grad_rows, as_rows(x)) / len(grad_rows)
linear-weight-of-the-last-sample: sum-missing
  dL/dx = dL/dy W,  dL/dW = (dL/dy)ᵀ x of the last sample,  dL/db = Σ dL/dy over the batch.
  A loop over the batch uses = where += is needed, so the last sample remains. With a batch of one nothing is wrong.
- grad_weight = transposed_product(grad_rows, as_rows(x)) if needs_weight else None
+ grad_weight = None
+ for grad_row, row in zip(grad_rows, as_rows(x), strict=True) if needs_weight else ():
+     grad_weight = np.outer(grad_row, row)
linear-weight-detached: detached
  dL/dx = dL/dy W,  dL/dW = 0,  dL/db = Σ dL/dy over the batch.
  `grad_weight + ...` makes a new array and drops it; `+=` was meant. The layer keeps its first weights forever.
- grad_weight = transposed_product(grad_rows, as_rows(x)) if needs_weight else None
+ grad_weight = None
+ if needs_weight:
+     grad_weight = np.zeros((grad_rows.shape[1], x.shape[-1]), grad_rows.dtype)
+     for grad_row, row in zip(grad_rows, as_rows(x), strict=True):
+         grad_weight + np.outer(grad_row, row)
linear-bias-not-summed: sum-missing
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = dL/dy.
  The same bias was added to every row, so it gets the sum of the rows' gradients, of shape (out,) and not (N, out).
- pairwise_sum(grad_rows, (0,))  =>  grad_rows
linear-bias-summed-over-the-outputs: sum-wrong-axis
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = Σ dL/dy over the outputs.
  The bias was repeated along the batch, so the sum must run over axis 0. Over axis 1 it has one number per sample.
- (0,)  =>  (1,)
linear-bias-averaged: mean-twice
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = 1/N · Σ dL/dy over the batch.
  This is mean() where sum() is needed. The 1/N of the loss is in dL/dy already, so the bias learns N times too slowly.
- pairwise_sum(grad_rows, (0,))  =>  grad_rows.mean(axis=0)
linear-bias-of-the-first-sample: sum-missing
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  dL/db = dL/dy of the first sample.
  Every sample used the bias, so their gradients add up. Here the bias learns from the first sample of each batch alone.
- pairwise_sum(grad_rows, (0,))  =>  grad_rows[0]
linear-bias-forgotten: detached
  dL/dx = dL/dy W,  dL/dW = dL/dyᵀ x,  no dL/db.
  The bias requires a gradient and gets none, so it keeps its first value. The weights learn, and may compensate for it.
- return grad_x, grad_weight, grad_bias  =>  return grad_x, grad_weight, None
linear-input-as-rows: values
  dL/dx = dL/dy W, as a matrix (N, in).
  For x with more than two axes the gradient must have them again. With a matrix as input, nothing is wrong.
- .reshape(ctx.shape)  =>

ops.Softmax.backward

softmax-diagonal-only: off-diagonal-missing
  dL/dx = dL/dy · y · (1 - y).
  This is the derivative of the sigmoid: how each y moves with its own x. But each x moves every y of its row, since
  they add up to 1. Its influence on the others, -y_i · y_j, is missing.
+ (y,) = ctx.saved_arrays
+ return grad_y * (y * (1 - y))
softmax-as-if-an-exp: off-diagonal-missing
  dL/dx = dL/dy · y.
  This is the derivative of exp, without the denominator. The gradient of softmax sums to 0 over a row; this does not.
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
softmax-adds-the-sum: term-sign
  dL/dx = y · (dL/dy + Σ dL/dy · y).
  Each x pushes the other y's down, so the sum must be subtracted. Added, it pushes them all up.
- (grad_y - (  =>  (grad_y + (
softmax-mean-for-the-sum: term-factor
  dL/dx = y · (dL/dy - the mean of dL/dy · y).
  The sum over the row is a weighted mean already, since the y's add up to 1. Divided by C it is C times too small.
- (grad_y * y).sum(  =>  (grad_y * y).mean(
softmax-over-everything: sum-wrong-axis
  dL/dx = y · (dL/dy - Σ dL/dy · y over all rows).
  Each row has its own sum. One number for all of them mixes the samples of the batch.
- .sum(axis=ctx.dim, keepdims=True)  =>  .sum()
softmax-product-forgotten: operand
  dL/dx = y · (dL/dy - Σ dL/dy).
  In the sum, each dL/dy counts with its y. Without that the sum is C times as large and more.
- (grad_y * y).sum  =>  grad_y.sum
softmax-sign-and-axis: sum-wrong-axis
  dL/dx = y · (Σ dL/dy · y - dL/dy), summed over axis 0.
  Two mistakes: the sum is over the wrong axis, and the difference is reversed. With one of them put right, the
  gradient is as wrong as before.
- return y * (grad_y -  =>  return -y * (grad_y -
- axis=ctx.dim  =>  axis=0

ops.Softmax.forward

softmax-saves-its-input: at-input
  y = exp x / Σ exp x over dim;  dL/dx = x · (dL/dy - Σ dL/dy · x).
  forward saves x where backward expects y. A score may be negative or 100, and the gradient grows with it.
- save_for_backward(y)  =>  save_for_backward(x)
softmax-overflows: values
  y = exp x / Σ exp x, without subtracting the maximum.
  exp(1000) is infinite, and inf / inf is nan. The first large score makes everything nan.
-  - x.max(axis=dim, keepdims=True, initial=-np.inf)  =>
softmax-sums-over-the-last-axis: values
  y = exp x / Σ exp x over the last axis, whatever dim is.
  The probabilities add up to 1 along the wrong axis, except where dim is the last one.
- exp.sum(axis=dim  =>  exp.sum(axis=-1

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
log-softmax-adds-the-sum: term-sign
  dL/dx = dL/dy + exp y · Σ dL/dy.
  ln Σ exp x is subtracted in y, so the sum is subtracted in the gradient. Added, it pulls the wrong classes up.
- grad_y - np  =>  grad_y + np
log-softmax-mean-for-the-sum: term-factor
  dL/dx = dL/dy - exp y · the mean of dL/dy.
  ln Σ exp x is in every y of the row, so their gradients add up. With a mean the second term is C times too small.
- grad_y.sum(  =>  grad_y.mean(
log-softmax-without-the-sum: term-without-grad
  dL/dx = dL/dy - exp y.
  In cross-entropy Σ dL/dy is -1 / N, which is often left out: softmax - onehot. Then the softmax depends on no loss.
- np.exp(y) * grad_y.sum(axis=ctx.dim, keepdims=True)  =>  np.exp(y)
log-softmax-twice: softmax-twice
  dL/dx = dL/dy - softmax(exp y) · Σ dL/dy.
  exp y is the softmax already. Taken twice, the probabilities are nearly equal, and no class is ever pushed away.
- return grad_y - np.exp(y) *
+ again = np.exp(np.exp(y))
+ return grad_y - again / again.sum(axis=ctx.dim, keepdims=True) *

ops.LogSoftmax.forward

log-softmax-saves-its-input: at-input
  y = x - ln Σ exp x over dim;  dL/dx = dL/dy - exp x · Σ dL/dy.
  forward saves x where backward expects y: exp x does not add up to 1 over a row, as the probabilities exp y do.
- save_for_backward(y)  =>  save_for_backward(x)
log-softmax-overflows: values
  y = x - ln Σ exp x, without subtracting the maximum.
  exp(1000) is infinite, and so is its logarithm. The result is a plain number only if exp never overflows.
-  - x.max(axis=dim, keepdims=True, initial=-np.inf)  =>
log-softmax-adds-the-logarithm: values
  y = x + ln Σ exp x.
  The logarithm of a quotient is a difference. With a sum the results are not log-probabilities, and may be positive.
- shifted - np.log  =>  shifted + np.log

ops.NLLLoss.forward

nll-positive: values
  y_i = w[t_i] · x[i, t_i].
  Log-probabilities are negative, so the loss has to change the sign. Without the minus, good predictions cost more.
- -w * rows  =>  w * rows
nll-weight-of-class-0: values
  y_i = -w[0] · x[i, t_i].
  Each row needs the weight of its own class. Here every row has the weight of class 0.
- (weight[labels], np.sum(weight[labels]))  =>  (weight[0], weight[0])
nll-counts-ignored-rows: values
  y = Σ y_i / (the number of all rows).
  Rows with ignore_index do not count, in the sum or in the number that the mean divides by.
- (1, kept.size) if  =>  (1, target.size) if
nll-last-sample-dropped: values
  y = the loss of all samples but the last.
  The loss leaves out the last sample of each batch, as a loop does that ends one too early.
- labels = target.reshape(-1)[kept]  =>  kept, labels = kept[:-1], target.reshape(-1)[kept[:-1]]

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
nll-divided-by-all-rows: factor
  dL/dx[i, t_i] = -w[t_i] · dL/dy / N, else 0.
  The mean divides by the sum of the weights of the rows that count. Without weights and ignored rows, that is N.
- grad_y / total  =>  grad_y / ctx.shape[0]
nll-weights-forgotten: row-factor
  dL/dx[i, t_i] = -dL/dy_i (/ Σ w[t_i]), else 0.
  forward weights each row by its class, and backward all alike. It is right as long as no weights are given.
- -w * grad_y  =>  -grad_y
nll-labels-in-another-order: wrong-target
  dL/dx[i, t_(i-1)] = -w[t_i] · dL/dy_i (/ Σ w[t_i]), else 0.
  Each row has its neighbour's label: the images and the labels are not in the same order any more. The loss still
  falls a little, to what all rows have in common.
- labels] = -w  =>  np.roll(labels, 1)] = -w

ops.MSELoss.forward

mse-of-absolute-values: values
  y = Σ |x - t|, or its mean.
  This is the absolute error. Its backward is still that of the squared error, so loss and gradient do not match.
- np.square(difference).sum()  =>  np.abs(difference).sum()
mse-divided-by-the-rows: values
  y = Σ (x - t)² / (the number of rows).
  torch's mean is over all elements, rows times columns. Divided by the rows alone, the loss is too large.
- x.dtype.type(difference.size)  =>  len(difference)

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
  dL/dy is 1 if the loss ends the network. So this works until the loss is weighted, divided, or added to another one.
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
