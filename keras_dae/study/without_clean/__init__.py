"""How near training without clean images comes to training with them."""
