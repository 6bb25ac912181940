"""Training on packed sequences, the same code for nano and BAGEL-7B. Knows no world and no recipe.

From the data to the run: ``run_data`` (opened sources), ``model`` (the start, spread over ranks),
``objectives`` (losses), ``optim``, ``distributed``, ``checkpoint``, ``trainer``, ``export``. Nothing is
imported here, so that the command line can show its help without loading torch.
"""
