"""Ratios of time, ours against others'."""

from __future__ import annotations

from rendering.results import result

#: What is compared, the result that it is in, and the figure.
SPEEDS = (
    (
        "DDPM training vs the loop of diffusers' example, same network",
        "bench_training",
        "vs_diffusers_loop_ratio",
    ),
    ("DDPM training vs denoising-diffusion-pytorch's Trainer, same network", "bench_training", "vs_lucidrains_ratio"),
    (
        "sampling (compiled) vs diffusers, same solver and evaluations",
        "bench_sampling_speed",
        "vs_diffusers_same_solver_ratio",
    ),
    (
        "sampling (compiled, speed alone), 20 evaluations vs 1000-step `DDPMPipeline`",
        "bench_sampling_speed",
        "vs_ddpm_pipeline_ratio",
    ),
    (
        "sampling (compiled, speed alone), 20 evaluations vs denoising-diffusion-pytorch's 1000",
        "bench_sampling_speed",
        "vs_lucidrains_ratio",
    ),
    (
        "ACGAN training (`reacgan`) in bf16 vs the same networks in a plain fp32 loop",
        "bench_acgan_training_reacgan",
        "train_vs_eager_ratio",
    ),
    (
        "ACGAN training (`resnet`) in fp32 vs the same networks in a plain fp32 loop",
        "bench_acgan_training_resnet",
        "train_vs_eager_ratio",
    ),
    ("ACGAN sampling vs its network's evaluation alone", "bench_acgan_sampling", "sample_vs_forward_ratio"),
    (
        "images drawn a second, ACGAN vs DDPM, default settings",
        "bench_acgan_sampling",
        "acgan_vs_ddpm_images_per_second_ratio",
    ),
    (
        "ResNet-18 training steps vs a plain torchvision and Lightning loop, same network",
        "bench_classify_speed",
        "step_vs_survey_loop_ratio",
    ),
    ("the same, ResNet-20", "bench_classify_speed", "resnet20_step_vs_survey_loop_ratio"),
    ("the same, the network of `fast`", "bench_classify_speed", "cifarnet_step_vs_survey_loop_ratio"),
    (
        "time of `survey-50` over that in which `fast` is as accurate",
        "bench_classify_time",
        "time_to_accuracy_of_survey_50_ratio",
    ),
    (
        "ResNet-20 training step, bf16 + channels-last vs fp32",
        "bench_classifier_step",
        "classifier_step_bf16_channels_last_vs_fp32_ratio",
    ),
    (
        "mixed and augmented batches from memory vs webdataset with PIL and torchvision",
        "bench_loader",
        "memory_vs_webdataset_ratio",
    ),
    (
        "mixed and augmented batches from memory vs torchvision's ImageFolder",
        "bench_loader",
        "memory_vs_imagefolder_ratio",
    ),
    ("mixed and augmented batches from memory vs litdata", "bench_loader", "memory_vs_litdata_ratio"),
    ("mixed and augmented batches from memory vs airbench's way, unmixed", "bench_loader", "memory_vs_resident_ratio"),
    (
        "the same vs airbench's way without its mirroring",
        "bench_loader",
        "memory_vs_resident_unmirrored_ratio",
    ),
    ("mixed and augmented batches, streamed, vs webdataset", "bench_loader", "streaming_vs_webdataset_ratio"),
    ("trainings of a bench side by side vs one after another (digits)", "bench_bench", "together_vs_serial_ratio"),
    ("time of an epoch, half synthetic vs all real (overhead of mixing)", "bench_loader", "mixing_overhead_ratio"),
    ("time of an epoch, 8 synthetic sets vs one (overhead)", "bench_loader", "sources_8_vs_1_ratio"),
    ("writing shards vs webdataset's `ShardWriter` with Pillow", "bench_shards", "write_vs_webdataset_ratio"),
    ("reading and decoding shards vs webdataset", "bench_shards", "read_vs_webdataset_ratio"),
    (
        "time of 5 nearest neighbours, 50,000 x 50,000 at 512 dimensions, vs the matrix product alone (overhead)",
        "bench_metrics",
        "knn_vs_matmul_ratio",
    ),
    (
        "time of precision, recall, density and coverage there vs their three products (overhead)",
        "bench_metrics",
        "prdc_vs_matmul_ratio",
    ),
    (
        "Fréchet distance in Inception's features, images to number, vs torchmetrics",
        "bench_metrics",
        "fid_vs_torchmetrics_ratio",
    ),
    (
        "the same, the features of the real images in the cache",
        "bench_metrics",
        "fid_with_cached_reference_vs_torchmetrics_ratio",
    ),
)


def speed_table() -> str:
    """Ratios of training, sampling, writing and reading, with the machine that each was measured on."""
    lines = ["| speed | ratio | on |", "| --- | --- | --- |"]
    for title, name, figure in SPEEDS:
        if found := result(name):
            machine = found["environment"]["hardware"]
            lines.append(f"| {title} | {found['figures'][figure]:.2f} | {machine} |")
    return "\n".join(lines)
