"""One HTML file that denoises by itself: models as data, and JavaScript to run them."""
