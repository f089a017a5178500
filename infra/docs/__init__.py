"""The documentation's site: its sources, its reference made from the code, and the build."""
