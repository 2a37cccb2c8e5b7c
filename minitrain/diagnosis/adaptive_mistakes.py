"""Mistakes in Adagrad, Adadelta, Adamax, NAdam, and in the divisor of any adaptive rule, as edits of their formulas.

Written as in optimizer_mistakes.py.
"""

WRITTEN = """
one-scale
  All entries of a parameter are divided by one number, the root of the mean of their squares. Each entry must be
  divided by its own root.
- np.sqrt(variance) + o.eps  =>  np.sqrt(np.mean(variance)) + o.eps
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(np.mean(variance) / correction2) + o.eps
- np.sqrt(total) + o.eps  =>  np.sqrt(np.mean(total)) + o.eps
one-scale/sum
  All entries of a parameter are divided by one number, the root of the sum of their squares (a norm). Each entry must
  be divided by its own root.
- np.sqrt(variance) + o.eps  =>  np.sqrt(np.sum(variance)) + o.eps
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(np.sum(variance) / correction2) + o.eps
- np.sqrt(total) + o.eps  =>  np.sqrt(np.sum(total)) + o.eps
one-scale/largest
  All entries of a parameter are divided by the largest of their roots. Each entry must be divided by its own.
- np.sqrt(variance) + o.eps  =>  np.sqrt(np.max(variance)) + o.eps
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(np.max(variance) / correction2) + o.eps
- np.sqrt(total) + o.eps  =>  np.sqrt(np.max(total)) + o.eps
decay-inside
  The decay is added to the averaged gradient, and divided by the root with it. AdamW applies it to the parameter alone,
  param *= 1 - lr · weight_decay.
- decayed = param * (1 - lr * o.weight_decay)  =>  pass
- exp_avg / correction1 / denom  =>  (exp_avg / correction1 + o.weight_decay * param) / denom
nesterov-order
  The look-ahead uses the velocity after its update: momentum² · v - (1 + momentum) · lr · g needs the one before it.
- g + o.momentum * buf if o.nesterov  =>  (1 + o.momentum) * g + o.momentum**2 * buf if o.nesterov
nesterov-order/velocity
  The look-ahead is momentum · v - (1 + momentum) · lr · g with the old velocity v. Its factor should be momentum².
- g + o.momentum * buf if o.nesterov  =>  (1 + o.momentum) * g + buf - g if o.nesterov
nesterov-order/new velocity
  The look-ahead is momentum · v - lr · g with the old velocity v: that is the velocity itself, plain momentum.
- g + o.momentum * buf if o.nesterov  =>  g + buf - g if o.nesterov
sum-forgets
  Only this step's square is used. Adagrad adds up the squares of all steps: sum + g².
- total = state.get("sum", o.initial_accumulator_value) + g * g  =>  total = g * g
sum-forgets/last two
  The sum keeps only the last square, so each step is divided by the root of the last two. Keep the sum: sum + g².
- state["sum"] = total  =>  state["sum"] = g * g
sum-averaged
  The squares are averaged with 0.9, as in RMSprop. Adagrad adds them up: sum + g².
- total = state.get("sum", o.initial_accumulator_value) + g * g  =>  total = 0.9 * state["sum"] + 0.1 * g * g
sum-averaged/0.99
  The squares are averaged with 0.99, as in RMSprop. Adagrad adds them up: sum + g².
- total = state.get("sum", o.initial_accumulator_value) + g * g  =>  total = 0.99 * state["sum"] + 0.01 * g * g
sum-decays
  The sum is multiplied by 0.9 before the square is added, so it forgets. Adagrad adds up all squares: sum + g².
- total = state.get("sum", o.initial_accumulator_value) + g * g  =>  total = 0.9 * state["sum"] + g * g
sum-of-gradients
  The gradients are added up and the sum is squared. Adagrad adds up the squares: sum + g².
- total = state.get("sum", o.initial_accumulator_value) + g * g  =>  total = state["sum"] + g
- np.sqrt(total) + o.eps  =>  np.sqrt(total**2) + o.eps
late-average/sum
  The step is divided by the sum from before this step's square. Add it first, then divide.
- state["sum"] = total  =>  state["sum"], total = total, state.get("sum", o.initial_accumulator_value)
root-missing/sum
  The step is divided by the sum of the squares, not by its root.
- np.sqrt(total) + o.eps  =>  total + o.eps
root-missing/sum multiplied
  The step is multiplied by the root of the sum. It should be divided by it.
- step = g / denom  =>  step = g * denom
eps-inside-root/sum
  eps is added under the root. torch adds it after: √sum + eps.
- np.sqrt(total) + o.eps  =>  np.sqrt(total + o.eps)
numerator-missing
  The step lacks the numerator √(acc_delta + eps), the root of the averaged squares of the updates: it is RMSprop's.
- np.sqrt(acc_delta + o.eps) / np.sqrt(square_avg + o.eps)  =>  1 / np.sqrt(square_avg + o.eps)
numerator-of-gradients
  acc_delta averages the squares of the gradients, g². It must average those of the updates, delta².
- delta * delta, o.rho  =>  g * g, o.rho
numerator-of-gradients/step
  acc_delta averages the squares of lr · delta, or of what the parameter moved by. It must average delta².
- delta * delta, o.rho  =>  lr * lr * delta * delta, o.rho
numerator-of-gradients/no square
  acc_delta averages the updates |delta|. It must average their squares, delta².
- delta * delta, o.rho  =>  abs(delta), o.rho
ratio-inverted
  The quotient is upside down: it is √(acc_delta + eps) / √(square_avg + eps), the updates' root above the gradients'.
- np.sqrt(acc_delta + o.eps) / np.sqrt(square_avg + o.eps)  =>  np.sqrt(square_avg + o.eps) / np.sqrt(acc_delta + o.eps)
eps-outside-root
  eps is added to the roots. Adadelta adds it under both: √(acc_delta + eps) / √(square_avg + eps).
- np.sqrt(acc_delta + o.eps) / np.sqrt(square_avg + o.eps)
+ (np.sqrt(acc_delta) + o.eps) / (np.sqrt(square_avg) + o.eps)
eps-outside-root/divisor
  eps is added to the divisor's root. Adadelta adds it under the root: √(square_avg + eps).
- np.sqrt(square_avg + o.eps)  =>  (np.sqrt(square_avg) + o.eps)
root-missing/adadelta
  The quotient is of the averages. It should be of their roots: √(acc_delta + eps) / √(square_avg + eps).
- np.sqrt(acc_delta + o.eps) / np.sqrt(square_avg + o.eps)  =>  (acc_delta + o.eps) / (square_avg + o.eps)
betas-swapped/rho
  The average's weights are exchanged: it is rho · old + (1 - rho) · new.
- g * g, o.rho  =>  g * g, 1 - o.rho
- delta * delta, o.rho  =>  delta * delta, 1 - o.rho
maximum-forgets
  Only this step's |g| is used. exp_inf is the larger of beta2 · exp_inf and |g|.
- np.maximum(beta2 * state["exp_inf"], np.abs(g) + o.eps)  =>  np.abs(g) + o.eps
maximum-never-decays
  exp_inf is not multiplied by beta2, so one large gradient counts for good: it is max(beta2 · exp_inf, |g|).
- np.maximum(beta2 * state["exp_inf"], np.abs(g) + o.eps)  =>  np.maximum(state["exp_inf"], np.abs(g) + o.eps)
maximum-one-beta
  exp_inf decays with beta1. It must decay with beta2: max(beta2 · exp_inf, |g|).
- np.maximum(beta2 * state["exp_inf"]  =>  np.maximum(beta1 * state["exp_inf"]
maximum-averaged
  exp_inf is an average of |g|. It should be the larger one: max(beta2 · exp_inf, |g|).
- np.maximum(beta2 * state["exp_inf"], np.abs(g) + o.eps)  =>  _average(state["exp_inf"], np.abs(g), beta2) + o.eps
maximum-of-squares
  exp_inf is of the squares, max(beta2 · exp_inf, g²). It should be of |g|.
- np.maximum(beta2 * state["exp_inf"], np.abs(g) + o.eps)  =>  np.maximum(beta2 * state["exp_inf"], g * g + o.eps)
maximum-signed
  The sign of the gradient is kept in exp_inf, so a negative one is lost. It is max(beta2 · exp_inf, |g|).
- np.abs(g) + o.eps  =>  g + o.eps
root-missing/superfluous
  The step is divided by the root of exp_inf. It should be divided by exp_inf itself: no square was taken.
- correction1 / exp_inf  =>  correction1 / np.sqrt(exp_inf)
bias-correction-superfluous
  exp_inf is divided by 1 - beta2^step. It needs no correction: after one step it is as large as the gradient.
- correction1 / exp_inf  =>  correction1 / (exp_inf / (1 - beta2**t))
nesterov-missing/adam
  The step is Adam's: the look-ahead is missing. NAdam adds the gradient and the momentum of the next step.
- (1 - mu) / (1 - mu_product) * g / denom + mu_next / (1 - mu_product * mu_next) * exp_avg / denom
+ exp_avg / (1 - beta1**t) / denom
nesterov-missing/gradient
  The gradient's own term is missing: (1 - mu) / (1 - mu_product) · g is added to the momentum's.
- (1 - mu) / (1 - mu_product) * g / denom +  =>
nesterov-missing/schedule
  The momentum has no schedule: NAdam's mu is beta1 · (1 - 0.5 · 0.96^(step · momentum_decay)), and not beta1.
- beta1 * (1 - 0.5 * 0.96 ** (t * o.momentum_decay))  =>  beta1
- beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * o.momentum_decay))  =>  beta1
"""
