"""Word embeddings: an n-gram model, and a classifier of sentences that averages its words' vectors."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

torch.manual_seed(1)
text = "the cat sat on the mat and the dog sat on the rug while the cat saw the dog and the dog saw the cat".split()
trigrams = [([text[i], text[i + 1]], text[i + 2]) for i in range(len(text) - 2)]
vocab = sorted(set(text))
word_to_ix = {word: i for i, word in enumerate(vocab)}
print(trigrams[:2], len(vocab))


class NGramLanguageModeler(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context_size):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.linear1 = nn.Linear(context_size * embedding_dim, 16)
        self.linear2 = nn.Linear(16, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).view((1, -1))
        out = F.relu(self.linear1(embeds))
        return F.log_softmax(self.linear2(out), dim=1)


model = NGramLanguageModeler(len(vocab), 6, 2)
print(model)
loss_function = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.05)
for epoch in range(5):
    total_loss = 0
    for context, target in trigrams:
        context_idxs = torch.tensor([word_to_ix[w] for w in context], dtype=torch.long)
        model.zero_grad()
        log_probs = model(context_idxs)
        loss = loss_function(log_probs, torch.tensor([word_to_ix[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    print(epoch, total_loss)
print(model.embeddings.weight[word_to_ix["cat"]])

padded = nn.Embedding(10, 3, padding_idx=0)
sentences = torch.tensor([[4, 2, 7, 0], [1, 9, 0, 0], [3, 3, 3, 8]])
mask = (sentences != 0).unsqueeze(-1)
average = (padded(sentences) * mask).sum(1) / mask.sum(1)
F.cross_entropy(average, torch.tensor([0, 1, 2])).backward()
print(average, padded.weight.grad, sep="\n")
print(F.embedding(torch.tensor([1, 0]), torch.eye(2, 3)))
