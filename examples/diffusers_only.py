"""One image of each class with diffusers alone, from the folder that `synthaug train` made, side by side in a picture.

    python examples/diffusers_only.py CHECKPOINT classes.png

The scheduler is the one the folder names; other schedulers of diffusers can be made from its configuration. A network
that sees patches of two pixels (preset `cpu`) gives four times the channels at half the size: pixel_shuffle puts them
in place.
"""

import sys

import torch
from diffusers import DDPMPipeline
from torchvision.utils import save_image

pipeline = DDPMPipeline.from_pretrained(sys.argv[1], use_safetensors=True, local_files_only=True)
unet, scheduler, config = pipeline.unet, pipeline.scheduler, pipeline.unet.config
scheduler.set_timesteps(20)
labels = torch.arange(config.num_class_embeds - 1)  # the last stands for "no label"
images = scheduler.init_noise_sigma * torch.randn(len(labels), config.in_channels, *[config.sample_size] * 2)
for timestep in scheduler.timesteps:
    with torch.no_grad():
        prediction = unet(scheduler.scale_model_input(images, timestep), timestep, class_labels=labels).sample
    images = scheduler.step(prediction, timestep, images).prev_sample
save_image(torch.pixel_shuffle(images, 2 if config.in_channels in (4, 12) else 1) / 2 + 0.5, sys.argv[2])
