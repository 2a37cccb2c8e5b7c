"""Mistakes in optimizers, as edits of the library's source (the form: specimen.py)."""

MISTAKES = """
optim.Optimizer.zero_grad

zero-grad-does-nothing: gradients-not-zeroed
  grad = None, where param.grad = None is meant.
  The assignment binds a name, and the parameter keeps its gradient. backward adds the next one to it. From the second
  step on, each step follows the sum of all gradients so far, like a momentum of 1.
- param.grad = None  =>  grad = None
- param.grad.detach().zero_()  =>  grad = param.grad.detach() * 0
zero-grad-returns-too-early: gradients-not-zeroed
  param.grad = None for the first parameter alone.
  The return is indented one level too deep and ends the loop in its first round. The first parameter starts each step
  without a gradient, and all others accumulate the gradients of every step before.
- param.grad.detach().zero_()
+ param.grad.detach().zero_()
+         return
zero-grad-zeroes-a-copy: values
  param.grad stays, with set_to_none=False.
  clone() makes a new Tensor, and nothing is written. zero_() writes 0 into the gradient that the parameter has.
- .zero_()  =>  .clone()
zero-grad-always-sets-none: values
  param.grad = None, also with set_to_none=False.
  A gradient of 0 is not the same as no gradient: a step with momentum still moves a parameter whose gradient is 0.
- if set_to_none  =>  if True

optim.Optimizer.step

step-one-late: late-gradient
  update with the gradient of the step before; the first step has its own.
  This happens in a loop that steps before backward, or that takes its gradients out of a buffer too late. Each step is
  right for where the parameters were before. A small learning rate hides it, a large one makes training oscillate.
- update(param.array, grad.array, state, options)
+ late = vars(self).setdefault("late", {})
+         update(param.array, late.get(param, grad).array, state, options)
+         late[param] = grad
step-returns-too-early: not-updated
  update the first parameter that has a gradient, and no other.
  `return loss` stands inside the loop instead of after it. One parameter learns, and the others stay as they were.
- param._version.number += 1
+ param._version.number += 1
+         return loss
step-ignores-the-groups: lr-not-followed
  update with self.defaults, where the options of the parameter's group are needed.
  A schedule changes param_groups[i]["lr"]. With the defaults, every step and every group has the first learning rate.
- state, options)  =>  state, self.defaults)
step-with-zero-for-none: none-as-zero
  update with a gradient of 0 where a parameter has none.
  A parameter that took no part in the loss must stay as it is. With a gradient of 0 its momentum goes on, and its
  averages shrink.
- if (grad := p.grad) is not None]  =>  for grad in [p.grad]]
- grad.array, state  =>  np.zeros_like(param.array) if grad is None else grad.array, state
step-keeps-the-first-rate: lr-not-followed
  update with the lr of the first step, forever.
  The options are copied once and kept. A schedule changes the group's lr, and nothing follows it.
- options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
+ options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
+     options["lr"] = group.setdefault("first_lr", options["lr"])
step-clips-each-gradient: gradient-clipped
  update with grad / max(1, |grad|).
  Clipping is a choice of the training loop. Hidden in step(), it changes every result, and nobody sees why.
- grad.array, state  =>  grad.array / max(1, np.linalg.norm(grad.array)), state
step-normalizes-each-gradient: gradient-normalized
  update with grad / |grad|.
  Every gradient has length 1, however small it is: near the minimum the steps do not get smaller.
- grad.array, state  =>  grad.array / np.linalg.norm(grad.array), state
step-by-the-sign: gradient-sign
  update with sign(grad).
  The size of the gradient is thrown away. Every weight moves by lr in every step, back and forth around its minimum.
- grad.array, state  =>  np.sign(grad.array), state
step-averages-each-gradient: gradient-averaged
  update with grad / (its number of entries).
  The 1/N of the loss is in the gradient already. Divided again, large layers learn far more slowly than small ones.
- grad.array, state  =>  grad.array / grad.array.size, state
step-centers-each-gradient: gradient-centered
  update with grad - mean grad.
  Without its mean the gradient points elsewhere, and the mean of the weights never changes.
- grad.array, state  =>  grad.array - grad.array.mean(), state
step-halves-the-rate: rate-falls
  update with lr / 2^t in step t.
  A schedule that is hidden in step() comes on top of the one that the program sets, and soon nothing moves any more.
- options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
+ options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
+     options["lr"] /= 2 ** group.setdefault("steps", 0)
+     group["steps"] += 1

optim.SGD.update

sgd-uphill: uphill
  param += lr · buf.
  The gradient points to where the loss grows. With a plus the loss rises in every step, faster with a larger lr.
- param -= lr * grad  =>  param += lr * grad
sgd-lr-forgotten: lr-missing
  param -= buf.
  The learning rate says how far to go. Without it each step is 1/lr times too large, and the loss rises or becomes nan.
- param -= lr * grad  =>  param -= grad
sgd-rebinds-the-parameter: not-updated
  param = param - lr · buf.
  The numbers are right, but in a new array that is dropped when the function ends. `param = ...` gives the name another
  array; `param -= ...` writes into the model's. The loss never changes.
- param -= lr * grad  =>  param = param - lr * grad
sgd-decay-forgotten: decay-missing
  g = grad, whatever weight_decay is.
  Nothing pulls the weights towards 0. Training looks the same at first, and the overfitting comes late.
- grad = grad + weight_decay * param  =>  pass
sgd-decay-sign: decay-sign
  g = grad - weight_decay · param.
  The penalty weight_decay / 2 · param² has the gradient weight_decay · param. With a minus, weights grow without end.
- grad + weight_decay * param  =>  grad - weight_decay * param
sgd-decay-decoupled: decay-decoupled
  g = grad;  param -= lr · weight_decay · param + lr · buf.
  The decay changes the parameter directly and does not go into the gradient, so the momentum does not accumulate it.
  Without momentum both are the same. With 0.9 this decay is ten times weaker in the long run.
- grad = grad + weight_decay * param  =>  param *= 1 - lr * weight_decay
sgd-decay-written-into-the-gradient: gradient-written
  grad += weight_decay · param, in place.
  The step is right, but `+=` has changed the model's .grad. It shows where a gradient is used twice: for a second step,
  for gradients that are accumulated over several batches, or for a norm that is printed after the step.
- grad = grad + weight_decay * param  =>  grad += weight_decay * param
sgd-momentum-of-the-first-gradient: stale-momentum
  buf = the first g, forever.
  The buffer is filled in the first step and never updated. Every step follows the first batch's gradient.
- buf *= momentum  =>  if first:
- buf += grad if first or options["dampening"] == 0 else (1 - options["dampening"]) * grad  =>      buf += grad
sgd-momentum-not-kept: stale-momentum
  buf = momentum · 0 + g.
  `buf = momentum * buf + grad` makes a new array, and the one in state stays 0: nothing is remembered from step to
  step. It behaves like SGD without momentum. `buf *= momentum; buf += grad` writes into the array in state.
- buf *= momentum  =>  buf = momentum * buf
sgd-momentum-averaged: momentum-averaged
  buf = momentum · buf + (1 - momentum) · g, from buf = 0.
  torch's SGD has a sum, momentum · buf + g. With 0.9 the steps of an average are ten times smaller in the long run.
- buf += grad if first or options["dampening"] == 0 else (1 - options["dampening"]) * grad
+ buf += (1 - momentum) * grad
sgd-momentum-unused: momentum-missing
  param -= lr · g, whatever momentum is.
  The buffer is updated, but the step uses the gradient itself. In narrow valleys it zigzags as plain SGD does.
- grad = grad + momentum * buf if options["nesterov"] else buf  =>  pass
sgd-nesterov-forgotten: nesterov-missing
  param -= lr · buf, also with nesterov.
  Nesterov's step looks ahead: g + momentum · buf, with the new buffer. Here nesterov=True changes nothing.
- grad + momentum * buf if options["nesterov"] else buf  =>  buf
sgd-first-gradient-dampened: dampened-first
  buf = momentum · buf + (1 - dampening) · g, also at the first step.
  In torch the first buffer is g itself, and dampening begins with the second step. Here the buffer starts too small.
- if first or options  =>  if options
sgd-lr-inside-the-momentum: lr-inside-momentum
  buf = momentum · buf + (1 - dampening) · lr · g;  param -= buf.
  The paper's form. When a schedule lowers lr, torch's form slows down at once. Here old gradients keep the old rate.
- if momentum != 0:
+ grad = lr * grad
+ if momentum != 0:
- param -= lr * grad  =>  param -= grad
sgd-nesterov-undamped: nesterov-unscaled
  param -= lr · (g + buf), with nesterov.
  The look ahead is momentum · buf. Without the factor each step is too long, and training may overshoot.
- grad + momentum * buf if  =>  grad + buf if
sgd-nesterov-always: nesterov-always
  param -= lr · (g + momentum · buf), also without nesterov.
  The option has no effect: plain momentum should step by lr · buf, without looking ahead.
- if options["nesterov"]  =>  if True
sgd-half-a-step: step-factor
  param -= lr / 2 · buf.
  The 1/2 belongs to no formula here. Every step is half as long as it should be, as with another learning rate.
- param -= lr * grad  =>  param -= lr / 2 * grad
sgd-lr-twice: lr-twice
  param -= lr² · buf.
  The rate is multiplied in twice, for example by the function and by its caller. At lr 1e-3 nothing seems to happen.
- param -= lr * grad  =>  param -= lr * lr * grad
sgd-divides-by-lr: lr-inverted
  param -= buf / lr.
  A smaller learning rate makes larger steps: at 1e-3 they are a million times too large. At lr = 1 it does not show.
- param -= lr * grad  =>  param -= grad / lr
sgd-lr-of-its-own: lr-ignored
  param -= 0.01 · buf, whatever lr is.
  A number from a first try is left in the code, and the option has no effect, nor has any schedule.
- param -= lr * grad  =>  param -= 0.01 * grad
sgd-maximize-ignored: maximize-ignored
  g = grad + weight_decay · param, also with maximize.
  maximize is an option without effect: what should grow, such as a reward or a likelihood, falls.
- grad = -grad  =>  pass
sgd-maximize-negates-the-decay: maximize-decay
  g = -(grad + weight_decay · param), with maximize.
  The decay is no part of what is maximized. Negated, it lets the weights grow without end.
- grad = grad + weight_decay * param
+ grad = grad + (-weight_decay if options["maximize"] else weight_decay) * param
sgd-decay-doubled: decay-twice
  g = grad + 2 · weight_decay · param.
  The penalty is weight_decay / 2 · param², so its gradient has no 2. With it the weights decay twice as fast.
- grad = grad + weight_decay * param  =>  grad = grad + 2 * weight_decay * param
sgd-decay-halved: decay-half
  g = grad + weight_decay / 2 · param.
  The 1/2 of the penalty weight_decay / 2 · param² cancels the 2 of the square's derivative. It must not stay.
- grad = grad + weight_decay * param  =>  grad = grad + weight_decay / 2 * param
sgd-decay-with-lr: decay-lr
  g = grad + lr · weight_decay · param.
  lr multiplies the whole step in the end, and so the decay twice: it is a hundred times too weak at lr 0.01.
- grad = grad + weight_decay * param  =>  grad = grad + lr * weight_decay * param
sgd-decay-of-signs: decay-of-signs
  g = grad + weight_decay · sign param.
  This is the gradient of the penalty |param| (L1), which makes small weights 0. weight_decay is that of param² (L2).
- grad = grad + weight_decay * param  =>  grad = grad + weight_decay * (param / abs(param))
sgd-decay-of-the-gradient: decay-of-gradient
  g = grad + weight_decay · grad.
  The wrong name: what decays is the parameter. Here the steps are only a little longer.
- grad = grad + weight_decay * param  =>  grad = grad + weight_decay * grad
sgd-dampening-ignored: dampening-ignored
  buf = momentum · buf + g, whatever dampening is.
  dampening is an option without effect: from the second step on, g should be multiplied by 1 - dampening.
- if first or options["dampening"] == 0 else (1 - options["dampening"]) * grad  =>
sgd-dampening-for-its-complement: dampening-complement
  buf = momentum · buf + dampening · g.
  A dampening of 0.1 should take a tenth of the gradient away. Here it takes nine tenths.
- (1 - options["dampening"]) * grad  =>  options["dampening"] * grad
sgd-momentum-sign: momentum-sign
  buf = -momentum · buf + g.
  The ball is pushed back at every step. Gradients in the same direction cancel, and those that swing add up.
- buf *= momentum  =>  buf *= -momentum
sgd-momentum-used-twice: momentum-twice
  param -= lr · momentum · buf.
  The buffer has been multiplied by momentum already. Here each step is a tenth too short.
- grad + momentum * buf if options["nesterov"] else buf  =>  momentum * buf + (grad if options["nesterov"] else 0)
sgd-momentum-never-fades: average-never-forgets
  buf = buf + g.
  Without the factor momentum the first gradient pushes as hard as the last one, forever.
- buf *= momentum  =>  pass
sgd-nesterov-sign: nesterov-sign
  param -= lr · (g - momentum · buf), with nesterov.
  It looks back instead of ahead, and takes the momentum out of the step again. In a narrow valley it crawls.
- grad + momentum * buf if options  =>  grad - momentum * buf if options
sgd-nesterov-twice: nesterov-twice
  param -= lr · (buf + momentum · buf), with nesterov.
  buf contains g and the momentum, so it is ahead by one step already. Here it looks ahead twice.
- grad + momentum * buf if options  =>  buf + momentum * buf if options
sgd-nesterov-looks-ahead-too-far: nesterov-order
  step = (1 + momentum) · g + momentum² · buf with the buffer after its update.
  This form of the look-ahead is for the buffer before its update. With the new one, the gradient counts twice.
- grad + momentum * buf if  =>  (1 + momentum) * grad + momentum**2 * buf if

optim.RMSprop.update

rmsprop-eps-inside-the-root: eps-inside-root
  avg = √(square_avg + eps).
  torch adds eps after the root. Under the root, 1e-8 acts like 1e-4 on a gradient of 0: where gradients are small,
  steps are far smaller. TensorFlow does it this way, so its results differ from torch's.
- np.sqrt(square_avg - grad_avg * grad_avg) + eps  =>  np.sqrt(square_avg - grad_avg * grad_avg + eps)
- np.sqrt(square_avg) + eps  =>  np.sqrt(square_avg + eps)
rmsprop-square-forgotten: square-missing
  square_avg = alpha · square_avg + (1 - alpha) · g.
  This is the mean of the gradients, not of their squares. Where it is negative its root is nan, which stays.
- square_avg += (1 - alpha) * grad * grad  =>  square_avg += (1 - alpha) * grad
rmsprop-root-forgotten: root-missing
  avg = square_avg + eps.
  The mean square divides the step, not its root. So a hundredth of the gradient makes a step a hundred times as large.
- np.sqrt(square_avg - grad_avg * grad_avg)  =>  (square_avg - grad_avg * grad_avg)
- np.sqrt(square_avg)  =>  square_avg
rmsprop-alpha-on-the-wrong-term: betas-swapped
  square_avg = (1 - alpha) · square_avg + alpha · g².
  alpha is the share of the old average that is kept. Here nearly all is forgotten, so each step is about lr · sign(g).
- options["alpha"]  =>  1 - options["alpha"]
rmsprop-decay-forgotten: decay-missing
  g = grad, whatever weight_decay is.
  Nothing pulls the weights towards 0, and weight_decay is an option without effect.
- grad = grad + weight_decay * param  =>  pass
rmsprop-momentum-unused: momentum-missing
  param -= lr · g / avg, whatever momentum is.
  The momentum_buffer is updated, and then what was added to it is used in its place.
- buf = momentum_buffer  =>  pass
rmsprop-step-not-counted: step-not-counted
  step = 0, forever.
  The parameters are right, since RMSprop does not use the count. But torch counts, and a checkpoint here says 0.
- step += 1  =>  step + 1
rmsprop-adds-the-squared-mean: centered-sign
  avg = √(square_avg + grad_avg²) + eps, with centered.
  A variance is the mean square minus the square of the mean. With a plus, steady gradients make smaller steps.
- - grad_avg * grad_avg  =>  + grad_avg * grad_avg
rmsprop-alpha-ignored: alpha-ignored
  square_avg = 0.99 · square_avg + 0.01 · g², whatever alpha is.
  The default is written into the code, and the option has no effect. With the default itself nothing is wrong.
- options["alpha"]  =>  0.99
rmsprop-square-unweighted: average-unweighted
  square_avg = alpha · square_avg + g².
  Without 1 - alpha it is a sum, a hundred times as large as the mean. So each step is ten times too short.
- square_avg += (1 - alpha) * grad * grad  =>  square_avg += grad * grad
rmsprop-adds-up-the-squares: average-never-forgets
  square_avg = square_avg + g².
  This is Adagrad: the sum only grows, and the steps get shorter and shorter. RMSprop was made to end that.
- square_avg *= alpha  =>  pass
- square_avg += (1 - alpha) * grad * grad  =>  square_avg += grad * grad
rmsprop-begins-with-the-first-square: average-begins-full
  square_avg = g² at the first step.
  torch's average starts at 0, so its first steps are ten times as long. Both are sensible, but results differ.
- square_avg *= alpha
+ if step == 1:
+     square_avg += grad * grad
+ square_avg *= alpha
rmsprop-centered-ignored: centered-ignored
  avg = √square_avg + eps, also with centered.
  centered is an option without effect: with it grad_avg² is subtracted, which leaves the variance.
- np.sqrt(square_avg - grad_avg * grad_avg)  =>  np.sqrt(square_avg)
rmsprop-eps-forgotten: eps-missing
  avg = √square_avg.
  Where a gradient has always been 0, this is 0 / 0: nan. A pixel that is never on is enough.
- np.sqrt(square_avg - grad_avg * grad_avg) + eps  =>  np.sqrt(square_avg - grad_avg * grad_avg)
- np.sqrt(square_avg) + eps  =>  np.sqrt(square_avg)
rmsprop-momentum-of-bare-gradients: momentum-unscaled
  buf = momentum · buf + g;  param -= lr · buf / avg.
  The old gradients in buf are divided by today's root. They should be divided by the root of their own time.
- buf = grad / avg  =>  buf = grad
- buf = momentum_buffer  =>  buf = momentum_buffer
- param -= lr * buf  =>  param -= lr * buf / avg
rmsprop-one-scale: one-scale
  avg = √(mean of square_avg) + eps, one number for all entries.
  RMSprop gives each entry a scale of its own. Here small gradients are divided by what the large ones need.
- np.sqrt(square_avg - grad_avg * grad_avg)  =>  np.sqrt(np.mean(square_avg - grad_avg * grad_avg))
- np.sqrt(square_avg)  =>  np.sqrt(np.mean(square_avg))

optim.Adam.update

adam-uphill: uphill
  param += lr / bias_correction1 · exp_avg / denom.
  Adam's steps have about the size lr, whatever the gradient is. Uphill, the loss rises from the first step on.
- param -= lr /  =>  param += lr /
adam-lr-forgotten: lr-missing
  param -= 1 / bias_correction1 · exp_avg / denom.
  exp_avg / denom is about 1 in size. Without lr each weight moves by 1 in every step, a thousand times the default.
- lr / bias_correction1  =>  1 / bias_correction1
adam-uncorrected: bias-correction-missing
  param -= lr · exp_avg / (√exp_avg_sq + eps).
  Both averages start at 0 and need about 1 / (1 - beta) steps to forget it: 10 and 1000. In the first step, exp_avg is
  ten times too small and the root of exp_avg_sq thirty times. So the step is three times too large.
- bias_correction1 = 1 - beta1 ** step.item()
- bias_correction2 = 1 - beta2 ** step.item()
- denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
+ denom = np.sqrt(exp_avg_sq) + eps
- lr / bias_correction1 * exp_avg  =>  lr * exp_avg
adam-first-average-uncorrected: bias-correction-missing
  param -= lr · exp_avg / denom.
  exp_avg starts at 0 and is ten times too small at the first step. So Adam starts slowly, for some twenty steps.
- lr / bias_correction1 * exp_avg  =>  lr * exp_avg
adam-second-average-uncorrected: bias-correction-missing
  denom = √exp_avg_sq + eps.
  exp_avg_sq starts at 0, and its root is thirty times too small at the first step. Uncorrected, the first steps are
  thirty times too large, and throw the weights far away before training has begun.
- np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2)  =>  np.sqrt(exp_avg_sq)
adam-eps-inside-the-root: eps-inside-root
  denom = √(exp_avg_sq / bias_correction2 + eps).
  The paper and torch add eps after the root. Under it, 1e-8 acts like 1e-4, so small gradients make far smaller steps.
- np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps  =>  np.sqrt(exp_avg_sq / bias_correction2 + eps)
adam-eps-uncorrected: eps-uncorrected
  param -= lr · √bias_correction2 / bias_correction1 · exp_avg / (√exp_avg_sq + eps).
  Both corrections are in the learning rate: the faster form that the paper mentions. It is the same except for eps,
  which is divided by √bias_correction2 here: 30 times larger at the first step than torch's.
- np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps  =>  (np.sqrt(exp_avg_sq) + eps) / math.sqrt(bias_correction2)
adam-betas-swapped: betas-swapped
  exp_avg with beta2, exp_avg_sq with beta1.
  The direction is averaged over a thousand steps and the size over ten. It descends sluggishly, and turns too late.
- beta1, beta2 = options  =>  beta2, beta1 = options
adam-step-not-counted: step-not-counted
  step = 0 + 1, in every step.
  `step = ... + 1` makes a new number, and the one in state stays 0. Each step corrects its averages as if it were the
  first. The first step is right; later the averages are up to ten and a thousand times too large.
- step += 1  =>  step = step + 1
adam-square-forgotten: square-missing
  exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · g.
  This is the mean of the gradients, not of their squares. Where it is negative its root is nan, which stays.
- exp_avg_sq += (1 - beta2) * grad * grad  =>  exp_avg_sq += (1 - beta2) * grad
adam-root-forgotten: root-missing
  denom = exp_avg_sq / bias_correction2 + eps.
  Adam's step is about lr, a ratio of two equal sizes. Here one is squared, and small gradients make gigantic steps.
- np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2)  =>  exp_avg_sq / bias_correction2
adam-momentum-unused: momentum-missing
  param -= lr · g / denom.
  exp_avg is updated, and then the bare gradient is used in its place, without the correction that belongs to exp_avg.
  This is RMSprop with a corrected root. It is noisier, as the direction is not averaged.
- lr / bias_correction1 * exp_avg  =>  lr * grad
adam-averages-not-kept: stale-momentum
  exp_avg = beta1 · 0 + (1 - beta1) · g,  exp_avg_sq = beta2 · 0 + (1 - beta2) · g².
  `exp_avg = beta1 * exp_avg + ...` makes a new array, and the one in state stays 0. Nothing is averaged over the steps,
  and as the corrections fade out, the steps change in size for no reason.
- exp_avg *= beta1  =>  exp_avg = beta1 * exp_avg
- exp_avg_sq *= beta2  =>  exp_avg_sq = beta2 * exp_avg_sq
adam-decay-decoupled: decay-decoupled
  g = grad;  param -= lr · weight_decay · param, for Adam as for AdamW.
  This is AdamW's decay, which is often the better one. But in Adam the decay goes into the gradient, and so into both
  averages. There the same number of weight_decay means something else, and results cannot be compared.
- if weight_decay != 0 and options["decoupled_weight_decay"]:  =>  if weight_decay != 0:
adam-decay-coupled: decay-coupled
  g = grad + weight_decay · param, for AdamW as for Adam.
  The root of the averaged squares divides the decay, too. So weights with large gradients hardly decay, unlike AdamW's.
- if weight_decay != 0 and options["decoupled_weight_decay"]:  =>  if False:
adam-decay-sign: decay-sign
  param *= 1 + lr · weight_decay for AdamW, g = grad - weight_decay · param for Adam.
  The decay has the wrong sign and lets the weights grow, each by the same percentage in every step.
- 1 - lr * weight_decay  =>  1 + lr * weight_decay
- grad + weight_decay * param  =>  grad - weight_decay * param
adam-decay-forgotten: decay-missing
  weight_decay has no effect.
  AdamW without it is Adam. Training looks the same at first, but the weights never stop growing.
- options["weight_decay"]  =>  0
adam-decay-without-lr: lr-missing
  param -= weight_decay · param for AdamW.
  torch multiplies AdamW's decay by lr (the paper does not). At lr 1e-3, this decay is a thousand times too strong.
- 1 - lr * weight_decay  =>  1 - weight_decay
adam-corrections-multiplied: bias-correction-inverted
  param -= lr · bias_correction1 · exp_avg / (√(exp_avg_sq · bias_correction2) + eps).
  The averages are too small at first, and must be divided by 1 - beta^t, which is below 1. Multiplied by it they get
  even smaller.
- np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2)  =>  np.sqrt(exp_avg_sq) * math.sqrt(bias_correction2)
- lr / bias_correction1 * exp_avg  =>  lr * bias_correction1 * exp_avg
adam-corrections-without-the-power: bias-correction-step
  bias_correction = 1 - beta, in every step.
  At the first step this is right. Later it makes exp_avg ten times too large, and exp_avg_sq a thousand times.
- 1 - beta1 ** step.item()  =>  1 - beta1
- 1 - beta2 ** step.item()  =>  1 - beta2
adam-counts-one-too-many: bias-correction-step
  bias_correction = 1 - beta^(t + 1).
  The count is one too large, for example since it starts at 1 and is increased before its use. The first step is a
  quarter too short.
- 1 - beta1 ** step.item()  =>  1 - beta1 ** (step.item() + 1)
- 1 - beta2 ** step.item()  =>  1 - beta2 ** (step.item() + 1)
adam-both-corrected-with-beta1: bias-correction-betas
  bias_correction2 = 1 - beta1^t.
  exp_avg_sq is averaged with beta2, and its correction has the same beta. A copied line kept the other one.
- 1 - beta2 ** step.item()  =>  1 - beta1 ** step.item()
adam-keeps-the-corrected-average: bias-correction-kept
  exp_avg = exp_avg / bias_correction1, in state.
  The corrected average is for this step alone. Written back, it is corrected again in the next step, and grows.
- denom =
+ exp_avg /= bias_correction1
+ denom =
- lr / bias_correction1 * exp_avg  =>  lr * exp_avg
adam-averages-unweighted: average-unweighted
  exp_avg = beta1 · exp_avg + g,  exp_avg_sq = beta2 · exp_avg_sq + g².
  Without 1 - beta these are sums: ten and a thousand times as large. Both errors partly cancel in the quotient.
- exp_avg += (1 - beta1) * grad  =>  exp_avg += grad
- exp_avg_sq += (1 - beta2) * grad * grad  =>  exp_avg_sq += grad * grad
adam-averages-never-fade: average-never-forgets
  exp_avg = exp_avg + (1 - beta1) · g,  exp_avg_sq = exp_avg_sq + (1 - beta2) · g².
  The old averages are not multiplied by beta, so old gradients never fade. The first step is right.
- exp_avg *= beta1  =>  pass
- exp_avg_sq *= beta2  =>  pass
adam-only-the-newest-gradient: average-remembers-nothing
  exp_avg = (1 - beta1) · g,  exp_avg_sq = (1 - beta2) · g².
  `exp_avg[...] = (1 - beta1) * grad` replaces the average; += adds to what is left of it.
- exp_avg += (1 - beta1) * grad  =>  exp_avg[...] = (1 - beta1) * grad
- exp_avg_sq += (1 - beta2) * grad * grad  =>  exp_avg_sq[...] = (1 - beta2) * grad * grad
adam-begins-with-the-first-gradient: average-begins-full
  exp_avg = g and exp_avg_sq = g² at the first step.
  The correction is made for averages that start at 0. With these, it makes the first step three times too short.
- exp_avg *= beta1
+ if step == 1:
+     exp_avg += grad
+ exp_avg *= beta1
- exp_avg_sq *= beta2
+ if step == 1:
+     exp_avg_sq += grad * grad
+ exp_avg_sq *= beta2
adam-one-array-for-both: averages-shared
  exp_avg_sq is exp_avg.
  `m = v = zeros` gives one array two names. The squares are added to the averaged gradients, so the direction is lost.
- _buffer(state, "exp_avg_sq", param)  =>  exp_avg
adam-betas-ignored: betas-ignored
  exp_avg with 0.9, exp_avg_sq with 0.999, whatever betas is.
  The paper's values are written into the code, and the option has no effect. With the defaults nothing is wrong.
- options["betas"]  =>  0.9, 0.999
adam-one-beta: one-beta
  exp_avg_sq = beta1 · exp_avg_sq + (1 - beta1) · g².
  A copied line kept the other beta. The squares are averaged over ten steps, and corrected as if over a thousand.
- exp_avg_sq *= beta2  =>  exp_avg_sq *= beta1
- exp_avg_sq += (1 - beta2) *  =>  exp_avg_sq += (1 - beta1) *
adam-steps-with-the-old-average: late-average
  param -= lr / bias_correction1 · (exp_avg before this gradient) / denom.
  The average is updated after its use, so every step is one gradient late, and the first one is 0.
- exp_avg *= beta1
+ old_avg = exp_avg.copy()
+ exp_avg *= beta1
- lr / bias_correction1 * exp_avg  =>  lr / bias_correction1 * old_avg
adam-eps-of-its-own: eps-ignored
  denom = √exp_avg_sq / √bias_correction2 + 1e-8, whatever eps is.
  The default is written into the code. Where a larger eps is to keep small gradients quiet, it has no effect.
- math.sqrt(bias_correction2) + eps  =>  math.sqrt(bias_correction2) + 1e-8
adam-amsgrad-ignored: amsgrad-ignored
  exp_avg_sq itself in denom, also with amsgrad.
  amsgrad is an option without effect: with it the largest exp_avg_sq so far belongs there.
- exp_avg_sq = max_exp_avg_sq  =>  pass
adam-amsgrad-of-the-smallest: amsgrad-minimum
  max_exp_avg_sq = min(max_exp_avg_sq, exp_avg_sq).
  It starts at 0 and so stays 0. The steps are divided by eps alone, and the weights are lost at once.
- np.maximum(max_exp_avg_sq  =>  np.minimum(max_exp_avg_sq
adam-amsgrad-after-the-correction: amsgrad-corrected
  max_exp_avg_sq = max(max_exp_avg_sq, exp_avg_sq / bias_correction2).
  torch takes the maximum first and corrects it then. The corrected average is largest at first, and the maximum stays.
- np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
+ np.maximum(max_exp_avg_sq, exp_avg_sq / (1 - beta2 ** step.item()), out=max_exp_avg_sq)
- bias_correction2 = 1 - beta2 ** step.item()
+ bias_correction2 = 1 if options["amsgrad"] else 1 - beta2 ** step.item()
adam-decays-after-the-step: decay-order
  param = (param - lr · step) · (1 - lr · weight_decay), for AdamW.
  The decay acts on the new parameter, and so on the step as well. AdamW decays first.
- param *= 1 - lr * weight_decay  =>  pass
- param -= lr / bias_correction1 * exp_avg / denom
+ param -= lr / bias_correction1 * exp_avg / denom
+ if weight_decay != 0 and options["decoupled_weight_decay"]:
+     param *= 1 - lr * weight_decay
adam-decay-beside-the-average: decay-inside
  param -= lr · (exp_avg / bias_correction1 + weight_decay · param) / denom, for AdamW.
  The decay is divided by the root as well, so weights with large gradients decay less. AdamW keeps it out of the step.
- param *= 1 - lr * weight_decay  =>  pass
- param -= lr / bias_correction1 * exp_avg / denom
+ decay = weight_decay * param if options["decoupled_weight_decay"] else 0
+ param -= lr * (exp_avg / bias_correction1 + decay) / denom
adam-decays-twice: decay-twice
  param *= 1 - lr · weight_decay and g = grad + weight_decay · param, for AdamW.
  The decay is in the gradient and on the parameter. AdamW takes it out of the gradient, that is its whole point.
- elif weight_decay != 0:  =>  if weight_decay != 0:
"""
