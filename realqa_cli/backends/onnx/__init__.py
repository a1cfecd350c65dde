"""The onnx and openvino backends: small models on a CPU, without torch and transformers."""
