"""Ways to write each normalization: what must be found."""

from collections.abc import Mapping, Sequence

from tests.claims import Spelling
from tests.spellings import (
    batch_normalization,
    group_normalization,
    instance_normalization,
    layer_normalization,
    layer_normalization_axes,
    layer_normalization_casts,
    layer_normalization_context,
    layer_normalization_guarded,
    layer_normalization_in_part,
    layer_normalization_statistics,
    linear_means,
    lp_normalization,
    mean_variance_normalization,
    rms_normalization,
    runtime_gains,
)

TABLES: Mapping[str, Sequence[Spelling]] = {
    "LayerNormalization": (
        *layer_normalization.TABLE,
        *layer_normalization_axes.TABLE,
        *layer_normalization_casts.TABLE,
        *layer_normalization_context.TABLE,
        *layer_normalization_guarded.TABLE,
        *layer_normalization_in_part.TABLE,
        *layer_normalization_statistics.TABLE,
        *linear_means.TABLE,
        *runtime_gains.LAYER,
        *runtime_gains.GROUP,
    ),
    "RMSNormalization": (*rms_normalization.TABLE, *runtime_gains.ROOT),
    "InstanceNormalization": (*instance_normalization.TABLE, *runtime_gains.INSTANCE),
    "GroupNormalization": group_normalization.TABLE,
    "MeanVarianceNormalization": mean_variance_normalization.TABLE,
    "LpNormalization": lp_normalization.TABLE,
    "BatchNormalization": batch_normalization.TABLE,
}
