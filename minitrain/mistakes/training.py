"""Mistakes in training loops and in initial weights, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
loops.train_loop

train-loop-without-zero-grad: gradients-not-zeroed
  loss.backward(); optimizer.step().
  backward adds to .grad. Without zero_grad each step follows the sum of all gradients so far.
- optimizer.zero_grad()  =>  pass
train-loop-steps-first: step-before-backward
  optimizer.step(); loss.backward(); optimizer.zero_grad().
  The step finds no gradient, since the one that backward computes is forgotten right afterwards. Nothing learns.
- loss.backward()
-     optimizer.step()
+ optimizer.step()
+     loss.backward()
train-loop-without-step: no-step
  loss.backward(); optimizer.zero_grad().
  The gradients are computed and forgotten. The parameters never change, and neither does the loss.
- optimizer.step()  =>  pass
train-loop-in-evaluation-mode: training-in-evaluation-mode
  model.eval() before training.
  Dropout and similar layers behave differently in training. In evaluation mode they are switched off.
- model.train()  =>  model.eval()
train-loop-clears-too-early: gradients-zeroed-too-early
  loss.backward(); optimizer.zero_grad(); optimizer.step().
  zero_grad discards the gradients that backward has just computed, so the step finds none. Nothing learns.
- optimizer.step()
-     optimizer.zero_grad()
+ optimizer.zero_grad()
+     optimizer.step()
train-loop-steps-twice: step-twice
  loss.backward(); optimizer.step(); optimizer.step(); optimizer.zero_grad().
  The second step follows the same gradient again, which belongs to the parameters before the first one.
- optimizer.step()
+ optimizer.step()
+     optimizer.step()
train-loop-adds-up-without-dividing: loss-not-divided
  a step for two batches, with the sum of their gradients.
  Each loss is the mean over its batch. For the mean over both, each must be divided by 2.
- optimizer.step()
-     optimizer.zero_grad()
+ if batch % 2:
+         optimizer.step()
+         optimizer.zero_grad()
train-loop-with-softmax: softmax-before-cross-entropy
  loss = loss_fn(softmax(pred), y).
  Cross-entropy applies softmax itself. Of probabilities it gets another, nearly even one, so the loss hardly falls.
- loss_fn(pred, y)  =>  loss_fn(pred.softmax(1), y)
train-loop-turns-the-labels: labels-shuffled
  loss = loss_fn(pred, y in another order).
  Each prediction is compared with the label of another sample. The model can learn only how frequent each class is.
- loss_fn(pred, y)  =>  loss_fn(pred, y.flip(0))
train-loop-differentiates-a-copy: no-backward
  y = detached loss; y.backward().
  The copy has the loss's number and not its history. Its gradient is its own, and no parameter gets one.
- loss.backward()  =>  loss.detach().requires_grad_().backward()
train-loop-counts-too-few: values
  current = the samples before this batch.
  The samples of the current batch have been used as well, so they belong to the count.
- + len(X)  =>
train-loop-restarts-its-count: values
  batch counts from 0, whatever first_batch is.
  A pass that is resumed in the middle must continue with the number of its next batch.
- start=first_batch  =>  start=0

loops.test_loop

test-loop-takes-the-worst-class: smallest-score
  the prediction is the class with the smallest score.
  The model's answer is the class with the largest score. The smallest gives an accuracy below chance.
- argmax(1)  =>  argmin(1)
test-loop-averages-over-samples: loss-over-samples
  test_loss = Σ (a batch's mean loss) / (the number of samples).
  Each loss is a mean over its batch already, so their sum is divided by the number of batches.
- test_loss / num_batches  =>  test_loss / size
test-loop-in-training-mode: evaluation-in-training-mode
  no model.eval().
  Dropout would drop units at random in the test as well, and the accuracy would come out too low.
- model.eval()  =>  pass
test-loop-divides-by-batches: accuracy-over-batches
  accuracy = Σ correct answers / (the number of batches).
  The correct answers are counted by sample, so they are divided by the number of samples.
- correct / size  =>  correct / num_batches

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
