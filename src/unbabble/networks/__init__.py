"""A name -> a network with weights: packaged, a file, a folder, the Hub, other toolkits' layouts, ONNX."""
