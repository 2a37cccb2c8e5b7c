"""The known mistakes in the rules of optimizer_rules.py, each with its explanation and its edits (see source_edit.py).

Of the edits, those that fit a rule apply. After a / stands the variant of the mistake. The likelier ones come first.
"""

WRITTEN = """
uphill
  The step goes along the gradient, but it must go against it: param -= lr · ..., with a minus.
- return param -  =>  return param +
uphill/gradient
  The gradient has the wrong sign from the start, so the loss rises. Only the decay is right.
- -grad if o.maximize else grad  =>  grad if o.maximize else -grad
lr-missing
  The step is not multiplied by lr. The gradient gives the direction, the learning rate how far to go.
- lr * step  =>  step
lr-missing/decay
  AdamW's decay is not multiplied by lr: param -= lr · weight_decay · param.
- lr * o.weight_decay  =>  o.weight_decay
not-updated
  The step is computed, but the parameter never moves. `param = param - ...` makes a new array and drops it; `param -=
  ...` writes into the model's.
- param = rule  =>  rule
not-updated/skipped
  The parameter is never updated, and nothing about it is remembered. Does the loop over groups and parameters reach it,
  or is a `return` or `break` indented one level too deep?
- if grad is not None  =>  if False
momentum-missing
  The buffer is updated, but the step does not use it: the bare gradient is used in its place.
- step = g + o.momentum * buf if o.nesterov else buf  =>  step = g
- step = buf  =>  pass
- exp_avg / correction1 / denom  =>  g / denom
momentum-missing/bufferless
  There is no momentum: each step depends on the last gradient alone.
- if o.momentum  =>  if False
momentum-missing/corrected
  The bare gradient is used where exp_avg, the average of gradients, belongs.
- exp_avg / correction1  =>  g / correction1
stale-momentum/first
  The buffer is filled at the first step and never updated: every step goes the first way.
- o.momentum * state["momentum_buffer"] + share * g  =>  state["momentum_buffer"] if "momentum_buffer" in state else g
- o.momentum * state["momentum_buffer"] + step
+ state["momentum_buffer"] if "momentum_buffer" in state else step
stale-momentum/unkept
  What should be remembered stays 0 in state. `buf = momentum * buf + ...` makes a new array; write into the one in
  state, with `buf *= ...; buf += ...`.
- state["momentum_buffer"] = buf  =>  state["momentum_buffer"] = np.zeros_like(buf)
- state["square_avg"] = square_avg  =>  state["square_avg"] = np.zeros_like(g)
- state["grad_avg"] = grad_avg  =>  state["grad_avg"] = np.zeros_like(g)
- state["exp_avg"] = exp_avg  =>  state["exp_avg"] = np.zeros_like(g)
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"] = np.zeros_like(g)
stale-momentum/kept first
  The buffer keeps the first gradient: each step adds the newest one to it, but does not keep the sum. Write into the
  array in state, with `buf *= ...; buf += ...`.
- state["momentum_buffer"] = buf  =>  state.setdefault("momentum_buffer", buf)
stale-momentum/first average
  exp_avg stays 0 in state: write into it, with `exp_avg *= ...; exp_avg += ...`.
- state["exp_avg"] = exp_avg  =>  state["exp_avg"] = np.zeros_like(g)
stale-momentum/second average
  exp_avg_sq stays 0 in state: write into it, with `exp_avg_sq *= ...`.
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"] = np.zeros_like(g)
momentum-averaged
  The buffer is an average, momentum · buf + (1 - momentum) · g. It should be a sum, momentum · buf + g.
- share * g  =>  (1 - o.momentum) * g
- state["momentum_buffer"] + step  =>  state["momentum_buffer"] + (1 - o.momentum) * step
momentum-averaged/from the first
  The buffer is an average from the second step on, momentum · buf + (1 - momentum) · g. It should be a sum, momentum ·
  buf + g.
- share = 1 - o.dampening  =>  share = 1 - o.momentum
nesterov-missing
  nesterov has no effect: with it the step is g + momentum · buf, with the new buf.
- g + o.momentum * buf if o.nesterov else buf  =>  buf
dampened-first
  Dampening acts on the first gradient as well, but the first buffer is g itself.
- 1 - o.dampening if "momentum_buffer" in state else 1  =>  1 - o.dampening
dampening-ignored
  dampening has no effect: from the second step on, (1 - dampening) · g goes into the buffer.
- 1 - o.dampening if "momentum_buffer" in state else 1  =>  1
lr-inside-momentum
  The gradient is multiplied by lr before it goes into the buffer, as in the paper. In torch lr is outside, lr · buf.
  They differ once lr changes.
- if o.momentum:
+ if o.momentum:
+     g, step, lr = lr * g, lr * step, 1
lr-not-followed
  Every step has the first learning rate of the first group. Read lr from the parameter's own group at each step, not
  from the defaults.
- in zip(lrs  =>  in zip([o.lr] * len(lrs)
lr-not-followed/group
  Every step has the first learning rate. Read lr from the group again at each step.
- in zip(lrs  =>  in zip([lrs[0]] * len(lrs)
decay-missing
  weight_decay has no effect.
- 1 - lr * o.weight_decay  =>  1
- g + o.weight_decay * param  =>  g
decay-sign
  The decay has the wrong sign and lets the weights grow: it must pull them towards 0.
- 1 - lr * o.weight_decay  =>  1 + lr * o.weight_decay
- g + o.weight_decay * param  =>  g - o.weight_decay * param
decay-decoupled
  The decay is applied to the parameter, as AdamW does. Here it belongs in the gradient, g = grad + weight_decay ·
  param, before anything is averaged.
- if o.decoupled_weight_decay  =>  if True
decay-decoupled/no lr
  The decay is applied to the parameter, and without lr. Here it belongs in the gradient, g = grad + weight_decay ·
  param.
- if o.decoupled_weight_decay  =>  if True
- lr * o.weight_decay  =>  o.weight_decay
decay-coupled
  The decay goes into the gradient, as in Adam. AdamW applies it to the parameter, param *= 1 - lr · weight_decay.
- if o.decoupled_weight_decay  =>  if False
eps-inside-root
  eps is added under the root. torch adds it after: √... + eps.
- np.sqrt(variance) + o.eps  =>  np.sqrt(variance + o.eps)
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance / correction2 + o.eps)
eps-inside-root/uncorrected
  eps is added under the root, and before the correction. torch adds it after both.
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance + o.eps) / np.sqrt(correction2)
eps-uncorrected
  This is a difference, not a mistake: it is the paper's other form, with both corrections in the rate, lr · √(1 -
  beta2^step) / (1 - beta1^step). There eps is divided by √bias_correction2 as well. torch adds it to the
  corrected root.
- np.sqrt(variance / correction2) + o.eps  =>  (np.sqrt(variance) + o.eps) / np.sqrt(correction2)
square-missing
  The gradients are averaged, but their squares should be. The root of a negative average is nan.
- g * g  =>  g
square-missing/absolute
  |g| is averaged, but g² should be.
- g * g  =>  abs(g)
root-missing
  The step is divided by the averaged square, not by its root.
- np.sqrt(variance) + o.eps  =>  variance + o.eps
- np.sqrt(variance / correction2)  =>  variance / correction2
root-missing/rate
  The rate is lr · (1 - beta2^step) / (1 - beta1^step). In this form of Adam the second correction is a root, √(1 -
  beta2^step).
- np.sqrt(variance / correction2) + o.eps  =>  (np.sqrt(variance) + o.eps) / correction2
root-missing/rate, eps corrected
  The rate is lr · (1 - beta2^step) / (1 - beta1^step). In this form of Adam the second correction is a root, √(1 -
  beta2^step).
- np.sqrt(variance / correction2) + o.eps  =>  (np.sqrt(variance) + o.eps * np.sqrt(correction2)) / correction2
root-missing/correction
  √exp_avg_sq is divided by bias_correction2. It should be divided by √bias_correction2.
- np.sqrt(variance / correction2)  =>  np.sqrt(variance) / correction2
betas-swapped
  The two betas are exchanged: the first belongs to exp_avg, the second to exp_avg_sq.
- beta1, beta2 = o.betas  =>  beta2, beta1 = o.betas
betas-swapped/weights
  The average's weights are exchanged: it is beta · old + (1 - beta) · new.
- g * g, o.alpha  =>  g * g, 1 - o.alpha
- state["grad_avg"], g, o.alpha  =>  state["grad_avg"], g, 1 - o.alpha
- g, beta1  =>  g, 1 - beta1
- g, beta2  =>  g, 1 - beta2
bias-correction-missing
  The averages are not corrected for starting at 0: divide by 1 - beta^step.
- 1 - beta1**t  =>  1
- 1 - beta2**t  =>  1
bias-correction-missing/first
  exp_avg is not corrected for starting at 0: divide by 1 - beta1^step.
- 1 - beta1**t  =>  1
bias-correction-missing/second
  exp_avg_sq is not corrected for starting at 0: divide by 1 - beta2^step.
- 1 - beta2**t  =>  1
step-not-counted
  The step in state stays 0, and each step is corrected as if it were the first. `step + 1` makes a new number; `step +=
  1` counts.
- state["step"] = t  =>  state["step"] = 0
step-not-counted/one
  The step in state stays 1, so each step is corrected as if it were the first.
- t = state["step"] + 1  =>  t = 1
step-not-counted/absent
  Nothing in state counts the steps.
- state["step"] = t  =>  pass
step-not-counted/zero
  The step in state stays 0, and 1 - beta^0 is 0: count before the corrections.
- t = state["step"] + 1  =>  t = state["step"]
step-not-counted/late
  The step is counted after its use: the first correction is 1 - beta^0, which is 0.
- t = state["step"] + 1  =>  t = state["step"]
- state["step"] = t  =>  state["step"] = t + 1
late-gradient
  Each update uses the gradient of the step before. Is step() called before backward(), or the gradient kept somewhere?
- , grads, strict  =>  , [grads[0], *grads[:-1]], strict
late-gradient/none first
  Each update uses the gradient of the step before, and the first one has none. Is step() called before backward()?
- , grads, strict  =>  , [None, *grads[:-1]], strict
late-gradient/kept
  Each update uses the gradient of the update before.
- state = State()  =>  state, late = State(), []
- g = -grad if
+ late.append(grad)
+         grad = late[-2:][0]
+         g = -grad if
maximize-ignored
  maximize has no effect: with it the step goes along the gradient.
- -grad if o.maximize else grad  =>  grad
centered-ignored
  centered has no effect: with it grad_avg² is subtracted from square_avg.
- if o.centered  =>  if False
amsgrad-ignored
  amsgrad has no effect: with it the largest exp_avg_sq so far takes the place of exp_avg_sq.
- if o.amsgrad  =>  if False
bias-correction-inverted
  The averages are multiplied by 1 - beta^step. They should be divided by it.
- exp_avg / correction1  =>  exp_avg * correction1
- variance / correction2  =>  variance * correction2
bias-correction-inverted/first
  exp_avg is multiplied by 1 - beta1^step. It should be divided by it.
- exp_avg / correction1  =>  exp_avg * correction1
bias-correction-inverted/second
  exp_avg_sq is multiplied by 1 - beta2^step. It should be divided by it.
- variance / correction2  =>  variance * correction2
bias-correction-step/exponent missing
  The corrections are 1 - beta at every step, as in step 1: the exponent is missing. They should be 1 - beta^step.
- 1 - beta1**t  =>  1 - beta1
- 1 - beta2**t  =>  1 - beta2
bias-correction-step/of step 2
  The corrections are 1 - beta² at every step, as in step 2: the exponent should be the step, 1 - beta^step.
- 1 - beta1**t  =>  1 - beta1**2
- 1 - beta2**t  =>  1 - beta2**2
bias-correction-step/before
  From the second step on, the corrections are those of the step before: the count in 1 - beta^step is one too small.
- 1 - beta1**t  =>  1 - beta1 ** max(t - 1, 1)
- 1 - beta2**t  =>  1 - beta2 ** max(t - 1, 1)
bias-correction-step/from 0
  The corrections are those of the step before, and the first is 1 - beta^0, which is 0: the count in 1 - beta^step must
  begin with 1.
- 1 - beta1**t  =>  1 - beta1 ** (t - 1)
- 1 - beta2**t  =>  1 - beta2 ** (t - 1)
bias-correction-step/next
  The corrections are those of the next step: the count in 1 - beta^step is one too large. It must be 1 at first.
- 1 - beta1**t  =>  1 - beta1 ** (t + 1)
- 1 - beta2**t  =>  1 - beta2 ** (t + 1)
bias-correction-step/every parameter
  One counter is increased for every parameter, so 1 - beta^step gets too large a step. Count once in each step.
- 1 - beta1**t  =>  1 - beta1 ** o.counted[int(t) - 1]
- 1 - beta2**t  =>  1 - beta2 ** o.counted[int(t) - 1]
bias-correction-step/product
  The corrections have beta · step, but it should be beta to the power of the step: 1 - beta**step.
- 1 - beta1**t  =>  1 - beta1 * t
- 1 - beta2**t  =>  1 - beta2 * t
bias-correction-step/complement
  The averages are divided by beta^step. They should be divided by 1 - beta^step.
- 1 - beta1**t  =>  beta1**t
- 1 - beta2**t  =>  beta2**t
bias-correction-step/first
  exp_avg is divided by 1 - beta1 at every step: the exponent is missing. It should be 1 - beta1^step.
- 1 - beta1**t  =>  1 - beta1
bias-correction-step/second
  exp_avg_sq is divided by 1 - beta2 at every step: the exponent is missing. It should be 1 - beta2^step.
- 1 - beta2**t  =>  1 - beta2
bias-correction-step/first before
  From the second step on, exp_avg's correction is that of the step before: the count in 1 - beta1^step is one too
  small.
- 1 - beta1**t  =>  1 - beta1 ** max(t - 1, 1)
bias-correction-step/second before
  From the second step on, exp_avg_sq's correction is that of the step before: the count in 1 - beta2^step is one too
  small.
- 1 - beta2**t  =>  1 - beta2 ** max(t - 1, 1)
bias-correction-betas
  The corrections' betas are exchanged: exp_avg is divided by 1 - beta1^step, and exp_avg_sq by 1 - beta2^step.
- correction1 = 1 - beta1**t  =>  correction1 = 1 - beta2**t
- correction2 = 1 - beta2**t  =>  correction2 = 1 - beta1**t
bias-correction-betas/second
  Both corrections have beta1. exp_avg_sq must be divided by 1 - beta2^step.
- 1 - beta2**t  =>  1 - beta1**t
bias-correction-betas/first
  Both corrections have beta2. exp_avg must be divided by 1 - beta1^step.
- 1 - beta1**t  =>  1 - beta2**t
bias-correction-kept
  The corrected averages are remembered, and corrected again in the next step. Remember the uncorrected ones: m_hat =
  m / (1 - beta^step) needs a name of its own.
- step = exp_avg / correction1 / denom
+ step = exp_avg / correction1 / denom
+ state["exp_avg"] = exp_avg / correction1
+ state["exp_avg_sq"] = exp_avg_sq / correction2
bias-correction-kept/first
  The corrected exp_avg is remembered, and corrected again in the next step. Remember the uncorrected one.
- step = exp_avg / correction1 / denom
+ step = exp_avg / correction1 / denom
+ state["exp_avg"] = exp_avg / correction1
bias-correction-kept/second
  The corrected exp_avg_sq is remembered, and corrected again in the next step. Remember the uncorrected one.
- step = exp_avg / correction1 / denom
+ step = exp_avg / correction1 / denom
+ state["exp_avg_sq"] = exp_avg_sq / correction2
average-unweighted
  Both averages lack the factor 1 - beta: beta · old + new is not an average, but a sum, 1 / (1 - beta) times as large.
- _average(state["exp_avg"], g, beta1)  =>  beta1 * state["exp_avg"] + g
- _average(state["exp_avg_sq"], g * g, beta2)  =>  beta2 * state["exp_avg_sq"] + g * g
average-unweighted/first
  exp_avg lacks the factor 1 - beta1: beta1 · exp_avg + g is not an average, but a sum, 1 / (1 - beta1) times as large.
- _average(state["exp_avg"], g, beta1)  =>  beta1 * state["exp_avg"] + g
average-unweighted/second
  exp_avg_sq lacks the factor 1 - beta2: beta2 · exp_avg_sq + g² is not an average, but a sum, 1 / (1 - beta2) times as
  large.
- _average(state["exp_avg_sq"], g * g, beta2)  =>  beta2 * state["exp_avg_sq"] + g * g
average-unweighted/alpha
  square_avg lacks the factor 1 - alpha: alpha · square_avg + g² is not an average, but a sum, 1 / (1 - alpha) times as
  large.
- _average(state["square_avg"], g * g, o.alpha)  =>  o.alpha * state["square_avg"] + g * g
average-unweighted/centered
  grad_avg lacks the factor 1 - alpha: alpha · grad_avg + g is not an average, but a sum.
- _average(state["grad_avg"], g, o.alpha)  =>  o.alpha * state["grad_avg"] + g
average-never-forgets
  The old averages are not multiplied by beta, so old gradients never fade: it is beta · old + (1 - beta) · new.
- _average(state["exp_avg"], g, beta1)  =>  state["exp_avg"] + (1 - beta1) * g
- _average(state["exp_avg_sq"], g * g, beta2)  =>  state["exp_avg_sq"] + (1 - beta2) * g * g
- _average(state["square_avg"], g * g, o.alpha)  =>  state["square_avg"] + (1 - o.alpha) * g * g
average-never-forgets/first
  The old exp_avg is not multiplied by beta1, so old gradients never fade: it is beta1 · exp_avg + (1 - beta1) · g.
- _average(state["exp_avg"], g, beta1)  =>  state["exp_avg"] + (1 - beta1) * g
average-never-forgets/second
  The old exp_avg_sq is not multiplied by beta2, so old squares never fade: it is beta2 · exp_avg_sq + (1 - beta2) · g².
- _average(state["exp_avg_sq"], g * g, beta2)  =>  state["exp_avg_sq"] + (1 - beta2) * g * g
average-never-forgets/sum
  The squares are summed up, as in Adagrad. They should be averaged: beta · old + (1 - beta) · g² (RMSprop's beta is
  alpha).
- _average(state["exp_avg_sq"], g * g, beta2)  =>  state["exp_avg_sq"] + g * g
- _average(state["square_avg"], g * g, o.alpha)  =>  state["square_avg"] + g * g
average-never-forgets/no momentum
  The buffer is the sum of all gradients: the old buffer is not multiplied by momentum.
- o.momentum * state["momentum_buffer"] +  =>  state["momentum_buffer"] +
average-remembers-nothing
  Only the newest gradient is in the averages: the old value is not added. It is beta · old + (1 - beta) · new.
- _average(state["exp_avg"], g, beta1)  =>  (1 - beta1) * g
- _average(state["exp_avg_sq"], g * g, beta2)  =>  (1 - beta2) * g * g
- _average(state["square_avg"], g * g, o.alpha)  =>  (1 - o.alpha) * g * g
average-begins-full
  The averages begin with the first g and g² themselves. They start at 0, so the first step makes them (1 - beta) · g
  and (1 - beta) · g².
- g, beta1)  =>  g, beta1 if t > 1 else 0)
- g * g, beta2)  =>  g * g, beta2 if t > 1 else 0)
average-begins-full/first
  exp_avg begins with the first gradient itself. It starts at 0, so the first step makes it (1 - beta1) · g.
- g, beta1)  =>  g, beta1 if t > 1 else 0)
average-begins-full/second
  exp_avg_sq begins with the first square itself. It starts at 0, so the first step makes it (1 - beta2) · g².
- g * g, beta2)  =>  g * g, beta2 if t > 1 else 0)
average-begins-full/alpha
  square_avg begins with the first square itself. It starts at 0, so the first step makes it (1 - alpha) · g².
- g * g, o.alpha)  =>  g * g, o.alpha if t > 1 else 0)
average-begins-full/one
  The average of the squares begins with 1, as in TensorFlow 1. Here it starts at 0.
- state["exp_avg_sq"], g * g  =>  state.get("exp_avg_sq", 1), g * g
- state["square_avg"], g * g  =>  state.get("square_avg", 1), g * g
one-beta
  The squares are averaged with beta1. exp_avg_sq must be averaged with beta2.
- g * g, beta2  =>  g * g, beta1
one-beta/corrected
  beta1 is used for both averages, and in both corrections. exp_avg_sq must be averaged with beta2.
- beta1, beta2 = o.betas  =>  beta1, beta2 = o.betas[0], o.betas[0]
averages-shared
  Both averages are one array: `m = v = zeros` gives one array two names. Make an array of zeros for each.
- state["exp_avg_sq"], g * g  =>  exp_avg, g * g
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg"] = exp_avg = exp_avg_sq
one-beta/second
  The gradients are averaged with beta2. exp_avg must be averaged with beta1.
- g, beta1  =>  g, beta2
one-beta/second corrected
  beta2 is used for both averages, and in both corrections. exp_avg must be averaged with beta1.
- beta1, beta2 = o.betas  =>  beta1, beta2 = o.betas[1], o.betas[1]
betas-swapped/averages
  The two betas are exchanged in the averages: exp_avg is averaged with beta1, exp_avg_sq with beta2.
- g, beta1)  =>  g, beta2)
- g * g, beta2)  =>  g * g, beta1)
betas-ignored
  The options betas have no effect: 0.9 and 0.999 are always used.
- beta1, beta2 = o.betas  =>  beta1, beta2 = 0.9, 0.999
alpha-ignored
  The option alpha has no effect: 0.99 is always used.
- g * g, o.alpha  =>  g * g, 0.99
- state["grad_avg"], g, o.alpha  =>  state["grad_avg"], g, 0.99
alpha-ignored/0.9
  The option alpha has no effect: 0.9 is always used.
- g * g, o.alpha  =>  g * g, 0.9
- state["grad_avg"], g, o.alpha  =>  state["grad_avg"], g, 0.9
eps-ignored
  The option eps has no effect: it is always 1e-8.
- np.sqrt(variance) + o.eps  =>  np.sqrt(variance) + 1e-8
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance / correction2) + 1e-8
eps-missing
  eps is not added to the root. Where the gradients are 0, that divides by 0.
- np.sqrt(variance) + o.eps  =>  np.sqrt(variance)
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance / correction2)
eps-as-minimum
  eps is the divisor's least value, max(√..., eps). It should be added: √... + eps.
- np.sqrt(variance) + o.eps  =>  np.maximum(np.sqrt(variance), o.eps)
- np.sqrt(variance / correction2) + o.eps  =>  np.maximum(np.sqrt(variance / correction2), o.eps)
eps-inside-root/both
  eps is added under the root and once more after it. Add it once, after the root.
- np.sqrt(variance) + o.eps  =>  np.sqrt(variance + o.eps) + o.eps
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance / correction2 + o.eps) + o.eps
root-missing/multiplied
  The step is multiplied by the root. It should be divided by it.
- g / (np.sqrt(variance) + o.eps)  =>  g * (np.sqrt(variance) + o.eps)
- correction1 / denom  =>  correction1 * denom
root-missing/no division
  The step is not divided by the root of the averaged square.
- g / (np.sqrt(variance) + o.eps)  =>  g
- correction1 / denom  =>  correction1
square-missing/of the average
  The square of exp_avg is averaged. It should be the square of the gradient, g².
- state["exp_avg_sq"], g * g  =>  state["exp_avg_sq"], exp_avg * exp_avg
square-missing/exchanged
  exp_avg is an average of g², but it should be an average of g.
- g, beta1)  =>  g * g, beta1)
centered-sign
  With centered, grad_avg² is added to square_avg. It should be subtracted.
- square_avg - grad_avg**2  =>  square_avg + grad_avg**2
centered-sign/no square
  With centered, grad_avg is subtracted from square_avg. It should be grad_avg².
- square_avg - grad_avg**2  =>  square_avg - grad_avg
late-average
  The step uses what was remembered before this step's gradient was added. Update it first, then use it.
- state["momentum_buffer"] = buf
+ state["momentum_buffer"], buf = buf, state.get("momentum_buffer", np.zeros_like(buf))
- state["square_avg"] = square_avg  =>  state["square_avg"], square_avg = square_avg, state["square_avg"]
- state["exp_avg"] = exp_avg  =>  state["exp_avg"], exp_avg = exp_avg, state["exp_avg"]
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"], exp_avg_sq = exp_avg_sq, state["exp_avg_sq"]
late-average/first
  The step uses exp_avg from before this step's gradient was added. Update it first, then use it.
- state["exp_avg"] = exp_avg  =>  state["exp_avg"], exp_avg = exp_avg, state["exp_avg"]
late-average/second
  The step is divided by exp_avg_sq (RMSprop: square_avg) from before this step's gradient. Update it first, then use
  it.
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"], exp_avg_sq = exp_avg_sq, state["exp_avg_sq"]
- state["square_avg"] = square_avg  =>  state["square_avg"], square_avg = square_avg, state["square_avg"]
amsgrad-minimum
  amsgrad keeps the smallest exp_avg_sq so far. It should keep the largest.
- np.maximum(state["max_exp_avg_sq"], exp_avg_sq)
+ np.minimum(state.get("max_exp_avg_sq", np.inf), exp_avg_sq)
amsgrad-minimum/of zero
  amsgrad keeps the smallest exp_avg_sq so far, which is the 0 that it starts with. It should keep the largest.
- np.maximum(state["max_exp_avg_sq"]  =>  np.minimum(state["max_exp_avg_sq"]
amsgrad-corrected
  amsgrad compares exp_avg_sq after its correction. torch keeps the largest uncorrected one, and corrects that.
- np.maximum(state["max_exp_avg_sq"], exp_avg_sq)
+ np.maximum(state["max_exp_avg_sq"], exp_avg_sq / (1 - beta2**t))
- variance / correction2  =>  variance / (1 if o.amsgrad else correction2)
nesterov-sign
  With nesterov, momentum · buf is subtracted: the step is g - momentum · buf. It should be g + momentum · buf.
- g + o.momentum * buf if o.nesterov  =>  g - o.momentum * buf if o.nesterov
nesterov-twice
  With nesterov, the look-ahead is added twice: the step is g + 2 · momentum · buf. It should be g + momentum · buf.
- g + o.momentum * buf if o.nesterov  =>  g + 2 * o.momentum * buf if o.nesterov
nesterov-twice/buffer
  With nesterov, the step is buf + momentum · buf. It should be g + momentum · buf: buf contains g.
- g + o.momentum * buf if o.nesterov  =>  buf + o.momentum * buf if o.nesterov
nesterov-twice/squared
  With nesterov, the step is g + momentum² · buf. It should be g + momentum · buf, with the new buf.
- g + o.momentum * buf if o.nesterov  =>  g + o.momentum**2 * buf if o.nesterov
nesterov-unscaled
  With nesterov, the step is g + buf: the factor momentum is missing. It should be g + momentum · buf.
- g + o.momentum * buf if o.nesterov  =>  g + buf if o.nesterov
nesterov-always
  The step is Nesterov's, g + momentum · buf, though nesterov is off. It should be buf.
- if o.nesterov  =>  if True
momentum-sign
  The old buffer has the wrong sign: it is momentum · buf + g.
- o.momentum * state["momentum_buffer"] +  =>  -o.momentum * state["momentum_buffer"] +
momentum-sign/gradient
  The gradient is subtracted from the buffer, and the buffer from the parameter. The gradient needs a minus only once.
- o.momentum * state["momentum_buffer"] + share * g  =>  o.momentum * state["momentum_buffer"] - share * g
momentum-twice
  The step is momentum · buf. It should be buf: momentum is already in it.
- o.momentum * buf if o.nesterov else buf  =>  o.momentum * buf if o.nesterov else o.momentum * buf
momentum-twice/added
  The step is g + buf, but buf contains g: the gradient is in it twice.
- o.momentum * buf if o.nesterov else buf  =>  o.momentum * buf if o.nesterov else g + buf
momentum-averaged/exchanged
  The buffer is (1 - momentum) · buf + momentum · g. It should be momentum · buf + g.
- buf = o.momentum * state["momentum_buffer"] + share * g
+ buf = (1 - o.momentum) * state["momentum_buffer"] + o.momentum * g
momentum-unscaled
  The momentum averages the gradients, and the result is divided by the root. Divide each gradient first: the buffer is
  momentum · buf + g / (√square_avg + eps).
- state["momentum_buffer"] + step  =>  state["momentum_buffer"] + g
- step = buf  =>  step = buf / (np.sqrt(variance) + o.eps) if "square_avg" in state else buf
dampening-complement
  The gradient goes into the buffer with the factor dampening. It should be 1 - dampening.
- share = 1 - o.dampening  =>  share = o.dampening
lr-twice
  The step is multiplied by lr twice, lr² · ....
- lr * step  =>  lr * lr * step
lr-twice/buffer
  The step is multiplied by lr twice: before it goes into the buffer, and again where the parameter changes.
- share * g  =>  share * lr * g
- state["momentum_buffer"] + step  =>  state["momentum_buffer"] + lr * step
lr-inverted
  The step is divided by lr. It should be multiplied by it.
- lr * step  =>  step / lr
lr-ignored
  The option lr has no effect: it is always 0.01.
- lr * step  =>  0.01 * step
lr-ignored/0.001
  The option lr has no effect: it is always 0.001.
- lr * step  =>  0.001 * step
lr-ignored/0.1
  The option lr has no effect: it is always 0.1.
- lr * step  =>  0.1 * step
decay-twice
  The decay is twice what it should be: 2 · weight_decay · param. Either it is applied twice, or the 2 is one of a
  squared penalty, whose half is meant.
- 1 - lr * o.weight_decay  =>  1 - 2 * lr * o.weight_decay
- g + o.weight_decay * param  =>  g + 2 * o.weight_decay * param
decay-twice/squared
  The decay is applied twice: before the step and after it.
- 1 - lr * o.weight_decay  =>  (1 - lr * o.weight_decay) ** 2
decay-twice/both
  The decay is applied twice: to the parameter and in the gradient. AdamW applies it to the parameter alone.
- g = g + o.weight_decay * param  =>  pass
- g = -grad if o.maximize else grad
+ g = (-grad if o.maximize else grad) + o.weight_decay * param
decay-twice/in place
  The decay is applied twice: to the parameter, and then once more in the gradient. AdamW applies it to the parameter
  alone.
- rule(decayed, g, lr  =>  rule(decayed, g + o.weight_decay * decayed if o.decoupled_weight_decay else g, lr
decay-twice/decoupled
  The decay is applied twice: in the gradient and to the parameter. Here it belongs in the gradient alone.
- g = g + o.weight_decay * param
+ g = g + o.weight_decay * param
+             decayed = param * (1 - lr * o.weight_decay)
decay-half
  The decay is half of what it should be: weight_decay / 2 · param.
- 1 - lr * o.weight_decay  =>  1 - lr * o.weight_decay / 2
- g + o.weight_decay * param  =>  g + o.weight_decay / 2 * param
decay-order
  The parameter is decayed after the step, so the step is decayed, too. AdamW decays it before the step.
- decayed = param * (1 - lr * o.weight_decay)  =>  pass
- param = rule(decayed, g, lr, state, o)
+ param = rule(decayed, g, lr, state, o)
+         if o.decoupled_weight_decay:
+             param = param * (1 - lr * o.weight_decay)
decay-order/coupled
  The parameter is decayed after the step. Here the decay belongs in the gradient, g = grad + weight_decay · param,
  before anything is averaged.
- g = g + o.weight_decay * param  =>  pass
- param = rule(decayed, g, lr, state, o)
+ param = rule(decayed, g, lr, state, o)
+         if not o.decoupled_weight_decay:
+             param = param * (1 - lr * o.weight_decay)
decay-lr
  The decay is multiplied by lr twice: in the gradient, and again with the step. Leave lr out in g = grad + weight_decay
  · param.
- g + o.weight_decay * param  =>  g + lr * o.weight_decay * param
decay-lr/decoupled
  The decay is multiplied by lr twice. It should be param *= 1 - lr · weight_decay.
- 1 - lr * o.weight_decay  =>  1 - lr**2 * o.weight_decay
decay-of-signs
  The decay is weight_decay · sign(param), that of an L1 penalty. It should be weight_decay · param.
- g + o.weight_decay * param  =>  g + o.weight_decay * np.sign(param)
- param * (1 - lr * o.weight_decay)  =>  param - lr * o.weight_decay * np.sign(param)
decay-of-signs/squares
  The decay is weight_decay · param². It should be weight_decay · param.
- g + o.weight_decay * param  =>  g + o.weight_decay * param**2
- param * (1 - lr * o.weight_decay)  =>  param - lr * o.weight_decay * param**2
decay-of-gradient
  weight_decay multiplies the gradient. It should multiply the parameter: g = grad + weight_decay · param.
- g + o.weight_decay * param  =>  g + o.weight_decay * g
decay-of-gradient/alone
  With weight_decay, the gradient is replaced by the decay. It should be added: g = grad + weight_decay · param.
- g + o.weight_decay * param  =>  o.weight_decay * param if o.weight_decay else g
maximize-decay
  With maximize, the decay is negated as well. Negate the gradient first, then add weight_decay · param.
- g + o.weight_decay * param  =>  g + (-1 if o.maximize else 1) * o.weight_decay * param
none-as-zero
  A parameter whose .grad is None is updated as if its gradient were 0. It must be skipped: what is remembered of it
  does not change.
- if grad is not None
+ grad = 0 * param if grad is None else grad
+     if True
"""
