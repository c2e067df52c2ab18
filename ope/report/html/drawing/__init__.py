"""Draws plots as SVG with matplotlib, which nothing else speaks: units are CSS pixels, colours are the page's."""
