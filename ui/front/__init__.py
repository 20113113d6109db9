"""Streamlit's entry script, the page's frame, and our few components: Python, CSS and JS files, no build.

`main.py` is the script Streamlit runs; nothing imports it. Components show foreign text as text and nothing else.
"""
