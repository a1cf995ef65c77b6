"""The nine models of the paper: scores, claims and figures."""
