"""Finds the normalizations in an ONNX model, however they are written, and fuses, folds and proves them."""
