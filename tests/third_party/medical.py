"""Networks for medical images and volumes, from ``monai``: every norm as an option."""

import torch
from monai.networks import nets
from torch import nn

from tests.third_party.architecture import Architecture, architecture, images, tensors

ANY_SIZE = {"x": {0: "batch", 2: "height", 3: "width"}}


def unet(norm: str | tuple[str, dict[str, int]]) -> nn.Module:
    return nets.UNet(
        spatial_dims=2, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2),
        num_res_units=1, norm=norm,
    )  # fmt: skip


@architecture
def unet_batch_norm() -> Architecture:
    return tensors(unet("batch"), 1, 32, 32, shapes=ANY_SIZE)


@architecture
def unet_instance_norm() -> Architecture:
    return tensors(unet(("instance", {"affine": True})), 1, 32, 32, shapes=ANY_SIZE)


@architecture
def unet_group_norm() -> Architecture:
    return tensors(unet(("group", {"num_groups": 2})), 1, 32, 32, shapes=ANY_SIZE)


@architecture
def unet_response_norm() -> Architecture:
    model = nets.UNet(
        spatial_dims=2, in_channels=1, out_channels=2, channels=(8, 16), strides=(2,),
        norm=("localresponse", {"size": 3}),
    )  # fmt: skip
    return tensors(model, 1, 32, 32)


@architecture
def segresnet() -> Architecture:
    model = nets.SegResNet(
        spatial_dims=3, in_channels=1, out_channels=2, init_filters=8, blocks_down=(1, 1),
        blocks_up=(1,),
    )  # fmt: skip
    return tensors(model, 1, 16, 16, 16)


@architecture
def dynunet() -> Architecture:
    model = nets.DynUNet(
        spatial_dims=2, in_channels=1, out_channels=2, kernel_size=(3, 3, 3), strides=(1, 2, 2),
        upsample_kernel_size=(2, 2), filters=(8, 16, 32),
    )  # fmt: skip
    return images(model, 32, channels=1)


@architecture
def attention_unet() -> Architecture:
    return images(nets.AttentionUnet(2, 1, 2, (8, 16), (2,)), 32, channels=1)


@architecture
def unetr() -> Architecture:
    model = nets.UNETR(
        in_channels=1, out_channels=2, img_size=32, feature_size=8, hidden_size=32, mlp_dim=64,
        num_heads=4, spatial_dims=2,
    )  # fmt: skip
    return images(model, 32, channels=1)


@architecture
def swin_unetr() -> Architecture:
    model = nets.SwinUNETR(
        in_channels=1, out_channels=2, feature_size=12, spatial_dims=2, depths=(1, 1, 1, 1)
    )
    return images(model, channels=1)


@architecture
def densenet() -> Architecture:
    model = nets.DenseNet(
        spatial_dims=2, in_channels=1, out_channels=3, init_features=16, growth_rate=8,
        block_config=(2, 2),
    )  # fmt: skip
    return images(model, 32, channels=1)


@architecture
def senet() -> Architecture:
    model = nets.SENet(
        spatial_dims=2, in_channels=1, num_classes=3, block=nets.senet.SEResNetBottleneck,
        layers=(1, 1, 1, 1), groups=1, reduction=16, inplanes=64, downsample_kernel_size=1,
        input_3x3=False, dropout_prob=None,
    )  # fmt: skip
    return images(model, 32, channels=1)


@architecture
def high_resolution_net() -> Architecture:
    return images(nets.HighResNet(2, 1, 2), 32, channels=1)


@architecture
def autoencoder() -> Architecture:
    model = nets.AutoEncoder(2, 1, 1, (8, 16), (2, 2), norm="batch")
    return images(model, 32, channels=1)


class Discriminated(nn.Module):
    """A patch discriminator without its intermediate features."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nets.PatchDiscriminator(spatial_dims=2, channels=8, in_channels=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[-1]


@architecture
def patch_discriminator() -> Architecture:
    return images(Discriminated(), 32, channels=1)
