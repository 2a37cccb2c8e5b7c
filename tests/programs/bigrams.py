"""A language model of letters: counted bigrams, then an embedding with a hidden layer; both make up names."""

import torch
import torch.nn.functional as F

words = "ada alan albert anna barbara carl david edith emil emmy eva grace hedy irene john karen lise marie max".split()
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
vocab = len(stoi)

N = torch.zeros((vocab, vocab), dtype=torch.int32)
for w in words:
    chs = ["."] + list(w) + ["."]
    for ch1, ch2 in zip(chs, chs[1:]):
        N[stoi[ch1], stoi[ch2]] += 1
P = (N + 1).float()
P /= P.sum(1, keepdim=True)
g = torch.Generator().manual_seed(2147483647)
for _ in range(4):
    out, ix = [], 0
    while True:
        ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
        out.append(itos[ix])
        if ix == 0:
            break
    print("".join(out))
log_likelihood = sum(torch.log(P[stoi[a], stoi[b]]) for w in words for a, b in zip("." + w, w + "."))
print(f"{log_likelihood=}", f"{-log_likelihood / int(N.sum()):.4f}")

block_size, X, Y = 3, [], []
for w in words:
    context = [0] * block_size
    for ch in w + ".":
        X.append(context)
        Y.append(stoi[ch])
        context = context[1:] + [stoi[ch]]
X, Y = torch.tensor(X), torch.tensor(Y)
print(X.shape, Y.shape, X[:3], Y[:3])
C = torch.randn((vocab, 4), generator=g)
W1 = torch.randn((12, 30), generator=g) * 0.3
b1 = torch.randn(30, generator=g) * 0.01
W2 = torch.randn((30, vocab), generator=g) * 0.1
b2 = torch.zeros(vocab)
parameters = [C, W1, b1, W2, b2]
for p in parameters:
    p.requires_grad = True
for i in range(60):
    ix = torch.randint(0, X.shape[0], (32,), generator=g)
    emb = C[X[ix]]
    h = torch.tanh(emb.view(-1, 12) @ W1 + b1)
    loss = F.cross_entropy(h @ W2 + b2, Y[ix])
    for p in parameters:
        p.grad = None
    loss.backward()
    for p in parameters:
        p.data += -0.1 * p.grad
    if i % 20 == 19:
        print(i, loss.item())
context = torch.tensor([[0, 0, stoi["a"]]])
probs = F.softmax(torch.tanh(C[context].view(1, -1) @ W1 + b1) @ W2 + b2, dim=1)
print(probs.topk(3))
