"""Functions of one's own: a sign with a straight-through gradient, a two-input product, checked numerically."""

import torch
from torch.autograd import Function, gradcheck


class Sign(Function):
    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output


class ScaledProduct(Function):
    @staticmethod
    def forward(ctx, a, b, scale):
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        return a * b * scale

    @staticmethod
    def backward(ctx, grad_output):
        a, b = ctx.saved_tensors
        grad_a = grad_b = None
        if ctx.needs_input_grad[0]:
            grad_a = grad_output * b * ctx.scale
        if ctx.needs_input_grad[1]:
            grad_b = grad_output * a * ctx.scale
        return grad_a, grad_b, None


class MyReLU(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


torch.manual_seed(0)
w = torch.tensor([0.3, -2.0], requires_grad=True)
s = Sign.apply(w)
(s * torch.tensor([5.0, 7.0])).sum().backward()
print(s, w.grad)
a = torch.rand(3, dtype=torch.float64, requires_grad=True)
b = torch.rand(3, dtype=torch.float64, requires_grad=True)
print(gradcheck(lambda a, b: ScaledProduct.apply(a, b, 2.5), (a, b)))
out = ScaledProduct.apply(a, b.detach(), 2.0).sum()
out.backward()
print(out, a.grad / b, b.grad)

N, D_in, H, D_out = 16, 20, 10, 3
x, y = torch.randn(N, D_in), torch.randn(N, D_out)
w1 = torch.randn(D_in, H, requires_grad=True)
w2 = torch.randn(H, D_out, requires_grad=True)
for t in range(60):
    y_pred = MyReLU.apply(x.mm(w1)).mm(w2)
    loss = (y_pred - y).pow(2).sum()
    if t % 20 == 0:
        print(t, loss.item())
    loss.backward()
    with torch.no_grad():
        w1 -= 1e-4 * w1.grad
        w2 -= 1e-4 * w2.grad
        w1.grad.zero_()
        w2.grad.zero_()
