"""Supervised fine-tuning: the paper's loss on packed sequences, the same code for nano and BAGEL-7B.

Modules, from the data to the run: ``samples`` (what is trained on), ``mixture`` (which sample comes when),
``prepare`` (samples to segments), ``loader`` (packs), ``latents`` (the frozen autoencoder), ``losses``,
``optim``, ``parallel``, ``state`` (checkpoints), ``trainer``, ``recipes``.
Nothing is imported here, so that the command line can name the options without loading torch.
"""
