"""Automatic differentiation: gradients of a loss, of a vector, and how to do without them."""

import torch

torch.manual_seed(1)
x = torch.ones(5)  # input tensor
y = torch.zeros(3)  # expected output
w = torch.randn(5, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y)
print(z, loss)
print(z.grad_fn.name())

loss.backward()
print(w.grad)
print(b.grad)

z = torch.matmul(x, w) + b
print(z.requires_grad)
with torch.no_grad():
    z = torch.matmul(x, w) + b
print(z.requires_grad)
print((torch.matmul(x, w) + b).detach().requires_grad)

inp = torch.eye(4, 5, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
print(f"First call\n{inp.grad}")
out.backward(torch.ones_like(out), retain_graph=True)
print(f"\nSecond call\n{inp.grad}")
inp.grad.zero_()
out.backward(torch.ones_like(out), retain_graph=True)
print(f"\nCall after zeroing gradients\n{inp.grad}")

try:
    loss.backward()
except RuntimeError as error:
    print("RuntimeError:", str(error)[:50])

a = torch.tensor([2.0, 3.0], requires_grad=True)
c = torch.tensor([6.0, 4.0], requires_grad=True)
q = 3 * a**3 - c**2
grad_a, grad_c = torch.autograd.grad(q.sum(), (a, c))
print(grad_a == 9 * a**2, grad_c == -2 * c)
print(torch.autograd.functional.jacobian(lambda t: t.exp().cumsum(0), torch.tensor([0.0, 1.0, 2.0])))
