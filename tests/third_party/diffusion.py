"""Networks of diffusion models, from ``diffusers``: group norm, adaptive norms, RMS norm."""

import diffusers
import torch

from tests.third_party.architecture import Architecture, architecture, images

CONDITIONED = {
    "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 16,
    "attention_head_dim": 8, "in_channels": 4,
}  # fmt: skip
AUTOENCODER = {
    "block_out_channels": (16, 32), "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
}  # fmt: skip


def conditioned(batch: int) -> dict[str, object]:
    return {
        "sample": torch.randn(batch, 4, 8, 8),
        "timestep": torch.randint(0, 1000, (batch,)),
        "encoder_hidden_states": torch.randn(batch, 6, 16),
    }


@architecture
def unet_2d() -> Architecture:
    model = diffusers.UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=(16, 32),
        layers_per_block=1, norm_num_groups=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=8,
    )  # fmt: skip
    return Architecture(
        model,
        lambda batch: {
            "sample": torch.randn(batch, 3, 16, 16),
            "timestep": torch.randint(0, 1000, (batch,)),
        },
    )


@architecture
def unet_2d_condition() -> Architecture:
    model = diffusers.UNet2DConditionModel(
        sample_size=8, out_channels=4, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **CONDITIONED,
    )  # fmt: skip
    return Architecture(model, conditioned)


@architecture
def controlnet() -> Architecture:
    model = diffusers.ControlNetModel(conditioning_embedding_out_channels=(8, 16), **CONDITIONED)
    return Architecture(
        model,
        lambda batch: {
            **conditioned(batch),
            "controlnet_cond": torch.randn(batch, 3, 16, 16),
        },
    )


@architecture
def autoencoder_kl() -> Architecture:
    return images(diffusers.AutoencoderKL(**AUTOENCODER), 16)


@architecture
def vector_quantized() -> Architecture:
    model = diffusers.VQModel(block_out_channels=(16,), norm_num_groups=8, num_vq_embeddings=16)
    return images(model, 16)


@architecture
def dit() -> Architecture:
    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, num_layers=2, sample_size=8,
        num_embeds_ada_norm=10, norm_num_groups=4,
    )  # fmt: skip
    return Architecture(
        model,
        lambda batch: {
            "hidden_states": torch.randn(batch, 4, 8, 8),
            "timestep": torch.randint(0, 1000, (batch,)),
            "class_labels": torch.randint(0, 10, (batch,)),
        },
    )


@architecture
def transformer_2d() -> Architecture:
    model = diffusers.Transformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=8, num_layers=1,
        norm_num_groups=4, cross_attention_dim=16,
    )  # fmt: skip
    return Architecture(
        model,
        lambda batch: {
            "hidden_states": torch.randn(batch, 8, 8, 8),
            "encoder_hidden_states": torch.randn(batch, 6, 16),
        },
    )


@architecture
def stable_diffusion_3() -> Architecture:
    model = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16,
        pooled_projection_dim=16, out_channels=4, pos_embed_max_size=8,
    )  # fmt: skip
    return Architecture(
        model,
        lambda batch: {
            "hidden_states": torch.randn(batch, 4, 8, 8),
            "encoder_hidden_states": torch.randn(batch, 5, 16),
            "pooled_projections": torch.randn(batch, 16),
            "timestep": torch.randint(0, 1000, (batch,)),
        },
    )
