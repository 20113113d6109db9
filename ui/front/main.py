"""The script Streamlit runs for every visit: page settings, style, navigation, then the page.

Pages are callables of `ui.pages`; there must be no folder `pages/` beside this file, as Streamlit would run its files.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ui.front import frame
from ui.pages import health, problem, queue, search

_HERE = Path(__file__).parent

st.set_page_config(page_title="airtriage", page_icon=str(_HERE / "icon.png"), layout="wide")
st.html(f"<style>{(_HERE / 'style.css').read_text('utf-8')}</style>")
st.logo(str(_HERE / "icon.svg"), size="medium")
page = st.navigation(
    [
        st.Page(queue.render, title="Queue", url_path="queue", default=True),
        st.Page(search.render, title="Search", url_path="search"),
        st.Page(health.render, title="Health", url_path="health"),
        st.Page(problem.render, title="Problem", url_path="problem", visibility="hidden"),
    ],
    position="top",
)
frame.around(page.run)
