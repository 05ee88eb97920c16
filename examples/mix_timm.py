"""timm's model, optimiser, schedule and loss on real images and a shard set, with mixup and CutMix.

Run it with: python examples/mix_timm.py SET
"""

import argparse

import timm
import timm.loss
import timm.optim
import timm.scheduler
import torch

from synthaug import Mixture, load_source, make_splits, mixed_loader

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", help="shard set: folder or URL")
    parser.add_argument("--data", default="digits", help="real images, those that the set was made from")
    parser.add_argument("--per-class-real", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    splits = make_splits(load_source(options.data), per_class_real=options.per_class_real)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mixture = Mixture(synthetic_fraction=0.5, batch_size=64, mixup=0.2, cutmix=1.0)
    loader = mixed_loader(splits, options.set, mixture, device=device)
    channels, classes = splits.train.channels, len(splits.train.class_names)
    model = timm.create_model("resnet10t", pretrained=False, in_chans=channels, num_classes=classes).to(device)
    optimizer = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    scheduler, epochs = timm.scheduler.create_scheduler_v2(optimizer, num_epochs=options.epochs, warmup_epochs=0)
    criterion = timm.loss.SoftTargetCrossEntropy()  # batch.loss(logits) is the same, and minds batch.weights
    for epoch in range(epochs):
        for batch in loader:
            loss = criterion(model(batch.images), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        print(f"epoch {epoch}: loss {loss:.3f}, {loader.observed_fraction:.1%} synthetic")
