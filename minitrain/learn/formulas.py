r"""The formulas of the exercises in LaTeX, with the shapes, for the notebooks.

By the piece: a target without .forward and .backward, which share a formula. Each is the content of an `aligned`
environment. A piece without a formula here is explained by its docstring alone.
"""

from __future__ import annotations

DL = r"\frac{\partial L}{\partial %s}"
DX, DY, DA, DB, DW = (DL % name for name in ("x", "y", "a", "b", "W"))
D_THETA = DL % r"\theta"
SAME = r"\text{shapes:}\quad & x, y\ \text{and their gradients: any shape, all the same}"
OVER_DIM = (
    r"\text{shapes:}\quad & x\ (\dots, n, \dots),\quad y\ (\dots, 1, \dots)\ \text{or, without keepdim,}\ (\dots)"
)
PARAMETER = r"\text{shapes:}\quad & \text{param, grad and all averages: the parameter's own}"
ADAM = rf"""
g &= \text{{grad}} + \lambda\,\theta \quad \text{{(AdamW: }} \theta \leftarrow \theta - \eta\,\lambda\,\theta
    \text{{ instead)}} \\
m &\leftarrow \beta_1\, m + (1 - \beta_1)\, g \\
v &\leftarrow \beta_2\, v + (1 - \beta_2)\, g^2 \\
\theta &\leftarrow \theta - \frac{{\eta}}{{1 - \beta_1^t}} \cdot
    \frac{{m}}{{\sqrt{{v}} / \sqrt{{1 - \beta_2^t}} + \epsilon}} \\
{PARAMETER}
"""
WALK = r"""
\frac{\partial L}{\partial h} &= \sum_{\text{uses}\ u\ \text{of}\ h}
    \frac{\partial L}{\partial u} \cdot \frac{\partial u}{\partial h} \\
\text{shapes:}\quad & \text{each gradient has the shape of its value}
"""

FORMULAS = {
    "ops.Neg": rf"y &= -x \\ {DX} &= -{DY} \\ {SAME}",
    "ops.Exp": rf"y &= e^x \\ {DX} &= {DY} \cdot y \\ {SAME}",
    "ops.ReLU": rf"""
y &= \max(x, 0) \\
{DX} &= \begin{{cases}} {DY} & x > 0 \\ 0 & x \le 0 \end{{cases}} \\
{SAME}
""",
    "ops.Sigmoid": rf"y &= \frac{{1}}{{1 + e^{{-x}}}} \\ {DX} &= {DY} \cdot y\,(1 - y) \\ {SAME}",
    "ops.Tanh": rf"y &= \tanh x \\ {DX} &= {DY} \cdot (1 - y^2) \\ {SAME}",
    "ops.Flatten": rf"""
y_{{(ij)}} &= x_{{ij}} \\
\left({DX}\right)_{{ij}} &= \left({DY}\right)_{{(ij)}} \\
\text{{shapes:}}\quad & x\ (n, c, h, w),\quad y\ (n, c \cdot h \cdot w)
""",
    "ops.Sum": rf"y &= \sum_i x_i \\ \left({DX}\right)_i &= {DY} \\ {OVER_DIM}",
    "ops.Mean": rf"y &= \frac{{1}}{{n}} \sum_i x_i \\ \left({DX}\right)_i &= \frac{{1}}{{n}} \cdot {DY} \\ {OVER_DIM}",
    "ops.unbroadcast": rf"""
y_{{ij}} &= a_j \quad \text{{(a repeated along i)}} \\
\left({DA}\right)_j &= \sum_i \left({DY}\right)_{{ij}} \\
\text{{shapes:}}\quad & \text{{grad}}\ (n, m) \to (m)\text{{, and}}\ (n, m) \to (n, 1)
""",
    "ops.Add": rf"""
y &= a + b \\
{DA} &= {DY}, \quad {DB} = {DY} \\
\text{{shapes:}}\quad & a\ (n, m),\quad b\ (m),\quad y\ (n, m):\ \text{{a gradient has its operand's shape}}
""",
    "ops.Mul": rf"""
y &= a \cdot b \\
{DA} &= {DY} \cdot b, \quad {DB} = {DY} \cdot a \\
\text{{shapes:}}\quad & a\ (n, m),\quad b\ (m),\quad y\ (n, m):\ \text{{a gradient has its operand's shape}}
""",
    "ops.Pow": rf"""
y &= a^b \\
{DA} &= {DY} \cdot b\, a^{{b-1}} \quad (0\ \text{{where}}\ b = 0) \\
{DB} &= {DY} \cdot y \ln a \quad (0\ \text{{where}}\ a = 0,\ b \ge 0) \\
\text{{shapes:}}\quad & \text{{a gradient has its operand's shape}}
""",
    "ops.Index": rf"""
y_k &= x_{{\text{{index}}_k}} \\
\left({DX}\right)_i &= \sum_{{k:\ \text{{index}}_k = i}} \left({DY}\right)_k \\
\text{{shapes:}}\quad & x\ (n, d),\quad \text{{index}}\ (m),\quad y\ (m, d)
""",
    "ops.Matmul": rf"""
y &= a\, b \\
{DA} &= {DY}\, b^\top, \quad {DB} = a^\top\, {DY} \\
\text{{shapes:}}\quad & a\ (n, k),\quad b\ (k, m),\quad y\ (n, m)
""",
    "ops.Linear": rf"""
y &= x W^\top + b \\
{DX} &= {DY}\, W, \quad {DW} = \left({DY}\right)^\top x, \quad {DB} = \sum_i \left({DY}\right)_i \\
\text{{shapes:}}\quad & x\ (n, \text{{in}}),\quad W\ (\text{{out}}, \text{{in}}),\quad b\ (\text{{out}}),\quad
    y\ (n, \text{{out}})
""",
    "ops.Conv2d": rf"""
y_{{n o p q}} &= b_o + \sum_{{c, u, v}} x_{{n,\ c,\ s p + u,\ s q + v}}\; W_{{o c u v}} \\
\left({DX}\right)_{{n c i j}} &= \sum_{{o, u, v}} \left({DY}\right)_{{n,\ o,\ (i - u)/s,\ (j - v)/s}}\; W_{{o c u v}} \\
\left({DW}\right)_{{o c u v}} &= \sum_{{n, p, q}} \left({DY}\right)_{{n o p q}}\; x_{{n,\ c,\ s p + u,\ s q + v}} \\
\left({DB}\right)_o &= \sum_{{n, p, q}} \left({DY}\right)_{{n o p q}} \\
\text{{shapes:}}\quad & x\ (n, c, h, w)\ \text{{after padding}},\quad W\ (o, c, k_h, k_w),\quad b\ (o),\quad
    y\ (n, o, p, q)
""",
    "ops.MaxPool2d": rf"""
y_{{pq}} &= \max_{{u, v}}\ x_{{s p + u,\ s q + v}} \\
\left({DX}\right)_{{ij}} &= \sum_{{\text{{windows}}\ pq\ \text{{with their maximum at}}\ ij}}
    \left({DY}\right)_{{pq}} \\
\text{{shapes:}}\quad & x\ (n, c, h, w),\quad y\ (n, c, p, q)
""",
    "ops.AvgPool2d": rf"""
y_{{pq}} &= \frac{{1}}{{k^2}} \sum_{{u, v}} x_{{s p + u,\ s q + v}} \\
\left({DX}\right)_{{ij}} &= \frac{{1}}{{k^2}} \sum_{{\text{{windows}}\ pq\ \text{{that contain}}\ ij}}
    \left({DY}\right)_{{pq}} \\
\text{{shapes:}}\quad & x\ (n, c, h, w),\quad y\ (n, c, p, q)
""",
    "ops.Normalize": rf"""
z &= (x - \mu) \cdot r, \quad r = \frac{{1}}{{\sqrt{{\sigma^2 + \epsilon}}}}, \quad y = z \cdot w + b \\
{DX} &= r \cdot \left(g - \overline{{g}} - z \cdot \overline{{g \cdot z}}\right), \quad g = {DY} \cdot w \\
{DL % "w"} &= \sum {DY} \cdot z, \quad {DB} = \sum {DY} \\
\text{{shapes:}}\quad & x, y, z\ (n, m),\quad w, b\ (m)\text{{; means, variances and sums over the batch}}
""",
    "ops.Softmax": rf"""
y_i &= \frac{{e^{{x_i}}}}{{\sum_j e^{{x_j}}}} \\
\left({DX}\right)_i &= y_i \cdot \left(\left({DY}\right)_i - \sum_j \left({DY}\right)_j y_j\right) \\
\text{{shapes:}}\quad & x, y\ (n, c)\text{{; the sum over the classes}}
""",
    "ops.LogSoftmax": rf"""
y_i &= x_i - \ln \sum_j e^{{x_j}} \\
\left({DX}\right)_i &= \left({DY}\right)_i - e^{{y_i}} \sum_j \left({DY}\right)_j \\
\text{{shapes:}}\quad & x, y\ (n, c)\text{{; the sum over the classes}}
""",
    "ops.MSELoss": rf"""
y &= \frac{{1}}{{n}} \sum_i (x_i - t_i)^2 \\
\left({DX}\right)_i &= \frac{{2}}{{n}}\, (x_i - t_i) \cdot {DY} \\
\text{{shapes:}}\quad & x, t\ \text{{the same}},\quad y\ ()\text{{; no}}\ 1/n\ \text{{for the sum, and no}}\ \Sigma\
    \text{{for "none"}}
""",
    "ops.NLLLoss": rf"""
y &= -\frac{{1}}{{n}} \sum_i w_{{t_i}}\, x_{{i, t_i}}, \quad n = \sum_i w_{{t_i}}\ \text{{(mean), or}}\ 1 \\
\left({DX}\right)_{{i, t_i}} &= -\frac{{w_{{t_i}}}}{{n}} \cdot {DY}, \quad 0\ \text{{for all other classes}} \\
\text{{shapes:}}\quad & x\ (n, c),\quad t\ (n),\quad w\ (c),\quad y\ ()
""",
    "ops.BCEWithLogitsLoss": rf"""
y_i &= \max(x_i, 0) - x_i t_i + \ln\left(1 + e^{{-|x_i|}}\right) \\
\left({DX}\right)_i &= (\sigma(x_i) - t_i) \cdot \left({DY}\right)_i \\
\text{{shapes:}}\quad & x, t\ \text{{the same}},\quad y\ ()\ \text{{after the mean or sum}}
""",
    "tensor.Tensor.receive_grad": r"""
\text{grad} &\leftarrow \text{grad} + \frac{\partial L}{\partial x} \\
\text{shapes:}\quad & \text{grad has its Tensor's shape}
""",
    "tape.walk_back": WALK,
    "diagnosis.finite_differences._Measured.around": r"""
\frac{\partial y}{\partial x_j} &\approx \frac{y(x + h\, e_j) - y(x - h\, e_j)}{2 h} \\
\text{shapes:}\quad & x\ (n),\quad y\ (m)
""",
    "diagnosis.finite_differences._Measured.jacobian": r"""
J_{ji} = \frac{\partial y_i}{\partial x_j} &\approx \frac{y_i(x + h\, e_j) - y_i(x - h\, e_j)}{2 h} \\
\text{shapes:}\quad & x\ (n),\quad y\ (m),\quad J\ (n, m)
""",
    "optim.SGD.update": rf"""
g &= \text{{grad}} + \lambda\,\theta \\
v &\leftarrow \mu\, v + (1 - \text{{dampening}})\, g \quad \text{{(at the first step:}}\ v = g) \\
\theta &\leftarrow \theta - \eta\, v \quad \text{{(Nesterov:}}\ g + \mu v\ \text{{in place of}}\ v) \\
{PARAMETER}
""",
    "optim.RMSprop.update": rf"""
v &\leftarrow \alpha\, v + (1 - \alpha)\, g^2 \\
\theta &\leftarrow \theta - \eta\, \frac{{g}}{{\sqrt{{v}} + \epsilon}}
    \quad \text{{(centered:}}\ v - \overline{{g}}^2\ \text{{in place of}}\ v) \\
{PARAMETER}
""",
    "optim.Adam.update": ADAM,
    "loops.train_loop": r"""
\theta &\leftarrow \theta - \eta\, \frac{\partial L}{\partial \theta} \quad \text{once for each batch} \\
\text{shapes:}\quad & X\ (n, \dots),\quad \text{pred}\ (n, c),\quad y\ (n),\quad L\ ()
""",
    "loops.test_loop": r"""
\text{accuracy} &= \frac{\text{samples whose largest score is the right class's}}{\text{all samples}} \\
\text{shapes:}\quad & X\ (n, \dots),\quad \text{pred}\ (n, c),\quad y\ (n),\quad L\ ()
""",
    "nn.init.xavier_uniform_": r"""
W &\sim U(-a, a), \quad a = \text{gain} \cdot \sqrt{\frac{6}{\text{fan}_\text{in} + \text{fan}_\text{out}}} \\
\text{shapes:}\quad & W\ (\text{fan}_\text{out}, \text{fan}_\text{in})
""",
    "nn.init.kaiming_uniform_": r"""
W &\sim U(-a, a), \quad a = \text{gain} \cdot \sqrt{\frac{3}{\text{fan}}} \\
\text{shapes:}\quad & W\ (\text{fan}_\text{out}, \text{fan}_\text{in})
""",
    "nn.layers.Linear.reset_parameters": r"""
W, b &\sim U\left(-\frac{1}{\sqrt{\text{in}}}, \frac{1}{\sqrt{\text{in}}}\right) \\
\text{shapes:}\quad & W\ (\text{out}, \text{in}),\quad b\ (\text{out})
""",
    "ops.convolution.windows": r"""
w_{n c p q u v} &= x_{n,\ c,\ s p + u,\ s q + v} \\
\text{shapes:}\quad & x\ (n, c, h, w),\quad \text{windows}\ (n, c, p, q, k_h, k_w)
""",
    "ops.convolution.add_windows": r"""
x_{n c i j} &= \sum_{s p + u = i,\ s q + v = j} w_{n c p q u v} \\
\text{shapes:}\quad & \text{windows}\ (n, c, p, q, k_h, k_w),\quad x\ (n, c, h, w)
""",
    "nn.embedding.embedding": r"""
y_k &= W_{t_k} \\
\text{shapes:}\quad & t\ (\dots),\quad W\ (V, D),\quad y\ (\dots, D)
""",
    "nn.normalization.batch_norm": r"""
y &= \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot w + b \quad
    \text{(training: of the batch; otherwise: the running ones)} \\
\text{running} &\leftarrow (1 - m) \cdot \text{running} + m \cdot \text{the batch's} \\
\text{shapes:}\quad & x, y\ (n, c, \dots),\quad \mu, \sigma^2, w, b\ (c)
""",
    "nn.normalization.layer_norm": r"""
y &= \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \cdot w + b \quad \text{(of each sample)} \\
\text{shapes:}\quad & x, y\ (n, \dots, d),\quad \mu, \sigma^2\ (n, \dots, 1),\quad w, b\ (d)
""",
    "nn.functional.dropout": r"""
y_i &= \begin{cases} 0 & \text{with probability}\ p \\ x_i / (1 - p) & \text{otherwise} \end{cases} \\
\text{shapes:}\quad & x, y\ \text{the same}
""",
    "nn.soft_targets._loss_of_probabilities": r"""
y_i &= -\sum_c w_c\, t_{ic} \ln p_{ic} \\
\text{shapes:}\quad & \ln p, t\ (n, c),\quad w\ (c),\quad y\ (n)\ \text{or}\ ()
""",
    "nn.soft_targets.cross_entropy_of_soft_targets": r"""
y &= (1 - s) \cdot \text{nll} + s \cdot \frac{1}{C} \sum_c \text{nll}_c \\
\text{shapes:}\quad & x\ (n, C),\quad t\ (n)\ \text{or}\ (n, C),\quad y\ ()
""",
    "nn.utils.clip_grad.clip_grad_norm_": r"""
g &\leftarrow g \cdot \min\left(1, \frac{\text{max norm}}{\lVert g \rVert + 10^{-6}}\right) \quad
    \text{(one norm over all parameters)} \\
\text{shapes:}\quad & \text{each gradient keeps its own; the norm}\ ()
""",
    "nn.utils.clip_grad.clip_grad_value_": r"""
g &\leftarrow \min(\max(g, -c), c) \\
\text{shapes:}\quad & \text{each gradient keeps its own}
""",
    "optim.lr_scheduler.StepLR.next_lr": r"""
\eta &= \eta_0 \cdot \gamma^{\lfloor \text{epoch} / \text{step size} \rfloor} \\
\text{shapes:}\quad & \text{numbers, one for each group}
""",
    "optim.lr_scheduler.CosineAnnealingLR.next_lr": r"""
\eta &= \eta_\text{min} + \frac{\eta_0 - \eta_\text{min}}{2}
    \left(1 + \cos\frac{\pi \cdot \text{epoch}}{T_\text{max}}\right) \\
\text{shapes:}\quad & \text{numbers, one for each group}
""",
    "learn.network_by_hand.forward_pass": r"""
h &= \max(X W_1 + b_1, 0), \quad z = h W_2 + b_2 \\
\text{shapes:}\quad & X\ (N, D),\quad W_1\ (D, H),\quad b_1\ (H),\quad h\ (N, H),\quad W_2\ (H, C),\quad b_2\ (C),\quad
    z\ (N, C)
""",
    "learn.network_by_hand.loss_and_gradient": rf"""
L &= -\frac{{1}}{{N}} \sum_i \ln p_{{i, t_i}}, \quad p = \text{{softmax}}(z) \\
{DL % "z"} &= \frac{{1}}{{N}} (p - \text{{one-hot}}(t)) \\
\text{{shapes:}}\quad & z, p\ (N, C),\quad t\ (N),\quad L\ ()
""",
    "learn.network_by_hand.backward_pass": rf"""
{DL % "W_2"} &= h^\top g, \quad {DL % "b_2"} = \sum_i g_i, \quad g = {DL % "z"} \\
{DL % "W_1"} &= X^\top d, \quad {DL % "b_1"} = \sum_i d_i, \quad d = g\, W_2^\top \cdot [h > 0] \\
\text{{shapes:}}\quad & g\ (N, C),\quad d\ (N, H)\text{{; each gradient has its parameter's}}
""",
    "learn.network_by_hand.numeric_gradients": rf"""
\left({D_THETA}\right)_j &\approx \frac{{L(\theta + \epsilon\, e_j) - L(\theta - \epsilon\, e_j)}}{{2 \epsilon}} \\
\text{{shapes:}}\quad & \text{{each gradient has its parameter's}}
""",
    "learn.network_by_hand.update": rf"""
\theta &\leftarrow \theta - \eta\, {D_THETA} \\
{PARAMETER}
""",
}


def formula(target: str) -> str | None:
    """The formula of a target, such as ops.ReLU.backward, in LaTeX; None if there is no formula for it."""
    piece = target.removesuffix(".forward").removesuffix(".backward")
    content = FORMULAS.get(piece)
    return None if content is None else f"\\begin{{aligned}}\n{content.strip()}\n\\end{{aligned}}"
