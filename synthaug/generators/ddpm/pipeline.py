"""A diffusers pipeline for the exported folder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor

from synthaug.core.errors import InputError
from synthaug.generators.ddpm.network import patch_size


class ClassConditionalDDPMPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Draws images of given classes with diffusers' own scheduler; it computes the samples that `synthaug` does.

        pipeline = ClassConditionalDDPMPipeline.from_pretrained("runs/ddpm")
        images = pipeline([3, 5], num_inference_steps=20, generator=torch.manual_seed(0)).images

    Args:
        unet: A class-conditional `UNet2DModel` whose last class stands for "no label".
        scheduler: The scheduler beside it, or another one made from its configuration.
    """

    model_cpu_offload_seq = "unet"

    def __init__(self, unet: Any, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        class_labels: list[int],
        num_inference_steps: int = 20,
        guidance_scale: float = 1.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draws one image for each label.

        Args:
            class_labels: Classes, by number.
            num_inference_steps: Steps of the scheduler.
            guidance_scale: Classifier-free guidance weight w in F_null + w (F_class - F_null); 1 is none.
            generator: Source of the noise, or one for each image.
            output_type: "pil" for images, "np" for an array [n, h, w, c] in [0, 1], "pt" for a tensor [n, c, h, w] in
                [0, 1].
            return_dict: Whether to return an `ImagePipelineOutput` instead of a tuple.

        Raises:
            InputError: For a label that the network does not know.
        """
        config, device = self.unet.config, self._execution_device
        classes = config.num_class_embeds - 1
        if not class_labels or not all(0 <= label < classes for label in class_labels):
            raise InputError(f"class_labels must be numbers in 0..{classes - 1}, found {class_labels}")
        labels = torch.tensor(class_labels, device=device)
        patch = patch_size(config.in_channels)
        shape = (len(labels), config.in_channels // patch**2, config.sample_size * patch, config.sample_size * patch)
        noise = randn_tensor(shape, generator=generator, device=device, dtype=self.unet.dtype)
        images = F.pixel_unshuffle(noise, patch) * self.scheduler.init_noise_sigma
        self.scheduler.set_timesteps(num_inference_steps, device=device)
        for timestep in self.progress_bar(self.scheduler.timesteps):
            inputs = self.scheduler.scale_model_input(images, timestep)
            prediction = self.unet(inputs, timestep, class_labels=labels).sample
            if guidance_scale != 1.0:
                nobody = torch.full_like(labels, classes)
                unconditional = self.unet(inputs, timestep, class_labels=nobody).sample
                prediction = unconditional + guidance_scale * (prediction - unconditional)
            images = self.scheduler.step(prediction, timestep, images).prev_sample
        result = self._in_form(F.pixel_shuffle(images, patch), output_type)
        return ImagePipelineOutput(images=result) if return_dict else (result,)

    def _in_form(self, images: torch.Tensor, output_type: str) -> Any:
        images = (images.float() / 2 + 0.5).clamp(0, 1)
        if output_type == "pt":
            return images
        array = images.permute(0, 2, 3, 1).cpu().numpy()
        return self.numpy_to_pil(array) if output_type == "pil" else array
