"""The nine models of the paper: measured, compared, drawn."""
