"""Mistakes that only a comparison with the right values finds; specimen.py explains the form.

The mistake is in a forward pass, an initialization, a loop or a numeric derivative, or it shows only in a case that the
checks' examples do not contain. So no check of a gradient or an optimizer can name it: its name is always "values".
"""

FORWARD_PASSES = """
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

relu-passes-at-zero: values
  dL/dx = dL/dy where x >= 0, else 0.
  The derivative at 0 is a matter of choice; torch's is 0. Here every unit that is off, with y = 0, passes the gradient.
- y <= 0  =>  y < 0

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

linear-input-as-rows: values
  dL/dx = dL/dy W, as a matrix (N, in).
  For x with more than two axes the gradient must have them again. With a matrix as input, nothing is wrong.
- .reshape(ctx.shape)  =>

ops.Softmax.forward

softmax-overflows: values
  y = exp x / Σ exp x, without subtracting the maximum.
  exp(1000) is infinite, and inf / inf is nan. The first large score makes everything nan.
-  - x.max(axis=dim, keepdims=True, initial=-np.inf)  =>
softmax-sums-over-the-last-axis: values
  y = exp x / Σ exp x over the last axis, whatever dim is.
  The probabilities add up to 1 along the wrong axis, except where dim is the last one.
- exp.sum(axis=dim  =>  exp.sum(axis=-1

ops.LogSoftmax.forward

log-softmax-overflows: values
  y = x - ln Σ exp x, without subtracting the maximum.
  exp(1000) is infinite, and so is its logarithm. The result is a plain number only if exp never overflows.
-  - x.max(axis=dim, keepdims=True, initial=-np.inf)  =>
log-softmax-adds-the-logarithm: values
  y = x + ln Σ exp x.
  The logarithm of a quotient is a difference. With a sum the results are no log-probabilities, and may be positive.
- shifted - np.log  =>  shifted + np.log

ops.MSELoss.forward

mse-of-absolute-values: values
  y = Σ |x - t|, or its mean.
  This is the absolute error. Its backward is still that of the squared error, so loss and gradient do not match.
- np.square(difference).sum()  =>  np.abs(difference).sum()
mse-divided-by-the-rows: values
  y = Σ (x - t)² / (the number of rows).
  torch's mean is over all elements, rows times columns. Divided by the rows alone, the loss is too large.
- x.dtype.type(difference.size)  =>  len(difference)

ops.NLLLoss.forward

nll-positive: values
  y_i = w[t_i] · x[i, t_i].
  Log-probabilities are negative, so the loss has to change the sign. Without the minus, good predictions cost more.
- -w * rows  =>  w * rows
nll-weight-of-class-0: values
  y_i = -w[0] · x[i, t_i].
  Each row needs the weight of its own class. Here every row has the weight of class 0.
- weight[labels]  =>  weight[0]
nll-counts-ignored-rows: values
  y = Σ y_i / (the number of all rows).
  Rows with ignore_index do not count, in the sum or in the number that the mean divides by.
- total = kept.size if  =>  total = target.size if
nll-last-sample-dropped: values
  y = the loss of all samples but the last.
  The loss leaves out the last sample of each batch, as a loop does that ends one too early.
- np.flatnonzero(labels != ignore_index)  =>  np.flatnonzero(labels != ignore_index)[:-1]

ops.NLLLoss.backward

nll-divided-by-all-rows: values
  dL/dx[i, t_i] = -w[t_i] · dL/dy / N, else 0.
  The mean divides by the sum of the weights of the rows that count. Without weights and ignored rows, that is N.
- grad_y / total  =>  grad_y / ctx.shape[0]
"""

GRADIENTS = """
ops.Flatten.backward

flatten-not-undone: values
  dL/dx = dL/dy.
  The gradient keeps the flat shape of y, but dL/dx has the shape of x. The tape reports the wrong shape.
- grad_y.reshape(ctx.shape)  =>  grad_y

ops.Softmax.backward

softmax-adds-the-sum: values
  dL/dx = y · (dL/dy + Σ dL/dy · y).
  Each x pushes the other y's down, so the sum must be subtracted. Added, it pushes them all up.
- (grad_y - (  =>  (grad_y + (

ops.LogSoftmax.backward

log-softmax-adds-the-sum: values
  dL/dx = dL/dy + exp y · Σ dL/dy.
  ln Σ exp x is subtracted in y, so the sum is subtracted in the gradient. Added, it pulls the wrong classes up.
- grad_y - np  =>  grad_y + np

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

tensor.Tensor.receive_grad

receive-grad-overwrites: values
  .grad = grad, also where there is a gradient already.
  A second backward must add to what the first one left. That is how a large batch is built from small ones.
- self._grad.array += grad  =>  self._grad.array[...] = grad
receive-grad-keeps-what-others-own: values
  .grad keeps the array that it was given, always.
  The array may belong to another Tensor as well. Then a later change of one gradient changes the other.
- elif owned and grad.strides == self.array.strides  =>  elif True

tape.walk_back

walk-back-adds-in-place: values
  pending[edge] += input_grad.
  Add sends the same array to both of its operands. Written in place, it changes the gradient of the other one as well.
- pending[edge] = np.asarray(pending[edge] + input_grad)  =>  pending[edge] += input_grad
walk-back-takes-any-order: values
  node = the last one in the heap's list, not the newest.
  A node must wait until everything that used its result has been visited. In another order gradients arrive too late.
- heapq.heappop(newest_first)  =>  newest_first.pop()
walk-back-follows-one-path: values
  Only each node's first input gets a gradient.
  In w · x + b that leaves out x's and b's share. Whatever lies behind them never learns.
- if edge is None or input_grad is None:  =>  if input_grad is not input_gradients[0] or edge is None:

optim.Optimizer.zero_grad

zero-grad-zeroes-a-copy: values
  param.grad stays, with set_to_none=False.
  clone() makes a new Tensor, and nothing is written. zero_() writes 0 into the gradient that the parameter has.
- .zero_()  =>  .clone()
zero-grad-always-sets-none: values
  param.grad = None, also with set_to_none=False.
  A gradient of 0 is not the same as no gradient: a step with momentum still moves a parameter whose gradient is 0.
- if set_to_none  =>  if True

optim.SGD.update

sgd-nesterov-undamped: values
  param -= lr · (g + buf), with nesterov.
  The look ahead is momentum · buf. Without the factor each step is too long, and training may overshoot.
- grad + momentum * buf if  =>  grad + buf if
sgd-nesterov-always: values
  param -= lr · (g + momentum · buf), also without nesterov.
  The option has no effect: plain momentum should step by lr · buf, without looking ahead.
- if options["nesterov"]  =>  if True

optim.RMSprop.update

rmsprop-adds-the-squared-mean: values
  avg = √(square_avg + grad_avg²) + eps, with centered.
  A variance is the mean square minus the square of the mean. With a plus, steady gradients make smaller steps.
- - grad_avg * grad_avg  =>  + grad_avg * grad_avg

diagnosis.finite_differences._Measured.around

around-moves-one-way: values
  both values at before + step.
  The difference between two equal values is 0, and so is every derivative that is measured with it.
- before - step  =>  before + step
around-does-not-restore: values
  flat[j] stays where it was moved to.
  Each further derivative is then measured at another point, a little farther away each time.
- finally:
-     flat[j] = before
+ finally:
+     pass
around-distance-doubled: values
  the distance is 2 · (before + step).
  The distance lies between the two moved numbers. This is a multiple of one of them.
- high - low  =>  2 * high

diagnosis.finite_differences._Measured.jacobian

jacobian-one-sided-distance: values
  dy/dx = (up - down) / (distance / 2).
  up and down are one whole distance apart, from -step to +step. Divided by half of it, each derivative is doubled.
- /= distance  =>  /= distance / 2
jacobian-sign: values
  dy/dx = (down - up) / distance.
  A derivative is positive where y grows with x. The difference is reversed, and with it every sign.
- np.subtract(up, down  =>  np.subtract(down, up
"""

TRAINING = """
loops.train_loop

train-loop-without-zero-grad: values
  loss.backward(); optimizer.step().
  backward adds to .grad. Without zero_grad each step follows the sum of all gradients so far.
- optimizer.zero_grad()  =>  pass
train-loop-steps-first: values
  optimizer.step(); loss.backward(); optimizer.zero_grad().
  The step finds no gradient, since the one that backward computes is forgotten right afterwards. Nothing learns.
- loss.backward()
-     optimizer.step()
+ optimizer.step()
+     loss.backward()
train-loop-without-step: values
  loss.backward(); optimizer.zero_grad().
  The gradients are computed and forgotten. The parameters never change, and neither does the loss.
- optimizer.step()  =>  pass
train-loop-in-evaluation-mode: values
  model.eval() before training.
  Dropout and similar layers behave differently in training. In evaluation mode they are switched off.
- model.train()  =>  model.eval()
train-loop-counts-too-few: values
  current = the samples before this batch.
  The samples of the current batch have been used as well, so they belong to the count.
- + len(X)  =>
train-loop-restarts-its-count: values
  batch counts from 0, whatever first_batch is.
  A pass that is resumed in the middle must continue with the number of its next batch.
- start=first_batch  =>  start=0

loops.test_loop

test-loop-takes-the-worst-class: values
  the prediction is the class with the smallest score.
  The model's answer is the class with the largest score. The smallest gives an accuracy below chance.
- argmax(1)  =>  argmin(1)
test-loop-averages-over-samples: values
  test_loss = Σ (a batch's mean loss) / (the number of samples).
  Each loss is a mean over its batch already, so their sum is divided by the number of batches.
- test_loss / num_batches  =>  test_loss / size
test-loop-in-training-mode: values
  no model.eval().
  Dropout would drop units at random in the test as well, and the accuracy would come out too low.
- model.eval()  =>  pass

nn.init.xavier_uniform_

xavier-without-gain: values
  bound = √(6 / (fan_in + fan_out)).
  The gain makes up for what the activation does to the signal. Without it the argument has no effect.
- gain * math  =>  math
xavier-of-fan-in-only: values
  bound = gain · √(6 / fan_in).
  The forward signal depends on fan_in and the backward one on fan_out. Xavier's bound uses the mean of both.
- float(fan_in + fan_out)  =>  float(fan_in)
xavier-positive: values
  between 0 and bound.
  All weights are positive, so every unit computes nearly the same. The range must be symmetric around 0.
- -bound, bound  =>  0, bound

nn.init.kaiming_uniform_

kaiming-bound-is-the-deviation: values
  bound = gain / √fan.
  Numbers drawn evenly from ±bound have the standard deviation bound / √3, so the bound needs the factor √3.
- math.sqrt(3.0) * _kaiming  =>  _kaiming
kaiming-like-xavier: values
  bound = gain · √(6 / fan).
  The 6 is from Xavier's formula, which divides by the sum of two fans. Here there is one, so it is a 3.
- math.sqrt(3.0) * _kaiming  =>  math.sqrt(6.0) * _kaiming
kaiming-ignores-the-mode: values
  fan = fan_in, whatever mode is.
  fan_in preserves the size of the forward signal, and fan_out that of the gradients.
- mode, nonlinearity)  =>  "fan_in", nonlinearity)

nn.layers.Linear.reset_parameters

linear-bias-drawn-positive: values
  bias between 0 and 1/√in_features.
  The bias must be drawn symmetrically around 0. Here every unit starts with a positive shift.
- -bound, bound  =>  0, bound
linear-weight-drawn-too-wide: values
  weight within ±√(6 / in_features).
  With a = 0 the gain is that of a ReLU. torch's Linear uses a = √5, which gives 1/√in_features.
- a=math.sqrt(5)  =>  a=0
linear-bias-drawn-too-narrow: values
  bias within ±1/in_features.
  The bound is 1/√in_features, as for the weight. Without the root the bias is nearly 0 in a wide layer.
- 1 / math.sqrt(self.in_features)  =>  1 / self.in_features
"""
