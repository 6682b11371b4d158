import base64
import hashlib
import re

import pytest

from lepton_ai.core import UnknownNameError
from lepton_ai.evaluation import Fact, Report, report_html
from lepton_ai.web import render

PAGE = report_html(Report(title="A page", facts=(Fact(label="n", value=1),)))


def test_the_policy_allows_this_stylesheet_and_nothing_else() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', PAGE)
    style = re.search(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    assert policy and style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy[1].replace("&#39;", "'")
    assert digest in policy[1]
    assert "unsafe" not in policy[1]


def test_the_page_asks_nothing_of_the_network() -> None:
    assert "http://" not in PAGE and "https://" not in PAGE
    assert not re.search(r"<(script|link|iframe|object|img)\b", PAGE)
    assert "url(" not in PAGE and "@import" not in PAGE
    assert not re.search(r"\sstyle=", PAGE)


def test_an_unknown_template_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown template 'reports.html'. Did you mean 'report.html'\?"):
        render("reports.html")
