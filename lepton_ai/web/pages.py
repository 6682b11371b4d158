"""Pages from templates: one file each, with its stylesheet inside, asking nothing of the network."""

import base64
import hashlib
from functools import lru_cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from lepton_ai.core import unknown_name
from lepton_ai.web.numbers import count, significant

HERE = Path(__file__).parent


def render(template: str, *, script: str | None = None, **context: object) -> str:
    """The page that `templates/<template>` makes of `context`. Everything is escaped but markup.

    Templates see the stylesheet as `css` and a content policy as `policy`, which allows that stylesheet by its hash,
    pictures inside the page, and nothing else: no script, no request. With `script`, a file in `assets/`, templates
    see its text as `script`, and the policy allows that one, which may ask the page's own server.

    Raises: UnknownNameError if there is no such template.
    """
    environment = _environment()
    known = environment.list_templates()
    if template not in known:
        raise unknown_name("template", template, known, at="render")
    if script is not None:
        text = _asset(script)
        policy = f"{environment.globals['policy']}; connect-src 'self'; script-src 'sha256-{_digest(text)}'"
        context |= {"script": Markup(text), "policy": Markup(policy)}
    return environment.get_template(template).render(**context)


@lru_cache(maxsize=8)
def _asset(name: str) -> str:
    return (HERE / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _cell(value: object) -> object:
    """A table's cell: numbers are written for people, the rest as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return count(value) if isinstance(value, int) else significant(value, 4)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = _asset("lepton.css")
    environment.globals["css"] = Markup(css)
    environment.globals["policy"] = Markup(
        "default-src 'none'; img-src data:; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
    ).format(_digest(css))
    environment.filters["cell"] = _cell
    return environment
