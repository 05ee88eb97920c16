"""A plain PyTorch loop on real images and a shard set whose share falls from 70 % to none.

Run it with: python examples/mix_pytorch.py SET
"""

import argparse

import torch

from synthaug import Mixture, load_source, make_splits, mixed_loader

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", help="shard set: folder or URL")
    parser.add_argument("--data", default="digits", help="real images, those that the set was made from")
    parser.add_argument("--per-class-real", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    splits = make_splits(load_source(options.data), per_class_real=options.per_class_real)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mixture = Mixture(synthetic_fraction="0.7:0.0 linear", epochs=options.epochs, batch_size=64)
    loader = mixed_loader(splits, options.set, mixture, device=device)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(splits.train.channels, 32, kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * splits.train.image_size**2, len(splits.train.class_names)),
    ).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for epoch in range(options.epochs):
        losses = []
        for batch in loader:
            loss = batch.loss(network(batch.images))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        mean = sum(losses) / len(losses)
        print(f"epoch {epoch}: loss {mean:.3f}, {loader.observed_fraction:.1%} synthetic")
