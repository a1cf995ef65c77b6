"""A self-contained HTML page: models as data, and JavaScript to run them."""
