"""Run encoders: ONNX Runtime or torch, batching, and the choice of a backend."""
