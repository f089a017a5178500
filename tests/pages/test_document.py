"""What all pages have in common."""

import base64
import hashlib
import re

import pytest

from rayboot.pages import render_document

TEMPLATE = """{% extends "document.html.j2" %}
{% block links %}<li>a link</li>{% endblock %}
{% block sections %}<p>{{ text }}</p><img src="{{ image|data_uri }}">{% endblock %}"""
VALUES = {"title": "</title><script>", "summary": "&", "text": "<b>", "image": b"\x89PNG"}


def render(template: str = TEMPLATE, **values: object) -> str:
    return render_document(template, {**VALUES, **values}, ".own {}", ["const own = 1;"])


def test_names_are_escaped() -> None:
    page = render()
    assert page.count("<script") == page.count("</script>") == 2
    assert "<b>" not in page and "&lt;b&gt;" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page


def test_the_policy_allows_the_scripts_of_the_page_alone() -> None:
    page = render()
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert scripts[-1] == "const own = 1;" and "sortTable" in scripts[0]


def test_a_page_has_its_own_styles_after_the_common_ones() -> None:
    page = render()
    assert page.index(".sortable") < page.index(".own {}")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12.3, "+12"), (-12.6, "−13"), (0.2, "0"), (-0.4, "0"), (float("nan"), "–")],
)
def test_signed_numbers(value: float, text: str) -> None:
    template = TEMPLATE.replace("{{ text }}", "{{ value|signed(0) }}")
    assert f"<p>{text}</p>" in render(template, value=value)
