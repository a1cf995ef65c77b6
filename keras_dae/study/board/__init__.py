"""Every denoiser measured on the same test images."""
