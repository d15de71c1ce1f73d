"""Verified ports of single layers, losses, optimizers and metrics, one folder per family of porting faults.

Every folder holds `torch.py` and `nnx.py` with the same classes, `pair.py` with the claims that they agree, and
`faults.py` with the edits that break them in the ways that ports are known to break.
"""
