"""What goes in: data sets, noise, and the generator of pairs."""
