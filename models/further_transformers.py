"""More of Hugging Face transformers' own models at narrow widths, each for its norms and where they stand."""

from __future__ import annotations

from typing import Any

import transformers
from torch import Tensor, nn
from transformer_models import COMMON, VOCABULARY
from transformers.models.whisper.modeling_whisper import WhisperEncoder

HEADS: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 12}
DECODER: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 32,
    "hidden_size": 24,
    "intermediate_size": 48,
    **HEADS,
    **COMMON,
}


class GemmaDecoder(transformers.GemmaModel):
    """Gemma without a key-value cache, returning the last hidden state alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """N×T, N×T → N×T×24."""
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, return_dict=True)[0]


class QwenDecoder(transformers.Qwen3Model):
    """Qwen 3 without a key-value cache: queries and keys are normalized, head by head."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """N×T, N×T → N×T×24."""
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, return_dict=True)[0]


class GPTDecoder(transformers.GPT2Model):
    """GPT-2 without a key-value cache, returning the last hidden state alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """N×T, N×T → N×T×24."""
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, return_dict=True)[0]


class SwinFeatures(transformers.SwinModel):
    """Swin, returning the last hidden state alone: norms in windows, of merged patches, and after all stages."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """N×3×32×32 → N×16×16."""
        return super().forward(pixel_values=pixel_values, return_dict=True)[0]


class SpeechEncoder(WhisperEncoder):
    """Whisper's encoder: LayerNorms behind convolutions over time."""

    def forward(self, input_features: Tensor) -> Tensor:  # type: ignore[override]
        """N×8×32 → N×16×24."""
        return super().forward(input_features, return_dict=True)[0]


def gemma() -> nn.Module:
    return GemmaDecoder(transformers.GemmaConfig(**DECODER))


def qwen() -> nn.Module:
    return QwenDecoder(transformers.Qwen3Config(**DECODER))


def gpt2() -> nn.Module:
    sizes = {"n_positions": 32, "n_embd": 24, "n_layer": 1, "n_head": 2}
    return GPTDecoder(transformers.GPT2Config(vocab_size=VOCABULARY, **sizes, **COMMON))


def swin() -> nn.Module:
    sizes: dict[str, Any] = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "window_size": 4}
    config = transformers.SwinConfig(depths=[2, 1], num_heads=[2, 4], mlp_ratio=2.0, **sizes, **COMMON)
    return SwinFeatures(config, add_pooling_layer=False)


def whisper() -> nn.Module:
    sizes: dict[str, Any] = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 48, "d_model": 24}
    config = transformers.WhisperConfig(num_mel_bins=8, max_source_positions=16, init_std=0.15, **sizes)
    config._attn_implementation = "eager"
    return SpeechEncoder(config)
