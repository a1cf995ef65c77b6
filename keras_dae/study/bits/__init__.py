"""How many bits a latent takes, and from how few on a claim turns over."""
