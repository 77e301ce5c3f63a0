"""Networks for images, from ``transformers``."""

import torch
import transformers as hf
from torch import nn

from tests.third_party.architecture import Architecture, architecture, images

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
VIT = {**SMALL, "intermediate_size": 64, "image_size": 32, "patch_size": 8}
FOUR_STAGES = {"hidden_sizes": [16, 32, 32, 64], "depths": [1, 1, 1, 1]}


def resnet_config(**options) -> hf.ResNetConfig:
    return hf.ResNetConfig(embedding_size=16, **FOUR_STAGES, **options)


@architecture
def resnet() -> Architecture:
    return images(hf.ResNetForImageClassification(resnet_config(layer_type="basic")))


@architecture
def regnet() -> Architecture:
    config = hf.RegNetConfig(embedding_size=16, groups_width=8, **FOUR_STAGES)
    return images(hf.RegNetForImageClassification(config))


@architecture
def bit() -> Architecture:
    config = hf.BitConfig(embedding_size=16, num_groups=4, **FOUR_STAGES)
    return images(hf.BitForImageClassification(config))


@architecture
def mobilenet_v1() -> Architecture:
    config = hf.MobileNetV1Config(depth_multiplier=0.25, image_size=64)
    return images(hf.MobileNetV1ForImageClassification(config))


@architecture
def mobilenet_v2() -> Architecture:
    config = hf.MobileNetV2Config(depth_multiplier=0.35, image_size=64)
    return images(hf.MobileNetV2ForImageClassification(config))


@architecture
def efficientnet() -> Architecture:
    config = hf.EfficientNetConfig(
        image_size=64, width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320
    )
    return images(hf.EfficientNetForImageClassification(config))


@architecture
def levit() -> Architecture:
    config = hf.LevitConfig(
        image_size=64, hidden_sizes=[16, 32, 48], num_attention_heads=[2, 2, 2],
        depths=[1, 1, 1], key_dim=[8, 8, 8],
    )  # fmt: skip
    return images(hf.LevitForImageClassification(config))


@architecture
def detr() -> Architecture:
    config = hf.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=resnet_config(layer_type="basic", out_features=["stage4"]),
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=5,
        num_labels=4,
    )  # fmt: skip
    return images(hf.DetrForObjectDetection(config))


@architecture
def rt_detr() -> Architecture:
    backbone = hf.RTDetrResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = hf.RTDetrConfig(
        backbone_config=backbone, backbone=None, use_timm_backbone=False, d_model=32,
        encoder_hidden_dim=32, encoder_in_channels=[32, 32, 32], encoder_ffn_dim=32,
        encoder_attention_heads=4, decoder_in_channels=[32, 32, 32], decoder_ffn_dim=32,
        decoder_attention_heads=4, decoder_layers=1, num_queries=8, num_labels=4, num_denoising=0,
        hidden_expansion=0.5,
    )  # fmt: skip
    model = hf.RTDetrForObjectDetection(config)
    # with the library's small weights the best queries are ties, which any kernel may break
    model.apply(lambda m: m.reset_parameters() if isinstance(m, nn.Conv2d | nn.Linear) else None)
    return images(model)


@architecture
def yolos() -> Architecture:
    config = hf.YolosConfig(**{**VIT, "image_size": [32, 32]}, num_detection_tokens=4)
    return images(hf.YolosForObjectDetection(config), 32)


@architecture
def vit() -> Architecture:
    return images(hf.ViTForImageClassification(hf.ViTConfig(**VIT)), 32)


@architecture
def deit() -> Architecture:
    return images(hf.DeiTModel(hf.DeiTConfig(**VIT)), 32)


@architecture
def beit() -> Architecture:
    return images(hf.BeitModel(hf.BeitConfig(**VIT, use_relative_position_bias=True)), 32)


@architecture
def dinov2() -> Architecture:
    config = hf.Dinov2Config(**SMALL, image_size=32, patch_size=8)
    return images(hf.Dinov2Model(config), 32)


@architecture
def masked_autoencoder() -> Architecture:
    config = hf.ViTMAEConfig(
        **VIT, decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
    )  # fmt: skip
    return images(hf.ViTMAEForPreTraining(config), 32)


@architecture
def swin() -> Architecture:
    config = hf.SwinConfig(
        image_size=32, patch_size=4, embed_dim=16, depths=[2, 1], num_heads=[2, 2], window_size=4
    )
    return images(hf.SwinModel(config), 32)


@architecture
def swin_v2() -> Architecture:
    config = hf.Swinv2Config(
        image_size=32, patch_size=4, embed_dim=16, depths=[2, 1], num_heads=[2, 2], window_size=4
    )
    return images(hf.Swinv2Model(config), 32)


@architecture
def convnext() -> Architecture:
    return images(hf.ConvNextForImageClassification(hf.ConvNextConfig(**FOUR_STAGES)))


@architecture
def convnext_v2() -> Architecture:
    return images(hf.ConvNextV2ForImageClassification(hf.ConvNextV2Config(**FOUR_STAGES)))


@architecture
def segformer() -> Architecture:
    config = hf.SegformerConfig(
        hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=32,
    )  # fmt: skip
    return images(hf.SegformerForSemanticSegmentation(config))


@architecture
def pvt() -> Architecture:
    config = hf.PvtConfig(
        image_size=64, hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 2],
    )  # fmt: skip
    return images(hf.PvtForImageClassification(config))


@architecture
def poolformer() -> Architecture:
    config = hf.PoolFormerConfig(hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1])
    return images(hf.PoolFormerForImageClassification(config))


@architecture
def mobilevit() -> Architecture:
    config = hf.MobileViTConfig(
        image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64]
    )
    return images(hf.MobileViTForImageClassification(config))


@architecture
def focalnet() -> Architecture:
    config = hf.FocalNetConfig(
        image_size=32, embed_dim=16, depths=[1, 1], hidden_sizes=[16, 32], focal_levels=[2, 2],
        focal_windows=[3, 3],
    )  # fmt: skip
    return images(hf.FocalNetForImageClassification(config), 32)


@architecture
def clip_image() -> Architecture:
    return images(hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**VIT)), 32)


class ImageAndText(nn.Module):
    """A contrastive model as two towers are served: an embedding of each row of both inputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, pixel_values: torch.Tensor):
        answer = self.model(input_ids=input_ids, pixel_values=pixel_values)
        return answer.text_embeds, answer.image_embeds


@architecture
def siglip() -> Architecture:
    text = {**SMALL, "intermediate_size": 64, "vocab_size": 50, "max_position_embeddings": 9}
    config = hf.SiglipConfig(text_config=text, vision_config=VIT)
    return Architecture(
        ImageAndText(hf.SiglipModel(config)),
        lambda batch: (torch.randint(3, 50, (batch, 9)), torch.randn(batch, 3, 32, 32)),
    )
