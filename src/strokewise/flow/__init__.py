"""Rectified-flow maths: schedule, guidance, sampler. Tensors in and out; knows nothing of models."""
