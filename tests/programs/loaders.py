"""DataLoaders in every manner: own data sets, collate functions, samplers, weights, iterables, joined sets."""

import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    WeightedRandomSampler,
)

torch.manual_seed(0)


class Sentences(Dataset):
    data = ([1, 2], [3], [4, 5, 6], [7, 8], [9], [1, 1, 1, 1])

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return {"words": torch.tensor(self.data[i]), "length": len(self.data[i]), "name": f"s{i}"}


def pad(batch):
    width = max(item["length"] for item in batch)
    words = torch.zeros(len(batch), width, dtype=torch.long)
    for row, item in zip(words, batch, strict=True):
        row[: item["length"]] = item["words"]
    return words, torch.tensor([item["length"] for item in batch]), [item["name"] for item in batch]


for words, lengths, names in DataLoader(Sentences(), batch_size=4, collate_fn=pad, shuffle=True):
    print(words, lengths, names)
for batch in DataLoader(Subset(Sentences(), [0, 3]), batch_size=2):
    print(batch)


class Longest(Sampler):
    def __init__(self, source):
        self.source = source

    def __iter__(self):
        return iter(sorted(range(len(self.source)), key=lambda i: -self.source[i]["length"]))

    def __len__(self):
        return len(self.source)


print([batch["name"] for batch in DataLoader(Sentences(), batch_size=None, sampler=Longest(Sentences()))])
weights = torch.tensor([1.0, 1.0, 10.0, 0.0])
sampler = WeightedRandomSampler(weights, num_samples=12, replacement=True)
counts = torch.zeros(4, dtype=torch.long)
for x in DataLoader(range(4), batch_size=5, sampler=sampler):
    counts += torch.bincount(x, minlength=4)
print(len(sampler), counts, list(WeightedRandomSampler([0.2, 0.3, 0.5], 3, replacement=False)))
print(list(RandomSampler(range(5))), list(RandomSampler(range(3), replacement=True, num_samples=6)))
batches = BatchSampler(SequentialSampler(range(7)), batch_size=3, drop_last=False)
print(list(batches), [b.tolist() for b in DataLoader(range(7), batch_sampler=batches)])


class Squares(IterableDataset):
    def __iter__(self):
        return (torch.tensor([n, n * n]) for n in range(5))


print(list(DataLoader(Squares(), batch_size=2)))
joined = ConcatDataset([list(range(3)), list(range(10, 12))])
print(len(joined), joined[3], list(DataLoader(joined, batch_size=5, pin_memory=False)))
loader = DataLoader(joined, batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(1))
print([x.tolist() for x in loader], [x.tolist() for x in loader], len(loader), loader.batch_size)
print(torch.utils.data.default_collate([(1, 2.0, "a"), (3, 4.0, "b")]))
