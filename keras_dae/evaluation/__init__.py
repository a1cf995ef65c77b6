"""How good it is: metrics, floors and filters, scores, claims."""
