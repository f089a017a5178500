"""Reports of an evaluation: summary, tables, plots, panels and the HTML page."""
