"""Compare training without clean images to training with them."""
