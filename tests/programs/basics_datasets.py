"""Datasets and loaders: a data set of one's own, its transforms, and batches of it."""

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split


class Stripes(Dataset):
    """Pictures of stripes: class 0 has rows, class 1 columns, class 2 a diagonal."""

    def __init__(self, count, transform=None, target_transform=None):
        self.count, self.transform, self.target_transform = count, transform, target_transform

    def __len__(self):
        return self.count

    def __getitem__(self, idx):
        image, label = torch.zeros(6, 6), idx % 3
        if label == 0:
            image[idx % 6] = 1
        elif label == 1:
            image[:, idx % 6] = 1
        else:
            image.fill_diagonal_(1)
        if self.transform:
            image = self.transform(image)
        if self.target_transform:
            label = self.target_transform(label)
        return image, label


def one_hot(label):
    return torch.zeros(3, dtype=torch.float).scatter_(0, torch.tensor(label), value=1)


torch.manual_seed(0)
training_data = Stripes(20, transform=lambda image: image * 2 - 1, target_transform=one_hot)
image, label = training_data[4]
print(image, label)

loader = DataLoader(training_data, batch_size=8, shuffle=True)
print("batches:", len(loader))
for features, labels in loader:
    print(f"Feature batch shape: {features.size()}, labels: {labels.argmax(1).tolist()}")
features, labels = next(iter(DataLoader(Stripes(10), batch_size=4)))
print(features[0].squeeze().sum(), labels)

train, valid, test = random_split(Stripes(20), [12, 5, 3])
print(train.indices, valid.indices, test.indices)
halves = random_split(range(9), [0.5, 0.5], generator=torch.Generator().manual_seed(42))
print([list(half) for half in halves])

pairs = TensorDataset(torch.arange(10.0).view(5, 2), torch.arange(5))
print(len(pairs), pairs[3], pairs[1:3])
for x, y in DataLoader(pairs, batch_size=2, drop_last=True):
    print(x, y)
