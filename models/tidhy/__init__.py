"""TiDHy (timescale demixing via hypernetworks) in torch, Flax linen and Flax NNX."""
