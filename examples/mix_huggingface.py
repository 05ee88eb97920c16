"""Hugging Face's Trainer and an untrained model of transformers on real images and a shard set.

Run it with: python examples/mix_huggingface.py SET (labels alone: mixup and weights would not reach this loss)
"""

import argparse

from transformers import ResNetConfig, ResNetForImageClassification, Trainer, TrainingArguments

from synthaug import Mixture, load_source, make_splits, mixed_loader


class Inputs:  # noqa: D101 - the loader, with batches as the models of transformers take them
    def __init__(self, loader):
        self.loader, self.set_epoch = loader, loader.set_epoch

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        return ({"pixel_values": batch.images, "labels": batch.labels} for batch in self.loader)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", help="shard set: folder or URL")
    parser.add_argument("--data", default="digits", help="real images, those that the set was made from")
    parser.add_argument("--per-class-real", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    splits = make_splits(load_source(options.data), per_class_real=options.per_class_real)
    arguments = TrainingArguments(num_train_epochs=options.epochs, per_device_train_batch_size=64, save_strategy="no")
    loader = mixed_loader(splits, options.set, Mixture(synthetic_fraction=0.5, batch_size=64), device=arguments.device)
    sizes = {"num_channels": splits.train.channels, "num_labels": len(splits.train.class_names)}
    model = ResNetForImageClassification(ResNetConfig(hidden_sizes=[16, 32], depths=[1, 1], embedding_size=16, **sizes))
    trainer = Trainer(model, arguments)
    trainer.get_train_dataloader = lambda: Inputs(loader)
    done = trainer.train()
    print(f"{done.global_step} steps, loss {done.training_loss:.3f}, {loader.observed_fraction:.1%} synthetic")
