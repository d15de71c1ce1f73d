"""Log-probabilities and samples of distributions."""
