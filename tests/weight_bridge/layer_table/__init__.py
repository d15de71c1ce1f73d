"""The layer table: rows by family, and what is measured of each."""

from __future__ import annotations

from tests.weight_bridge.layer_table import (
    attention_rows,
    convolution_rows,
    linear_rows,
    normalization_rows,
    recurrent_rows,
    reparametrized_rows,
    stacked_rows,
    transformer_rows,
)
from tests.weight_bridge.layer_table.row import Row

ROWS: dict[str, Row] = {
    **linear_rows.ROWS,
    **convolution_rows.ROWS,
    **normalization_rows.ROWS,
    **attention_rows.ROWS,
    **transformer_rows.ROWS,
    **recurrent_rows.ROWS,
    **reparametrized_rows.ROWS,
    **stacked_rows.ROWS,
}
