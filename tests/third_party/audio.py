"""Networks for sound, from ``transformers``: group norm, weight norm, batch norm over time …"""

import torch
import transformers as hf

from tests.third_party.architecture import Architecture, architecture, tensors

SPEECH = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
SAMPLES = {"input_values": {0: "batch", 1: "samples"}}


@architecture
def wav2vec2_group_norm() -> Architecture:
    model = hf.Wav2Vec2Model(hf.Wav2Vec2Config(**SPEECH, feat_extract_norm="group"))
    return tensors(model, 1600, shapes=SAMPLES)


@architecture
def wav2vec2_layer_norm() -> Architecture:
    config = hf.Wav2Vec2Config(
        **SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True
    )
    return tensors(hf.Wav2Vec2ForCTC(config), 1600, shapes=SAMPLES)


@architecture
def hubert() -> Architecture:
    return tensors(hf.HubertModel(hf.HubertConfig(**SPEECH)), 1600)


@architecture
def conformer() -> Architecture:
    config = hf.Wav2Vec2ConformerConfig(**SPEECH, conv_depthwise_kernel_size=5)
    return tensors(hf.Wav2Vec2ConformerModel(config), 1600)


@architecture
def whisper_encoder() -> Architecture:
    config = hf.WhisperConfig(
        vocab_size=60, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=20,
        max_target_positions=20, num_mel_bins=8, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1,
    )  # fmt: skip
    return tensors(hf.WhisperModel(config).encoder, 8, 40)


@architecture
def hifigan() -> Architecture:
    config = hf.SpeechT5HifiGanConfig(
        model_in_dim=16, upsample_initial_channel=32, upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
    )  # fmt: skip
    model = hf.SpeechT5HifiGan(config)
    model.apply_weight_norm()
    return tensors(model, 20, 16, shapes={"spectrogram": {0: "batch", 1: "frames"}})


@architecture
def univnet() -> Architecture:
    config = hf.UnivNetConfig(
        model_in_channels=8, model_hidden_channels=8, num_mel_bins=8,
        kernel_predictor_hidden_channels=8, resblock_kernel_sizes=[3], resblock_stride_sizes=[4],
        resblock_dilation_sizes=[[1, 3]],
    )  # fmt: skip
    model = hf.UnivNetModel(config)
    model.apply_weight_norm()
    return Architecture(
        model,
        lambda batch: {
            "input_features": torch.randn(batch, 12, 8),
            "noise_sequence": torch.randn(batch, 12, 8),
        },
    )


@architecture
def vits() -> Architecture:
    config = hf.VitsConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32,
        flow_size=16, spectrogram_bins=17, upsample_initial_channel=16, upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
        duration_predictor_num_flows=1, prior_encoder_num_flows=1, wavenet_dilation_rate=1,
        prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1,
    )  # fmt: skip
    model = hf.VitsModel(config)
    return Architecture(model, lambda batch: {"input_ids": torch.randint(3, 50, (batch, 9))})


@architecture
def encodec_encoder() -> Architecture:
    config = hf.EncodecConfig(
        num_filters=4, hidden_size=16, codebook_size=16, codebook_dim=16, upsampling_ratios=[2]
    )
    return tensors(hf.EncodecModel(config).encoder, 1, 64)


@architecture
def dac() -> Architecture:
    config = hf.DacConfig(
        encoder_hidden_size=8, downsampling_ratios=[2, 2], decoder_hidden_size=16,
        upsampling_ratios=[2, 2], n_codebooks=2, codebook_size=16, codebook_dim=4, hidden_size=32,
    )  # fmt: skip
    return tensors(hf.DacModel(config), 1, 64)


@architecture
def patch_time_series() -> Architecture:
    config = hf.PatchTSTConfig(
        num_input_channels=2, context_length=32, patch_length=8, patch_stride=8, d_model=16,
        num_hidden_layers=1, num_attention_heads=2, ffn_dim=32,
    )  # fmt: skip
    return tensors(hf.PatchTSTModel(config), 32, 2)
