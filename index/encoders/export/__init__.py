"""Export torch modules to ONNX, and quantize ONNX graphs."""
