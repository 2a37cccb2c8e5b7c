"""Mistakes in a network by hand, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
learn.network_by_hand.forward_pass

hand-without-relu: values
  hidden = X W1 + b1.
  Without the ReLU, the two layers together are one linear function, however many hidden units there are.
- np.maximum(X @ parameters["W1"] + parameters["b1"], 0)  =>  X @ parameters["W1"] + parameters["b1"]
hand-relu-before-the-bias: values
  hidden = max(X W1, 0) + b1.
  The bias is the threshold of the ReLU, so it is added before it. Added afterwards, it can make hidden negative.
- X @ parameters["W1"] + parameters["b1"], 0)  =>  X @ parameters["W1"], 0) + parameters["b1"]
hand-relu-at-the-output: values
  logits = max(hidden W2 + b2, 0).
  Logits may be negative. A ReLU there stops the gradient of every class whose score is below 0.
- hidden @ parameters["W2"] + parameters["b2"]  =>  np.maximum(hidden @ parameters["W2"] + parameters["b2"], 0)
hand-forward-returns-logits-only: values
  only the logits are returned.
  The way back needs hidden, too: for the gradient of W2, and to know which hidden units were 0.
- return hidden, logits  =>  return logits

learn.network_by_hand.loss_and_gradient

hand-loss-overflows: values
  log_probs = logits - ln Σ exp(logits), without the shift.
  exp(1000) is infinite, and the loss with it. Subtract the maximum of each row first; that changes no result.
- logits - logits.max(axis=1, keepdims=True)  =>  logits
hand-gradient-not-divided: values
  dL/d(logits) = softmax - 1 at the label.
  The loss is a mean over N rows, so each row's gradient is divided by N. Otherwise every step is N times too long.
- grad_logits / len(labels)  =>  grad_logits
hand-gradient-without-the-one: values
  dL/d(logits) = softmax / N.
  Without the 1 at the label, every score is pushed down, also the right one, and nothing is learned.
- grad_logits[rows, labels] -= 1  =>  pass
hand-gradient-of-the-label-only: values
  dL/d(logits) = (p - 1) / N at the label, 0 elsewhere.
  Every score of a row changes its softmax, so the other classes get p / N. Here they are never pushed down.
- grad_logits[rows, labels] -= 1
+ grad_logits = np.zeros(logits.shape)
+ grad_logits[rows, labels] = np.exp(log_probs)[rows, labels] - 1
hand-loss-summed: values
  L = the sum over the rows of -ln softmax(logits)[label].
  The loss is a mean over the rows. A sum grows with the size of the batch, and so would the steps.
- .mean()  =>  .sum()

learn.network_by_hand.backward_pass

hand-backward-without-relu: values
  dL/d(X W1 + b1) = dL/d(hidden).
  Where hidden is 0 the ReLU was flat, so no gradient passes. Here the units that were off learn as if they were on.
- np.where(hidden > 0, grad_hidden, 0)  =>  grad_hidden
hand-backward-mask-of-the-gradient: values
  dL/d(X W1 + b1) = dL/d(hidden) where dL/d(hidden) > 0.
  The ReLU looks at its input, not at the gradient. A negative gradient passes just as well as a positive one.
- np.where(hidden > 0, grad_hidden, 0)  =>  np.where(grad_hidden > 0, grad_hidden, 0)
hand-backward-bias-averaged: values
  dL/db2 = the mean over the rows of dL/d(logits).
  The 1/N of the loss is in dL/d(logits) already, so the rows are added. With a mean it is divided by N twice.
- grad_logits.sum(axis=0)  =>  grad_logits.mean(axis=0)
hand-backward-transposed: values
  dL/dW2 = dL/d(logits)ᵀ hidden.
  That has the shape (C, H). W2 is (H, C), and so is its gradient: hiddenᵀ dL/d(logits).
- hidden.T @ grad_logits  =>  grad_logits.T @ hidden
hand-backward-bias-of-the-first-row: values
  dL/db1 = dL/d(X W1 + b1) of the first sample.
  Each sample used the same bias, so the gradients of all samples add up. Here only the first one counts.
- grad_sum.sum(axis=0)  =>  grad_sum[0]

learn.network_by_hand.numeric_gradients

hand-numeric-does-not-restore: values
  each number stays where it was moved to.
  All further derivatives are then measured at another point, a little farther away each time.
- array[index] = before
-         gradients[name][index]
+ gradients[name][index]
hand-numeric-one-step: values
  (up - down) / step.
  up and down are two steps apart, one up and one down. Divided by one step, each derivative is doubled.
- (2 * step)  =>  step
hand-numeric-of-weights-only: values
  the biases' gradients stay 0.
  A bias is a parameter like any other, and moves the loss, too. Loop over every parameter, whatever its shape.
- for index in np.ndindex(array.shape):  =>  for index in np.ndindex(array.shape) if array.ndim == 2 else ():
hand-numeric-sign: values
  (down - up) / (2 step).
  A derivative is positive where the loss grows with the parameter. The difference is reversed here.
- (up - down)  =>  (down - up)

learn.network_by_hand.update

hand-update-uphill: values
  W = W + lr · dL/dW.
  The gradient points to where the loss grows, so a step must go the other way. Here the loss grows in each step.
- -= lr  =>  += lr
hand-update-rebinds: values
  W = W - lr · dL/dW, in a name of its own.
  This makes a new array and gives it a local name. The network keeps the old one and never learns.
- parameters[name] -= lr * gradient
+ parameter = parameters[name]
+     parameter = parameter - lr * gradient
hand-update-without-lr: values
  W = W - dL/dW.
  Without the learning rate, each step is as long as the gradient, which is far too long for most networks.
- lr * gradient  =>  gradient
hand-update-of-weights-only: values
  only W1 and W2 move.
  The biases learn by the same rule. With biases that stay 0, no unit can move its threshold.
- parameters[name] -= lr * gradient
+ if name.startswith("W"):
+         parameters[name] -= lr * gradient

learn.network_by_hand.train

hand-train-drops-the-last-batch: values
  len(X) // batch_size batches.
  If the samples do not divide evenly, the last batch is smaller. Its samples count as well.
- range(0, len(X), batch_size)  =>  range(0, len(X) - batch_size + 1, batch_size)
hand-train-without-update: values
  the gradients are computed and not used.
  The parameters never change, and neither does the loss: the curve only shows how the batches differ.
- update(parameters, gradients, lr)  =>  pass
hand-train-loss-after-the-update: values
  each batch's loss is computed again after its update.
  The loss that belongs to a step's gradient is the one before the step. After it, each loss is too low.
- losses.append(loss)  =>  losses.append(loss_and_gradient(forward_pass(parameters, batch)[1], batch_labels)[0])
hand-train-one-epoch: values
  the samples are used once.
  One pass over the data is one epoch, and train makes as many of them as it is asked for.
- for _ in range(epochs):  =>  for _ in range(1):
hand-train-returns-early: values
  return after the first epoch.
  The return stands inside the loop over the epochs, so the function ends in the first one.
- return losses
+     return losses
"""
