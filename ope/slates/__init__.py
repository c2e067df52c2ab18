"""Rankings: the weights of whole slates, prefixes and slots, brought into columns; sums nothing."""
