"""nano from fresh weights to the shipped folder: tokenizer, autoencoder, stages."""
