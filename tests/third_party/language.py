"""Networks for text, from ``transformers``: encoders with LayerNorm, decoders with RMSNorm …"""

import transformers as hf

from tests.third_party.architecture import (
    Architecture,
    architecture,
    masked_text,
    text,
    token_ids,
)

WIDTHS = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "intermediate_size": 64,
}  # fmt: skip
GROUPED = {**WIDTHS, "num_key_value_heads": 2}


@architecture
def bert() -> Architecture:
    return masked_text(hf.BertModel(hf.BertConfig(**WIDTHS)))


@architecture
def roberta() -> Architecture:
    return masked_text(hf.RobertaModel(hf.RobertaConfig(**WIDTHS)))


@architecture
def distilbert() -> Architecture:
    config = hf.DistilBertConfig(vocab_size=50, dim=32, n_layers=1, n_heads=4, hidden_dim=64)
    return masked_text(hf.DistilBertForSequenceClassification(config))


@architecture
def albert() -> Architecture:
    return masked_text(hf.AlbertModel(hf.AlbertConfig(**WIDTHS, embedding_size=16)))


@architecture
def electra() -> Architecture:
    return text(hf.ElectraForPreTraining(hf.ElectraConfig(**WIDTHS, embedding_size=16)))


@architecture
def deberta() -> Architecture:
    config = hf.DebertaV2Config(
        **WIDTHS, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"]
    )
    return masked_text(hf.DebertaV2Model(config))


@architecture
def mobilebert() -> Architecture:
    config = hf.MobileBertConfig(**WIDTHS, embedding_size=32, intra_bottleneck_size=32)
    return masked_text(hf.MobileBertModel(config))


@architecture
def fnet() -> Architecture:
    config = hf.FNetConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, intermediate_size=64)
    return text(hf.FNetModel(config))


@architecture
def gpt2() -> Architecture:
    config = hf.GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=4)
    return text(hf.GPT2LMHeadModel(config), use_cache=False)


@architecture
def gpt_neox() -> Architecture:
    return masked_text(hf.GPTNeoXModel(hf.GPTNeoXConfig(**WIDTHS)), use_cache=False)


@architecture
def opt() -> Architecture:
    config = hf.OPTConfig(
        vocab_size=50, hidden_size=32, ffn_dim=64, num_hidden_layers=1, num_attention_heads=4,
        word_embed_proj_dim=32,
    )  # fmt: skip
    return masked_text(hf.OPTModel(config), use_cache=False)


@architecture
def llama() -> Architecture:
    return text(hf.LlamaForCausalLM(hf.LlamaConfig(**GROUPED)), use_cache=False)


@architecture
def mistral() -> Architecture:
    return masked_text(hf.MistralModel(hf.MistralConfig(**GROUPED)), use_cache=False)


@architecture
def qwen2() -> Architecture:
    return text(hf.Qwen2ForCausalLM(hf.Qwen2Config(**GROUPED)), use_cache=False)


@architecture
def gemma() -> Architecture:
    return text(hf.GemmaForCausalLM(hf.GemmaConfig(**GROUPED, head_dim=8)), use_cache=False)


@architecture
def phi() -> Architecture:
    return text(hf.PhiModel(hf.PhiConfig(**GROUPED)), use_cache=False)


@architecture
def mixtral() -> Architecture:
    config = hf.MixtralConfig(**GROUPED, num_local_experts=4)
    return text(hf.MixtralForCausalLM(config), use_cache=False)


@architecture
def mixtral_all_experts() -> Architecture:
    """The experts as one batched product, which transformers offers for exporting."""
    config = hf.MixtralConfig(**GROUPED, num_local_experts=4, experts_implementation="batched_mm")
    return text(hf.MixtralForCausalLM(config), use_cache=False)


@architecture
def mamba() -> Architecture:
    config = hf.MambaConfig(vocab_size=50, hidden_size=32, num_hidden_layers=1, state_size=4)
    model = hf.MambaModel(config)
    return Architecture(model, lambda batch: {"input_ids": token_ids(batch), "use_cache": False})


@architecture
def t5_encoder() -> Architecture:
    config = hf.T5Config(vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    return masked_text(hf.T5EncoderModel(config))


@architecture
def bart() -> Architecture:
    config = hf.BartConfig(
        vocab_size=50, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64,
    )  # fmt: skip
    model = hf.BartModel(config)
    return Architecture(model, lambda batch: {"input_ids": token_ids(batch), "use_cache": False})
