"""Mistakes in soft targets, dropout, clipping and schedules, as edits of the library (the form: specimen.py)."""

MISTAKES = """
nn.soft_targets._loss_of_probabilities

soft-targets-without-weights: values
  -Σ_c t[c] · log p[c], whatever the weights are.
  Each class counts as often as its weight says. Without the weights, rare classes are lost among the frequent ones.
- if weight is None else log_probs * target * _per_class(weight, log_probs)  =>
soft-targets-mean-over-weights: values
  the mean divides by the sum of the weights.
  That is the rule for labels. With probabilities no row has a single weight, so torch divides by the number of rows.
- rows = log_probs.numel() // classes if classes else 0
+ rows = log_probs.numel() // classes if weight is None else weight.sum()
- float(rows)  =>  rows
soft-targets-mean-over-elements: values
  the mean divides by N · C.
  The sum over the classes makes one loss of each row, so there are N losses to take the mean of.
- log_probs.numel() // classes if classes else 0  =>  log_probs.numel()
soft-targets-smoothing-not-taken-away: values
  t = t + smoothing / C.
  What all classes get must be taken from the target first: (1 - smoothing) · t. Otherwise it sums to more than 1.
- target * (1 - label_smoothing) + label_smoothing / classes  =>  target + label_smoothing / classes
soft-targets-smoothing-not-divided: values
  t = (1 - smoothing) · t + smoothing.
  The share is spread over all C classes, so each of them gets smoothing / C. Here the target sums to far more than 1.
- label_smoothing / classes  =>  label_smoothing
soft-targets-of-the-samples: values
  -Σ over the samples, one loss for each class.
  The sum is over the classes: axis 1. Over axis 0 it mixes the samples, which only shows without a reduction.
- return -weighted.sum(class_dim)  =>  return -weighted.sum(0)

nn.soft_targets.cross_entropy_of_soft_targets

label-smoothing-not-divided: values
  (1 - smoothing) · loss + smoothing · the sum of the losses of all classes.
  Each class gets the share smoothing / C, so the sum over the classes is divided by C.
- (label_smoothing / log_probs.shape[class_axis(log_probs)])  =>  label_smoothing
label-smoothing-without-one-minus: values
  loss + smoothing · the mean of the losses of all classes.
  The share that is spread is taken from the label, which keeps 1 - smoothing. Here the target sums to more than 1.
- (1 - label_smoothing) * loss  =>  loss
label-smoothing-swapped: values
  smoothing · loss + (1 - smoothing) · the mean of the losses of all classes.
  With a smoothing of 0.1, nine tenths must stay with the label. Here they are spread, and the network learns little.
- (1 - label_smoothing) * loss + of_all * (label_smoothing / log_probs
+ label_smoothing * loss + of_all * ((1 - label_smoothing) / log_probs
label-smoothing-forgets-the-weights: values
  the label's own loss has no class weight.
  Both halves count each class as often as its weight says, and both divide by the same sum of weights.
- log_probs, target, weight, ignore_index=ignore_index  =>  log_probs, target, None, ignore_index=ignore_index
label-smoothing-over-the-others: values
  the share is spread over the C - 1 other classes.
  torch spreads it over all C classes, so the label gets smoothing / C back. Some papers leave the label out.
- (label_smoothing / log_probs.shape[class_axis(log_probs)])
+ (label_smoothing / (log_probs.shape[class_axis(log_probs)] - 1))

ops.BCEWithLogitsLoss.forward

bce-with-logits-overflows: values
  ln(1 + exp(-x)), as it is written.
  exp(1000) is infinite, and so is the loss of a logit of -1000. Write it with exp(-|x|), which is at most 1.
- np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)  =>  np.log1p(np.exp(-x))
bce-with-logits-by-the-sigmoid: values
  -t ln s - (1 - t) ln(1 - s), with s = sigmoid(x).
  For x = 40, s rounds to 1 and ln(1 - s) is -inf. Take the logarithm by hand before anything is rounded.
- softplus = np.log1p(np.exp(-np.abs(x))) - np.minimum(x, 0)  =>  s = 1 / (1 + np.exp(-x))
- np.asarray((1 - target) * x + w * softplus)
+ np.asarray((1 - target - w) * np.log(s) - (1 - target) * np.log(1 - s))
bce-with-logits-of-the-other-class: values
  t · x + ln(1 + exp(-x)).
  The linear term belongs to the targets 0: there a large logit is wrong, and costs x.
- (1 - target) * x  =>  target * x
bce-with-logits-weights-every-example: values
  w = pos_weight for every example.
  pos_weight counts for the targets 1 only: w = 1 + (pos_weight - 1) · t, which is 1 for a target of 0.
- 1 + (pos_weight - 1) * target  =>  pos_weight
bce-with-logits-mean: values
  the mean of the losses.
  The operation returns a loss for each element. The reduction is another operation, applied to its result.
- np.asarray((1 - target) * x + w * softplus)  =>  np.asarray(((1 - target) * x + w * softplus).mean())

ops.BCEWithLogitsLoss.backward

bce-with-logits-target-minus-s: values
  dL/dx = dL/dy · (t - s).
  The logit should grow where the target is larger, and the step goes against the gradient: so it is s - t.
- grad_y * ((1 - target) - w / (1 + np.exp(x)))  =>  grad_y * (w / (1 + np.exp(x)) - (1 - target))
bce-with-logits-overflows-backward: values
  s = exp x / (1 + exp x).
  For x = 1000 that is inf / inf, which is nan. Divide both by exp x, or only use exp of negative numbers.
- w / (1 + np.exp(x))  =>  w * (1 - np.exp(x) / (1 + np.exp(x)))

nn.functional.dropout

dropout-not-scaled: values
  y = x where it is kept, else 0.
  A fraction p of the sum is missing then, and in evaluation, when nothing is dropped, all sums are larger than in
  training. The kept values are divided by 1 - p.
- kept.astype(input.dtype) / input.dtype.type(1 - p)  =>  kept.astype(input.dtype)
dropout-scaled-by-p: values
  y = x / p where it is kept.
  1 - p is the fraction that is kept. With p = 0.5 the two are equal, so it does not show.
- / input.dtype.type(1 - p)  =>  / input.dtype.type(p)
dropout-keeps-what-it-should-drop: values
  each value is kept with probability p.
  p is the probability to become 0. bernoulli gets the probability of True, and True means kept here.
- random.bernoulli(input.shape, 1 - p)  =>  random.bernoulli(input.shape, p)
dropout-also-in-evaluation: values
  training is ignored.
  In evaluation nothing is dropped. Otherwise the same sample gets another answer each time.
- if p == 0 or not training or input.numel() == 0:  =>  if p == 0 or input.numel() == 0:
dropout-scaled-in-evaluation: values
  y = (1 - p) · x in evaluation.
  The oldest form of dropout scaled there, and not in training. Done in both, the sums differ by (1 - p) again.
- return input
- if p == 1:
+ return input if training else input * (1 - p)
+ if p == 1:
dropout-off-the-tape: values
  y is computed from input's array.
  The result has no history, so no gradient passes through it, and nothing before the dropout learns.
- else input * wrap(scale)  =>  else wrap(input.array * scale)
dropout-of-whole-rows: values
  one draw for each row.
  Each value has a draw of its own; whole channels are dropped by dropout1d and dropout2d.
- random.bernoulli(input.shape, 1 - p)  =>  random.bernoulli((input.shape[0], *[1] * (input.ndim - 1)), 1 - p)

nn.utils.clip_grad.clip_grad_norm_

clip-norm-of-each: values
  each gradient is scaled by a factor of its own.
  That turns the step. All gradients together are one vector, and one factor keeps its direction.
- for grad in grads:
+ for grad in grads:
+     factor = min(float(max_norm) / (float(np.linalg.norm(grad.array)) + 1e-6), 1.0)
clip-norm-always: values
  factor = max_norm / norm, also if that is above 1.
  A norm below max_norm stays as it is. Here small gradients are made larger, and no step is ever short.
- min(float(max_norm) / (float(total.array) + 1e-6), 1.0)  =>  float(max_norm) / (float(total.array) + 1e-6)
clip-norm-returns-the-norm-after: values
  returns the norm after the clipping.
  The norm before is what you want to plot: it shows how often, and how hard, the gradients are clipped.
- return total  =>  return get_total_norm(grads, float(norm_type))
clip-norm-clips-a-copy: values
  the scaled gradients get a local name.
  grad = grad * factor makes a new array. Only writing into grad.array changes what the optimizer reads.
- grad.array *= grad.dtype.type(factor)  =>  array = grad.array * factor
clip-norm-squared: values
  the norm without its root.
  The norm is √Σ g². Compared without the root, large gradients are scaled down far too much.
- total = get_total_norm(grads, float(norm_type), error_if_nonfinite)
+ total = get_total_norm(grads, float(norm_type), error_if_nonfinite) ** 2

nn.utils.clip_grad.clip_grad_value_

clip-value-above-only: values
  min(g, clip_value).
  Large negative gradients stay. Each value is moved into -clip_value to clip_value.
- np.clip(grad.array, -clip_value, clip_value, out=grad.array)
+ np.minimum(grad.array, clip_value, out=grad.array)
clip-value-of-a-copy: values
  np.clip without out.
  np.clip returns a new array, and nothing keeps it. The gradient itself must change.
- , out=grad.array)  =>  )
clip-value-to-zero: values
  what is too large becomes 0.
  Clipping moves a value to the nearest bound. A gradient of 0 would say that nothing has to change.
- np.clip(grad.array, -clip_value, clip_value, out=grad.array)
+ grad.array[np.abs(grad.array) > clip_value] = 0
clip-value-as-a-norm: values
  each gradient is scaled until its largest value fits.
  That is clipping by the maximum norm. Here each value is clipped alone, and the others stay.
- np.clip(grad.array, -clip_value, clip_value, out=grad.array)
+ grad.array /= max(1.0, float(np.abs(grad.array).max()) / clip_value)

optim.lr_scheduler.StepLR.next_lr

step-lr-every-epoch: values
  lr · gamma at each epoch.
  That is ExponentialLR. StepLR waits for step_size epochs before it applies the next factor.
- lr if self.last_epoch == 0 or self.last_epoch % self.step_size != 0 else lr * self.gamma  =>  lr * self.gamma
step-lr-at-once: values
  the first epoch has lr · gamma already.
  0 is a multiple of step_size, too. The schedule begins with the rate that the optimizer was given.
- self.last_epoch == 0 or self.last_epoch % self.step_size  =>  self.last_epoch % self.step_size
step-lr-one-too-late: values
  the factor comes at epochs step_size + 1, 2 · step_size + 1, ...
  last_epoch counts from 0, so epoch step_size is the first one of the second stage.
- self.last_epoch == 0 or self.last_epoch % self.step_size != 0
+ self.last_epoch <= 1 or self.last_epoch % self.step_size != 1
step-lr-from-the-initial-rate: values
  base_lr · gamma at each stage.
  The second stage has gamma², the third gamma³. Multiply the rate that was valid before.
- else lr * self.gamma  =>  else base_lr * self.gamma
step-lr-subtracts: values
  lr - gamma at each stage.
  The rate is multiplied by gamma, so it never becomes 0 or negative. A negative rate would go uphill.
- lr * self.gamma  =>  lr - self.gamma

optim.lr_scheduler.CosineAnnealingLR.next_lr

cosine-not-halved: values
  eta_min + (base_lr - eta_min) · (1 + cos(π · epoch / T_max)).
  1 + cos begins at 2. With the half it begins at 1, and the schedule with base_lr.
+ wave = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
+ return self.eta_min + (base_lr - self.eta_min) * wave
cosine-in-degrees: values
  cos(180 · epoch / T_max).
  NumPy and math count in radians: half a wave is π, not 180. In radians, 180 is more than 28 whole waves.
+ wave = 1 + math.cos(180 * self.last_epoch / self.T_max)
+ return self.eta_min + (base_lr - self.eta_min) * wave / 2
cosine-a-whole-wave: values
  cos(2π · epoch / T_max).
  Half a wave leads from base_lr to eta_min in T_max epochs. A whole one is back at base_lr then.
+ wave = 1 + math.cos(2 * math.pi * self.last_epoch / self.T_max)
+ return self.eta_min + (base_lr - self.eta_min) * wave / 2
cosine-eta-min-added: values
  eta_min + base_lr · (1 + cos(π · epoch / T_max)) / 2.
  The wave spans base_lr - eta_min. Otherwise the schedule begins at base_lr + eta_min.
+ return self.eta_min + base_lr * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
cosine-of-the-rate-before: values
  the closed formula, with the rate before in place of base_lr.
  Each epoch would shrink the rate that was shrunk already. The closed formula begins with the initial rate each time.
+ return self.eta_min + (lr - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
cosine-stops-at-the-minimum: values
  eta_min for all epochs after T_max.
  torch's schedule goes back up on the same wave. Only a training that ends at T_max does not see it.
+ epoch = min(self.last_epoch, self.T_max)
+ return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2
"""
