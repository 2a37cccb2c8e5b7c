"""The bridge to NumPy: shared memory, copies, dtypes, and NumPy's functions on tensors."""

import numpy as np
import torch

a = np.array([[1, 2], [3, 4]])
shared, copied, either = torch.from_numpy(a), torch.tensor(a), torch.as_tensor(a)
a[0, 0] = 100
print(shared, copied, either, shared.dtype)
t = torch.ones(3)
n = t.numpy()
t.add_(1)
print(n, type(n).__name__, n.dtype)
n[0] = 7
print(t, np.shares_memory(t.numpy(), n))

for dtype in (np.float64, np.float32, np.int64, np.int32, np.uint8, np.bool_):
    print(dtype.__name__, torch.from_numpy(np.zeros(1, dtype=dtype)).dtype)
print(torch.tensor(np.float32(1.5)), torch.tensor(np.arange(3)), torch.tensor([np.float64(1), 2]))
print(torch.from_numpy(np.linspace(0, 1, 3)).float(), torch.Tensor(np.arange(3)), torch.FloatTensor([1, 2]))
print(np.array(torch.tensor([1, 2])), np.asarray(torch.ones(2)), np.sum(torch.ones(4).numpy()))
print(torch.tensor([1.5, 2.5]).tolist(), torch.tensor(3).item(), float(torch.tensor(2.5)), int(torch.tensor(4)))
print(torch.tensor([[1, 2], [3, 4]]).numpy().T.shape, torch.arange(4).view(2, 2).numpy()[::-1].tolist())

w = torch.tensor([1.0, 2.0], requires_grad=True)
print(w.detach().numpy(), np.exp(w.detach().numpy()).round(3))
try:
    w.numpy()
except RuntimeError as error:
    print("RuntimeError:", error)
x = np.random.RandomState(0).rand(4, 3).astype(np.float32)
mean, std = torch.from_numpy(x).mean(0), torch.from_numpy(x).std(0)
print(np.allclose(mean.numpy(), x.mean(0)), np.allclose(std.numpy(), x.std(0, ddof=1)))
print(torch.from_numpy(x[:, ::2].copy()), torch.from_numpy(x.T).is_contiguous())
print(torch.from_numpy(np.eye(2)) @ torch.tensor([[1.0], [2.0]], dtype=torch.float64))
print([row.sum().item() for row in torch.from_numpy(x.round(2))], len(torch.from_numpy(x)))
print(
    torch.is_tensor(a), torch.is_tensor(t), isinstance(t, torch.Tensor), t.nelement(), t.ndim, t.dim(), t.element_size()
)
