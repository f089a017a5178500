"""Reports of an evaluation: tables, plots, pictures and the HTML page."""
