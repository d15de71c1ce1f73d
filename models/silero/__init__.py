"""Silero VAD, a convolutional and recurrent network that hears speech: in torch and in Flax NNX.

The pretrained weights are those of the package `silero-vad`, read where it is installed.
"""
