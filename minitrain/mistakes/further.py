"""Mistakes in normalization, norms, windows, activations and binary losses, as edits (the form: specimen.py)."""

MISTAKES = """
ops.Normalize.backward

normalize-statistics-are-constants: term-missing
  dL/dx = r · g.
  The mean and the deviation are computed from x, so they move with every x. Taken as constants, two of the three terms
  are missing, and the gradient no longer adds up to 0 over the batch.
- grad_x = rate * (g - along)  =>  grad_x = rate * g
normalize-mean-is-a-constant: term-missing
  dL/dx = r · (g - z · mean(g · z)).
  The mean moves with every x, and its term is missing: subtract the mean of g. Without it, the same push on all
  samples seems to change something, which the normalization undoes.
- pairwise_sum(g, ctx.dim, True) / n + z  =>  z
normalize-variance-is-a-constant: term-missing
  dL/dx = r · (g - mean g).
  The variance moves with every x, and its term is missing: subtract z · mean(g · z).
- pairwise_sum(g, ctx.dim, True) / n + z * (pairwise_sum(g * z, ctx.dim, True) / n)
+ pairwise_sum(g, ctx.dim, True) / n
normalize-adds-the-variance: term-sign
  dL/dx = r · (g - mean g + z · mean(g · z)).
  A larger variance makes every z smaller, so its term is subtracted, like the mean's. Here it has the wrong sign.
- / n + z * (  =>  / n - z * (
normalize-sum-in-the-variance: term-factor
  dL/dx = r · (g - mean g - z · Σ g · z).
  The last term is a mean over the batch, as the variance is. With a sum in its place it is N times too large.
- (pairwise_sum(g * z, ctx.dim, True) / n)  =>  pairwise_sum(g * z, ctx.dim, True)
normalize-over-the-other-axis: sum-wrong-axis
  dL/dx = r · (g - mean g - z · mean(g · z)), the means over the features.
  Batch norm takes its means over the batch, so backward's means are over the batch, too. Layer norm's are over the
  features of each sample: the two formulas look alike, and are easily mixed up.
- n = z.dtype.type(ctx.n)
+ n, other = z.dtype.type(z.shape[1 - ctx.dim[0]]), (1 - ctx.dim[0],)
- pairwise_sum(g, ctx.dim  =>  pairwise_sum(g, other
- pairwise_sum(g * z, ctx.dim  =>  pairwise_sum(g * z, other
normalize-forgets-the-weight: operand
  dL/dx = r · (dL/dy - mean dL/dy - z · mean(dL/dy · z)).
  y is z · w + b, so dL/dy reaches z multiplied by w (gamma). While w is 1, as it begins, this is right.
- grad_y if weight is None else grad_y * weight  =>  grad_y
normalize-x-for-z: at-input
  dL/dx = r · (g - mean g - z · mean(g · z)) with x in place of z.
  forward saves z for backward. x has another mean and another size: the more it is away from 0, the more this is wrong.
- z, rate, weight, _ = ctx.saved_arrays  =>  _, rate, weight, z = ctx.saved_arrays
normalize-rate-squared: operand
  dL/dx = r² · (g - mean g - z · mean(g · z)).
  Each column is divided by its variance, but it should be divided by its deviation: r = 1 / √var, once.
- grad_x = rate * (  =>  grad_x = rate * rate * (
normalize-weight-like-the-bias: derivative-missing
  dL/dw = Σ dL/dy.
  This is the bias's gradient. The weight multiplies z, so its gradient has the factor z.
- unbroadcast(grad_y * z, ctx  =>  unbroadcast(grad_y, ctx
normalize-bias-averaged: mean-twice
  dL/db = 1/N · Σ dL/dy.
  Every sample got the same bias, so the gradients add up. The 1/N of the loss is in dL/dy already.
- unbroadcast(grad_y, ctx.shapes[1])  =>  unbroadcast(grad_y, ctx.shapes[1]) / ctx.n
normalize-weight-times-x: at-input
  dL/dw = Σ dL/dy · x.
  The weight multiplies z, the normalized x. With x itself in its place, a feature far from 0 gets a huge gradient.
- z, rate, weight, _ = ctx.saved_arrays  =>  z, rate, weight, x = ctx.saved_arrays
- unbroadcast(grad_y * z, ctx  =>  unbroadcast(grad_y * x, ctx
normalize-weight-not-summed: sum-missing
  dL/dw = dL/dy · z, for each sample.
  Every sample was multiplied by the same weight, so their gradients add up. Here there is one for each sample.
- unbroadcast(grad_y * z, ctx.shapes[0])  =>  grad_y * z

ops.Normalize.forward

normalize-eps-outside-the-root: values
  z = (x - mean) / (√var + eps).
  eps belongs under the root, to the variance. Outside it is a much smaller change for small variances, and the result
  differs from torch's.
- 1 / np.sqrt(  =>  1 / (np.sqrt(
- + x.dtype.type(eps))  =>  ) + x.dtype.type(eps))
normalize-by-the-variance: values
  z = (x - mean) / (var + eps).
  The root is missing. Numbers that vary by 10 have the variance 100, and dividing by that makes them vary by 0.1.
- 1 / np.sqrt(  =>  1 / (
normalize-with-the-unbiased-variance: values
  z = (x - mean) / √(var + eps), var with n - 1.
  n - 1 is for estimating the variance of all data from a sample. Batch norm divides by the batch's own variance, with
  n. (The running variance has n - 1.)
- centred * centred, dim, True) / x.dtype.type(ctx.n)  =>  centred * centred, dim, True) / x.dtype.type(ctx.n - 1)
normalize-without-the-mean: values
  z = x / √(var + eps).
  The variance is right and becomes 1, but the mean is not subtracted: numbers around 3000 stay far from 0.
- z = centred * rate  =>  z = x * rate
normalize-by-the-mean-square: values
  z = (x - mean) / √(mean x² + eps).
  The variance is the mean square of x - mean. Of x itself it is larger, and much larger if x is far from 0.
- centred * centred  =>  x * x
normalize-variance-by-subtraction: values
  var = mean x² - (mean x)².
  On paper this is the variance. In float32, two numbers near nine million are subtracted to get one near 5, and
  nothing is left of it. Subtract the mean first, then square.
- rate = 1 / np.sqrt(pairwise_sum(centred * centred, dim, True) / x.dtype.type(ctx.n) + x.dtype.type(eps))
+ variance = (x * x).mean(axis=dim, keepdims=True) - x.mean(axis=dim, keepdims=True) ** 2
+ rate = 1 / np.sqrt(np.maximum(variance, 0) + x.dtype.type(eps))
normalize-each-row: values
  z = (x - mean) / √(var + eps), mean and var over the last axis.
  The axes are an option, dim: the batch for batch norm, the features for layer norm. Here it is always the last one.
- centred = x - pairwise_sum(x, dim, True) / x.dtype.type(ctx.n)  =>  centred = x - x.mean(axis=-1, keepdims=True)
- rate = 1 / np.sqrt(pairwise_sum(centred * centred, dim, True) / x.dtype.type(ctx.n) + x.dtype.type(eps))
+ rate = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + x.dtype.type(eps))

nn.normalization.batch_norm

batch-norm-momentum-reversed: values
  running = momentum · running + (1 - momentum) · the batch's.
  In torch the momentum is the share of the new batch, 0.1. In many papers (and in SGD) it is the share of the old, 0.9.
  Reversed, the running statistics are nearly those of the last batch.
- (1 - momentum) * running.array + momentum * batch.array  =>  momentum * running.array + (1 - momentum) * batch.array
batch-norm-runs-with-the-biased-variance: values
  running_var moves towards the variance with n.
  torch uses n - 1 here: the running variance estimates that of all data. With a batch of 4 it is a third more.
- x.var(dim)  =>  x.var(dim, correction=0)
batch-norm-replaces-the-running-statistics: values
  running = the batch's.
  Only the last batch counts then, and every evaluation depends on which one that was. An average over many batches is
  steadier.
- (1 - momentum) * running.array + momentum * batch.array  =>  batch.array
batch-norm-rebinds-the-running-statistics: values
  running_mean and running_var stay as they were.
  `running = ...` gives a new Tensor the name, and the layer keeps the old one. Write into its array.
- running.array[...] = (1 - momentum) * running.array + momentum * batch.array
+ running = wrap((1 - momentum) * running.array + momentum * batch.array)
batch-norm-runs-with-the-deviation: values
  running_var moves towards the deviation.
  The running variance is a variance: evaluation takes the root itself, after it has added eps. Here the root is taken
  twice.
- x.var(dim)  =>  x.std(dim)
batch-norm-forgets-the-running-variance: values
  running_mean follows the batches, running_var stays 1.
  In evaluation each feature is then centred, but keeps its size, and the layers after it have never seen such numbers.
- , (running_var, x.var(dim))):  =>  ,):
batch-norm-evaluates-by-the-batch: values
  y = (x - mean) / √(var + eps) · weight + bias with the batch's mean and var, in evaluation.
  A prediction must not depend on which other samples are in the batch. A single sample would always become 0.
- 1 / (running_var + eps)  =>  1 / (input.var(dim, correction=0) + eps)
- running_mean.reshape(shape)) *  =>  input.mean(dim).reshape(shape)) *
batch-norm-evaluates-by-the-variance: values
  y = (x - mean) / (var + eps) · weight + bias, in evaluation.
  The root is missing. With the running variance 1, as it begins, it does not show.
- (running_var + eps).sqrt()  =>  (running_var + eps)
batch-norm-evaluates-without-the-weight: values
  y = (x - mean) / √(var + eps) + bias, in evaluation.
  The weight was learned in training, and the layers after it expect features of that size. It applies in both modes.
- rate if weight is None else rate * weight  =>  rate
batch-norm-evaluates-along-the-last-axis: values
  y = (x - mean) / √(var + eps) · weight + bias, with a mean for each column.
  NumPy aligns shapes at the right. In (N, C) that is the channel, but in (N, C, H, W) it is the image's columns.
- running_mean.reshape(shape)) * scale.reshape(shape)  =>  running_mean) * scale
batch-norm-evaluates-without-the-mean: values
  y = x / √(var + eps) · weight + bias, in evaluation.
  The running mean is forgotten, so y is shifted from what it was in training, and the next layer has not seen
  such numbers.
- (input - running_mean.reshape(shape))  =>  input

nn.normalization.layer_norm

layer-norm-over-the-batch: values
  mean and var over all axes except normalized_shape.
  That is batch norm. Layer norm treats each sample for itself, so its result does not depend on the others.
- dim = tuple(range(input.ndim - len(sizes), input.ndim))  =>  dim = tuple(range(input.ndim - len(sizes)))
layer-norm-over-the-last-axis-only: values
  mean and var over the last axis.
  normalized_shape may have several axes, and all of them together have one mean. With a single axis it is right.
- dim = tuple(range(input.ndim - len(sizes), input.ndim))  =>  dim = (input.ndim - 1,)
layer-norm-over-everything: values
  mean and var over all axes.
  Then a sample depends on all others in its batch. Only the last axes count, each sample for itself.
- dim = tuple(range(input.ndim - len(sizes), input.ndim))  =>  dim = tuple(range(input.ndim))
layer-norm-without-the-weight: values
  y = (x - mean) / √(var + eps) + bias.
  Each feature is scaled by its own weight after it was normalized. While the weights are 1, it does not show.
- input, w, b, dim  =>  input, None, b, dim
layer-norm-with-the-unbiased-variance: values
  y = (x - mean) / √(var + eps) · weight + bias, var with n - 1.
  torch's var has n - 1 unless you pass correction=0. Layer norm divides by the variance with n.
- return apply(ops.Normalize, input, w, b, dim=dim, eps=eps)
+ z = (input - input.mean(dim, keepdim=True)) / (input.var(dim, keepdim=True) + eps).sqrt()
+ z = z if w is None else z * w
+ return z if b is None else z + b

nn.embedding.embedding

embedding-detached: values
  y = weight[input], outside the graph.
  Taken from the array, the rows are right, but the tape does not know where they came from. The table never learns.
- return apply(ops.Index, weight, index=(input.array.astype(np.int64),))  =>  return wrap(weight.array[input.array])
embedding-counts-from-one: values
  y = weight[input - 1].
  The numbers of words start at 0, like every index. Here each word gets its neighbour's vector, and word 0 the last.
- apply(ops.Index, weight, index=(input.array  =>  apply(ops.Index, weight, index=((input.array - 1)
embedding-takes-the-columns: values
  y = weight[:, input].
  A word is a row of the table (V, D). With as many words as features, nothing complains.
- apply(ops.Index, weight, index=(input  =>  apply(ops.Index, weight, index=(slice(None), input
embedding-of-the-first-word: values
  y = weight[input[0]].
  Only the first sentence of the batch is looked up, and the result has one axis too few.
- apply(ops.Index, weight, index=(input.array  =>  apply(ops.Index, weight, index=(input.array[0]
embedding-flattens-the-words: values
  y (N · T, D) = weight[input, flattened].
  The numbers are right, but nobody knows any more which words belong to which sentence.
- apply(ops.Index, weight, index=(input.array  =>  apply(ops.Index, weight, index=(input.array.ravel()
embedding-padding-learns: values
  y = weight[input], with a gradient for every row.
  The padding fills up most short sentences, so its row gets the largest gradient of all, for a word without meaning.
- table = weight * wrap(kept) + weight.detach() * wrap(1 - kept)  =>  table = weight
embedding-padding-becomes-zero: values
  y = weight[input], 0 for padding_idx.
  The row is a constant, but not always 0: vectors that were trained elsewhere may have another one. Use it as it is.
- weight * wrap(kept) + weight.detach() * wrap(1 - kept)  =>  weight * wrap(kept)
embedding-only-padding-learns: values
  y = weight[input], with a gradient for the row padding_idx alone.
  The mask is inverted: all words keep their first random vectors, and only the padding learns.
- weight * wrap(kept) + weight.detach() * wrap(1 - kept)  =>  weight.detach() * wrap(kept) + weight * wrap(1 - kept)
embedding-nothing-learns: values
  y = weight[input], without any gradient.
  detach() was applied to the table and not to one row of it. The loss still falls, since the other layers learn.
- table = weight * wrap(kept) + weight.detach() * wrap(1 - kept)  =>  table = weight.detach()

ops.Norm.backward

norm-not-divided: derivative-missing
  dL/dx = dL/dy · x.
  The derivative of √Σ x² is x / y: the unit vector. Without the division, each row is as many times too large as it is
  long.
- x * (grad_y / y)  =>  x * grad_y
norm-divides-by-the-square: derivative-missing
  dL/dx = dL/dy · x / y².
  The derivative of √Σ x² is x / y. Divided once more, long vectors get too small a gradient, and short ones too large.
- x * (grad_y / y)  =>  x * (grad_y / y / y)
norm-of-the-square: factor
  dL/dx = 2 · dL/dy · x / y.
  The 2 of the square and the 1/2 of the root cancel. Here only the root's was forgotten.
- x * (grad_y / y)  =>  2 * x * (grad_y / y)

ops.LogSumExp.backward

log-sum-exp-not-normalized: operand
  dL/dx = dL/dy · exp x.
  The derivative of the logarithm, 1 / Σ exp x, is missing: these are weights that do not add up to 1.
- np.exp(x - shift)  =>  np.exp(x)

ops.Cumsum.backward

cumsum-in-the-same-direction: wrong-place
  dL/dx_i = dL/dy_1 + ... + dL/dy_i.
  x_i is a part of y_i and of all y after it, so its gradient adds up from the end. Here it adds up from the front.
- np.flip(np.cumsum(np.flip(grad_y, ctx.dim), axis=ctx.dim), ctx.dim)  =>  np.cumsum(grad_y, axis=ctx.dim)

ops.Prod.backward

prod-with-all-factors: operand
  dL/dx_i = dL/dy · y.
  The derivative of a product with respect to one factor is the product of the others. Here the factor itself is in it.
- others = _product_before(rows) * _product_before(rows[::-1])[::-1]
+ others = _product_before(rows) * _product_before(rows[::-1])[::-1] * rows

ops.Conv2d.backward

conv-kernel-turned: wrong-place
  dL/dx with the kernel turned by 180°.
  As a convolution of dL/dy, dL/dx has a turned kernel. But here each dL/dy is sent back through its own window, which
  turns the kernel already. Symmetric kernels hide the second turn.
- weight.reshape(G, out // G, -1)  =>  weight[..., ::-1, ::-1].reshape(G, out // G, -1)
conv-bias-of-the-batch-alone: sum-wrong-axis
  dL/db = Σ dL/dy over the batch.
  The bias is added at every place of the image, so the sum is over the batch and over both axes of the image.
- axis=(0, 2, 3)  =>  axis=0
conv-bias-averaged: mean-twice
  dL/db = the mean of dL/dy over the batch and the image.
  Each copy of the bias was used fully, so their gradients add up. The mean is too small by the number of all places.
- grad_y.sum(axis=(0, 2, 3))  =>  grad_y.mean(axis=(0, 2, 3))
conv-weight-of-the-last-sample: sum-missing
  dL/dW = Σ dL/dy · window over the windows of the last image.
  A loop over the batch with = where += is needed keeps the last image's gradient. With a batch of one it is right.
- (grad_columns @ ctx.columns.transpose(0, 2, 1))
+ (grad_columns[..., -H * W :] @ ctx.columns[..., -H * W :].transpose(0, 2, 1))
conv-windows-overwrite: path-forgotten
  dL/dwindow = Σ_o dL/dy · W, the last one where windows overlap.
  A pixel lies in several windows, and each sends it a gradient. With = they replace each other; they must add up.
- grad_x = unpadded(add_windows(grads, shape, ctx.stride, ctx.dilation), ctx.padding)
+ grad_x = np.zeros(shape)
+     for i, j in np.ndindex(H, W):
+         grad_x[:, :, i : i + kH, j : j + kW] = grads[:, :, i, j]
conv-bias-over-the-channels: sum-wrong-axis
  dL/db = Σ dL/dy over the channels and the image.
  The channels are the axis that stays, since each has a bias of its own. Here the batch stays. With as many images as
  channels, nothing complains.
- axis=(0, 2, 3)  =>  axis=(1, 2, 3)
conv-weight-averaged: mean-twice
  dL/dW = the mean of dL/dy · window over all windows.
  Every window met the same kernel, so their gradients add up. The 1/N of the loss is in dL/dy already.
- .reshape(weight.shape)  =>  .reshape(weight.shape) / (N * H * W)
conv-weight-without-the-chain-rule: grad-output-missing
  dL/dW = Σ window.
  This is what y changes by, whatever the loss makes of it: dL/dy is missing. All kernels get the same gradient.
- (grad_columns @ ctx.columns  =>  (np.ones_like(grad_columns) @ ctx.columns
conv-weight-turned: wrong-place
  dL/dW turned by 180°.
  The layer slides its kernel as it is. Books that turn the kernel in forward turn its gradient back, too: here only the
  second half was copied.
- .reshape(weight.shape)  =>  .reshape(weight.shape)[..., ::-1, ::-1]
conv-input-sign: sign
  dL/dx = -(the windows' gradients, added up).
  The layer sends back its gradient with the wrong sign. Its own kernels learn, but the layers before it go uphill.
- grads = weight.reshape  =>  grads = -weight.reshape
conv-input-border-from-one-side: values
  dL/dx = the first H rows and W columns of the padded image's gradient.
  The border lies on both sides, so the image begins after padding rows. Cut off at the end alone, every gradient
  arrives a few pixels away from where it belongs. Without padding it does not show.
- grad_x = unpadded(add_windows(grads, shape, ctx.stride, ctx.dilation), ctx.padding)
+ grad_x = add_windows(grads, shape, ctx.stride, ctx.dilation)
+     grad_x = grad_x[:, :, : ctx.x_shape[2], : ctx.x_shape[3]]
conv-input-stride-forgotten: values
  dL/dwindow added up as if the windows were one pixel apart.
  With a stride of 2 the next window begins two pixels further on. Here all gradients end up near the first corner.
- shape, ctx.stride, ctx.dilation)  =>  shape, (1, 1), ctx.dilation)

ops.Conv2d.forward

conv-forward-kernel-turned: values
  y[i, j] = Σ_pq W[-p, -q] · window[i, j, p, q].
  This is the convolution of mathematics, which turns the kernel by 180°. The layers of torch (and of everyone else) do
  not turn it, and nor does backward here. With symmetric kernels nobody notices.
- y = weight.reshape  =>  y = weight[..., ::-1, ::-1].reshape
conv-forward-averages: values
  y = the mean of W · window.
  A convolution is a weighted sum. Divided by the number of weights, the signal becomes weaker with every layer.
- @ columns  =>  @ columns / columns.shape[1]
conv-forward-channels-first: values
  y (O, N, H', W'), read as if it were (N, O, H', W').
  reshape never moves a number. The product's rows are the channels, and in each of them come the images, place by
  place. A transpose has to bring the images to the front. Here each channel gets numbers of all the others.
- y.reshape(out, N, H, W).transpose(1, 0, 2, 3)  =>  y.reshape(N, out, H, W)
conv-forward-first-channel-only: values
  y = Σ_pq W[o, 0, p, q] · window[0, p, q].
  The sum runs over all channels of the input. Here only the first one counts, as in a grayscale image.
- weight.reshape(groups, out // groups, -1) @ columns
+ weight[:, 0].reshape(groups, out // groups, -1) @ columns[:, : kH * kW]
conv-forward-padding-forgotten: values
  y without the windows that reach over the edge.
  The image has to get its border of zeros before the windows are taken, or y has too few rows and columns.
- windows(padded(x, padding),  =>  windows(x,
conv-forward-bias-along-the-columns: values
  y[n, o, i, j] = ... + b[j].
  NumPy aligns shapes at the right, where the columns are. The bias (O,) belongs to the channels, so its shape has to
  be (O, 1, 1).
- bias[:, np.newaxis, np.newaxis]  =>  bias

ops.convolution.windows

windows-stride-forgotten: values
  windows[i, j, p, q] = x[i + p · dilation, j + q · dilation].
  Every window begins one pixel after the last one. With a stride of 2 only every second one is wanted, in both axes.
+ reach = [dilation[i] * (size[i] - 1) + 1 for i in (0, 1)]
+ seen = sliding_window_view(x, reach, axis=(2, 3))
+ return seen[:, :, :, :, :: dilation[0], :: dilation[1]]
windows-stride-and-dilation-exchanged: values
  windows[i, j, p, q] = x[i · dilation + p · stride, j · dilation + q · stride].
  The stride lies between two windows, the dilation between two numbers of one window. While both are 1, this is right.
- reach = [dilation[i]  =>  reach = [stride[i]
- :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]
+ :: dilation[0], :: dilation[1], :: stride[0], :: stride[1]
windows-stride-the-wrong-way-round: values
  windows[i, j, p, q] = x[i · stride[1] + p, j · stride[0] + q].
  The first number of a pair is for the rows, the second for the columns. With equal strides it does not show.
- :: stride[0], :: stride[1]  =>  :: stride[1], :: stride[0]
windows-beside-each-other: values
  windows[i, j, p, q] = x[i · kH + p, j · kW + q].
  The windows are cut like tiles, with no overlap. That is right only if the stride is as large as the window.
- :: stride[0], :: stride[1]  =>  :: size[0], :: size[1]

ops.convolution.add_windows

add-windows-overwrites: values
  grad_x = the last gradient that arrives at each place.
  A pixel lies in several windows, and each sends it a gradient. With = they replace each other; they must add up.
- grad_x[:, :, rows, columns] += grads  =>  grad_x[:, :, rows, columns] = grads
add-windows-stride-forgotten: values
  grads[i, j, p, q] added at [i + p · dilation, j + q · dilation].
  Window i begins at i · stride. Without the stride, all gradients end up near the first corner.
- stride[0] * (H - 1) + 1, stride[0])  =>  H)
- stride[1] * (W - 1) + 1, stride[1])  =>  W)
add-windows-dilation-forgotten: values
  grads[i, j, p, q] added at [i · stride + p, j · stride + q].
  The numbers of a dilated window do not lie side by side in the image, and nor do their gradients.
- slice(p * dilation[0], p * dilation[0]  =>  slice(p, p
- slice(q * dilation[1], q * dilation[1]  =>  slice(q, q
add-windows-takes-the-mean: values
  grad_x = the mean of the gradients that arrive at each place.
  Each window uses the pixel fully, so its gradients add up. Divided by their number, the middle of the image, which
  lies in most windows, learns too little.
- grad_x = np.zeros(shape, grads.dtype)  =>  grad_x, count = np.zeros(shape, grads.dtype), np.zeros(shape, int)
- grad_x[:, :, rows, columns] += grads[..., p, q]
+ grad_x[:, :, rows, columns] += grads[..., p, q]
+     count[:, :, rows, columns] += 1
- return grad_x  =>  return grad_x / np.maximum(count, 1)

ops.MaxPool2d.backward

max-pool-to-all: mask-missing
  dL/dx = dL/dy for all numbers of the window.
  Only the largest number of a window is y. The others do not change it and must get 0.
- np.put_along_axis(grads, largest[..., np.newaxis], grad_y[..., np.newaxis], axis=-1)
+ grads += grad_y[..., np.newaxis]
max-pool-overwrites: path-forgotten
  dL/dx = dL/dy of the last window at the place it came from.
  The same pixel can be the largest of several windows, and each sends it a gradient. They must add up. As long as the
  windows do not overlap, it does not show.
- grad = add_windows(grads.reshape(ctx.window_shape), ctx.whole_shape, ctx.stride, ctx.dilation)
+ grad = np.zeros(ctx.whole_shape, grad_y.dtype)
+ for i, j, p, q in np.ndindex(*ctx.window_shape[2:]):
+     row, column = i * ctx.stride[0] + p * ctx.dilation[0], j * ctx.stride[1] + q * ctx.dilation[1]
+     here = largest[:, :, i, j] == p * ctx.window_shape[5] + q
+     grad[:, :, row, column] = np.where(here, grad_y[:, :, i, j], grad[:, :, row, column])
max-pool-shared-by-the-window: sum-wrong-axis
  dL/dx = dL/dy / n for all n numbers of the window.
  This is the gradient of average pooling. The largest number alone is y, so it gets all of dL/dy.
- np.put_along_axis(grads, largest[..., np.newaxis], grad_y[..., np.newaxis], axis=-1)
+ grads += grad_y[..., np.newaxis] / grads.shape[-1]
max-pool-without-the-chain-rule: grad-output-missing
  dL/dx = 1 at the place that y came from.
  This is dy/dx, the mask alone. It has to be multiplied by dL/dy, or what comes after the pooling has no influence.
- grad_y[..., np.newaxis], axis=-1)  =>  1, axis=-1)
max-pool-place-by-columns: wrong-place
  dL/dx = dL/dy at the place [q, p] of the window, for the largest at [p, q].
  forward counts the places of a window row by row, p · kW + q, and here they are counted column by column.
- grads.reshape(ctx.window_shape)
+ grads.reshape(*grad_y.shape, *ctx.window_shape[:3:-1]).swapaxes(4, 5)
max-pool-border-from-one-side: values
  dL/dx = the first H rows and W columns of the padded image's gradient.
  The border lies on both sides, so the image begins after padding rows. Cut off at the end alone, every gradient
  arrives beside the pixel it belongs to.
- h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]  =>  : ctx.x_shape[2], : ctx.x_shape[3]

ops.MaxPool2d.forward

max-pool-pads-with-zeros: values
  y = the largest value of each window and of the zeros around the image.
  After a ReLU nothing is below 0, and a border of zeros does no harm. But where all numbers of a window are negative,
  the border wins, and the gradient goes to nobody. A border of -inf never wins.
- constant_values=least  =>  constant_values=0
max-pool-by-absolute-value: values
  y = the value of each window that is farthest from 0.
  -3 is smaller than 1, however far from 0 it is. This lets strong negative numbers through.
- y = flat.max(axis=0)
+ y = np.take_along_axis(flat, np.abs(flat).argmax(axis=0)[np.newaxis], axis=0)[0]
max-pool-takes-the-last-of-equal-ones: values
  y = the largest value of each window;  dL/dx = dL/dy at the last of equal ones.
  y is right, and any of the equal ones may get the gradient. But torch takes the first one, and flat images have many
  equal pixels: from here on the two networks differ.
- first((flat == y) | np.isnan(flat))  =>  len(flat) - 1 - first(flat[::-1] == y)
max-pool-counts-places-by-columns: values
  y = the largest value of each window, its place counted as q · kH + p.
  y is right. But backward reads the place as p · kW + q, so most gradients go to another pixel of the window.
- seen[..., p, q] for p, q in np.ndindex(*size)  =>  seen[..., p, q] for q, p in np.ndindex(*size[::-1])
max-pool-stride-forgotten: values
  y = the largest value of every window, one pixel apart.
  The stride is how far two windows are apart. Without it the image stays as large as before.
- windows(whole, size, stride, dilation)  =>  windows(whole, size, (1, 1), dilation)

ops.AvgPool2d.forward

avg-pool-not-divided: values
  y = Σ window.
  This is the sum of the window. Divided by the number of its values it becomes their mean, as large as they are.
- seen.sum(axis=(4, 5)) / divisor  =>  seen.sum(axis=(4, 5))
avg-pool-counts-the-border: values
  y = Σ window / (kH · kW).
  Windows at the edge hold zeros that only fill them up. Where these do not count, divisor is smaller than the window.
- / divisor  =>  / (size[0] * size[1])
avg-pool-over-the-places: values
  y = Σ over all windows / divisor.
  The axes that disappear are those of a window, the last two. The axes before them say which window it is.
- axis=(4, 5)  =>  axis=(2, 3)
avg-pool-takes-the-largest: values
  y = max window / divisor.
  This is the other kind of pooling, and it is even divided by the number of values.
- seen.sum(axis=(4, 5))  =>  seen.max(axis=(4, 5))

ops.AvgPool2d.backward

avg-pool-overwrites: path-forgotten
  dL/dx = dL/dy / n of the last window that x lies in.
  A pixel lies in several windows, and each sends it its share. With = they replace each other; they must add up.
- grad = add_windows(grads, ctx.whole_shape, ctx.stride)
+ grad = np.zeros(ctx.whole_shape, grad_y.dtype)
+ for i, j in np.ndindex(*ctx.window_shape[2:4]):
+     rows = slice(i * ctx.stride[0], i * ctx.stride[0] + ctx.window_shape[4])
+     columns = slice(j * ctx.stride[1], j * ctx.stride[1] + ctx.window_shape[5])
+     grad[:, :, rows, columns] = grads[:, :, i, j]
avg-pool-divides-twice: mean-twice
  dL/dx = Σ of dL/dy / n² over the windows that x lies in.
  Each of the n numbers has a share of 1/n in y, so it gets 1/n of dL/dy. Divided again, the gradient is too small.
- grad_y / divisor  =>  grad_y / divisor / divisor
avg-pool-border-from-one-side: values
  dL/dx = the first H rows and W columns of the padded image's gradient.
  The border lies on both sides, so the image begins after padding rows. Cut off at the end alone, every gradient
  arrives beside the pixel it belongs to.
- h : h + ctx.x_shape[2], w : w + ctx.x_shape[3]  =>  : ctx.x_shape[2], : ctx.x_shape[3]
avg-pool-backward-counts-the-border: values
  dL/dx = Σ of dL/dy / (kH · kW) over the windows that x lies in.
  forward divides by divisor, which is smaller at the edge if the border's zeros do not count. backward has to divide by
  the same numbers.
- grad_y / divisor  =>  grad_y / (ctx.window_shape[4] * ctx.window_shape[5])

avg-pool-as-if-a-sum: mean-missing
  dL/dx = Σ of dL/dy over the windows that x lies in.
  y is a mean of n numbers, so each x gets 1/n of dL/dy. For a window of 2 x 3 this gradient is six times too large.
- grad_y / divisor  =>  grad_y

ops.LeakyReLU.backward

leaky-relu-as-a-relu: one-side
  dL/dx = dL/dy where x > 0, else 0.
  Below 0 the function is not flat: its slope there is what keeps the unit alive. Here it is dead again.
- grad_y * ctx.slope  =>  0
leaky-relu-passes-on: derivative-missing
  dL/dx = dL/dy.
  Below 0 the gradient has the factor slope. Without it everything below 0 learns ten or a hundred times too fast.
- grad_y * ctx.slope  =>  grad_y

ops.ELU.backward

elu-forgets-alpha: one-side
  dL/dx = dL/dy · scale where x > 0, else dL/dy · scale · rate · exp(rate · x).
  Below 0 the function is multiplied by alpha, and so is its slope. With alpha = 1 it does not show.
- (ctx.alpha * ctx.scale * ctx.rate)  =>  (ctx.scale * ctx.rate)

ops.SiLU.backward

silu-keeps-one-term: term-missing
  dL/dx = dL/dy · s.
  x · s(x) is a product of two functions of x: the product rule gives s + x · s'. Here the second term is missing.
- grad_y * s * (1 + x * (1 - s))  =>  grad_y * s
silu-without-x: term-factor
  dL/dx = dL/dy · (s + s · (1 - s)).
  The product rule gives s + x · s', and here the factor x of the second term is missing. At x = 1 it does not show.
- (1 + x * (1 - s))  =>  (1 + (1 - s))

ops.Softplus.backward

softplus-as-a-sigmoids-derivative: wrong-derivative
  dL/dx = dL/dy · s · (1 - s),  s = 1 / (1 + exp(-x)).
  The derivative of the softplus is the sigmoid, s. This is the sigmoid's own derivative, one step too far.
- grad_y / (1 + np.exp(-steep))  =>  grad_y * np.exp(-steep) / (1 + np.exp(-steep)) ** 2

ops.BCELoss.backward

bce-not-divided: operand
  dL/dp = dL/dy · (p - t).
  p - t is the gradient of the logits, where the sigmoid's p · (1 - p) cancels the denominator. That of p has it.
- grad_y * (p - target) / np.maximum((1 - p) * p, p.dtype.type(np.float32(1e-12)))  =>  grad_y * (p - target)

ops.BCEWithLogitsLoss.backward

bce-with-logits-by-the-squared-error: operand
  dL/dx = dL/dy · (s - t) · s · (1 - s).
  The sigmoid's derivative belongs to the squared error. In the cross-entropy it cancels; here a unit that is confident
  and wrong hardly learns.
- grad_x = grad_y * (  =>  grad_x = grad_y * np.exp(-x) / (1 + np.exp(-x)) ** 2 * (
bce-with-logits-forgets-the-weight: one-side
  dL/dx = dL/dy · (s - t), whatever pos_weight is.
  The loss counts positive examples pos_weight times, and backward counts all alike: the positive ones get too little.
- w = 1 if pos_weight is None else 1 + (pos_weight - 1) * target  =>  w = 1

ops.SmoothL1Loss.backward

smooth-l1-forgets-beta: one-side
  dL/dx = dL/dy · d where |d| < beta, else dL/dy · sign d.
  Below beta the slope is d / beta, so that the two parts meet. With beta = 1 it does not show.
- d / ctx.beta, np  =>  d, np
"""
