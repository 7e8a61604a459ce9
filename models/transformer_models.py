"""Hugging Face transformers' own models at narrow widths, with random weights, returning one tensor each."""

from __future__ import annotations

from typing import Any

import transformers
from torch import Tensor, nn

VOCABULARY = 97
HEADS: dict[str, Any] = {"num_hidden_layers": 2, "num_attention_heads": 4}
WIDTH: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 96, **HEADS}
# Attention written out: the fused one needs opset 14. The usual 0.02 would leave attention almost uniform.
COMMON: dict[str, Any] = {"attn_implementation": "eager", "initializer_range": 0.15}


class BertEncoder(transformers.BertModel):
    """BERT without its pooler, returning the last hidden state alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """N×T, N×T → N×T×48."""
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)[0]


class ViTEncoder(transformers.ViTModel):
    """ViT without its pooler, returning the last hidden state alone."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """N×3×32×32 → N×17×48."""
        return super().forward(pixel_values=pixel_values, return_dict=True)[0]


class ConvNextFeatures(transformers.ConvNextModel):
    """ConvNeXt, returning the pooled and normalized features."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """N×3×32×32 → N×48."""
        return super().forward(pixel_values=pixel_values).pooler_output


class LlamaDecoder(transformers.LlamaModel):
    """LLaMA without a key-value cache, returning the last hidden state alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """N×T, N×T → N×T×48."""
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, return_dict=True)[0]


class LevitClassifier(transformers.LevitForImageClassification):
    """LeViT, returning the logits alone."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """N×3×H×W → N×classes."""
        return super().forward(pixel_values=pixel_values).logits


class T5Encoder(transformers.T5EncoderModel):
    """The encoder of T5, returning the last hidden state alone."""

    def forward(self, input_ids: Tensor) -> Tensor:
        """N×T → N×T×48."""
        return super().forward(input_ids=input_ids, return_dict=True)[0]


def bert(**changes: Any) -> nn.Module:
    """BERT, narrow but for what is changed."""
    config = {"vocab_size": VOCABULARY, "max_position_embeddings": 32, **WIDTH, **COMMON, **changes}
    return BertEncoder(transformers.BertConfig(**config), add_pooling_layer=False)


def vit(**changes: Any) -> nn.Module:
    """ViT, narrow but for what is changed."""
    config = {"image_size": 32, "patch_size": 8, **WIDTH, **COMMON, **changes}
    return ViTEncoder(transformers.ViTConfig(**config), add_pooling_layer=False)


def convnext() -> nn.Module:
    return ConvNextFeatures(
        transformers.ConvNextConfig(
            hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 2, 1], num_stages=4, initializer_range=0.15
        )
    )


def llama(**changes: Any) -> nn.Module:
    """LLaMA, narrow but for what is changed."""
    small = {"vocab_size": VOCABULARY, "max_position_embeddings": 32, "num_key_value_heads": 2}
    return LlamaDecoder(transformers.LlamaConfig(**{**small, **WIDTH, **COMMON, **changes}))


def t5() -> nn.Module:
    sizes: dict[str, Any] = {"d_model": 48, "d_kv": 12, "d_ff": 96, "num_layers": 2, "num_heads": 4}
    config = transformers.T5Config(
        vocab_size=VOCABULARY, feed_forward_proj="gated-gelu", **sizes, attn_implementation="eager"
    )
    return T5Encoder(config)


def levit(**changes: Any) -> nn.Module:
    """LeViT, narrow and of two stages of one block but for what is changed."""
    sizes: dict[str, Any] = {
        "image_size": 32,
        "hidden_sizes": [16, 24],
        "num_attention_heads": [2, 3],
        "depths": [1, 1],
        "key_dim": [4, 4],
        "num_labels": 10,
        "initializer_range": 0.15,
    }
    config = transformers.LevitConfig(**{**sizes, **changes})
    config.down_ops = config.down_ops[: len(config.depths) - 1]
    return LevitClassifier(config)
