"""Intervals around the answers of any denoiser, calibrated on validation images."""
