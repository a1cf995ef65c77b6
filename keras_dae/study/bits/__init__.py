"""How many bits latents take, and below how many bits a claim no longer holds."""
