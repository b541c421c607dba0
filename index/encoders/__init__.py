"""The models: what there is, what it is made of, how it runs."""
