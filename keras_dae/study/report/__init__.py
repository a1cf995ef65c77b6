"""Sections in order, as Markdown and HTML."""
