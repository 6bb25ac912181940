"""From text and images to packed sequences: one packing for training and inference."""
