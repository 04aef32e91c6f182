"""What the documents say about the code is compared with the code."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

from realtime.core.lifecycle import diagram

DOCS = Path(__file__).parent.parent / "docs"


def test_the_state_diagram_is_the_table() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    drawn = text.partition("<!-- lifecycle -->\n```mermaid\n")[2].partition("\n```\n<!-- /lifecycle -->")[0]
    assert drawn == diagram()


def test_the_map_of_the_house_names_every_module_and_no_other() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = DOCS.parent / "realtime"
    modules = {path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")}
    modules = {module for module in modules if not module.endswith(("__init__", "__main__"))}
    modules -= {"core/config", "core/errors"}  # documents of their own explain these
    table = text.partition("| module | what it is for |\n|---|---|\n")[2].partition("\n\n")[0]
    places = [name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    found = {place: {module for module in modules if fnmatch(module, place)} for place in places}
    rooms = {"protocols/layers", "pytest_realtime"}  # one is empty, one beside the package
    assert {place for place, named in found.items() if not named} == rooms
    assert set().union(*found.values()) == modules
    assert len(found) == len(places), "something is named twice"


def test_links_between_documents_lead_somewhere() -> None:
    root = DOCS.parent
    for document in [*DOCS.glob("*.md"), root / "README.md", root / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_links_to_sections_lead_somewhere() -> None:
    root = DOCS.parent
    for document in [*DOCS.glob("*.md"), root / "README.md", root / "CHANGELOG.md"]:
        for target, section in re.findall(r"\]\(((?:[^)#:]+\.md)?)#([^)]+)\)", document.read_text(encoding="utf-8")):
            page = document.parent / target if target else document
            assert section in sections_of(page), f"{document.name} links to {target}#{section}"


def sections_of(page: Path) -> set[str]:
    """What the headings of a page are called in links to them."""
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_what_the_security_page_points_to_is_there() -> None:
    root = DOCS.parent
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`(tests/[a-z_/]+\.py)", text))
    names = set(re.findall(r"\b(test_[a-z0-9_]+)`", text))
    sources = "".join((root / file).read_text(encoding="utf-8") for file in files)
    assert names
    assert {name for name in names if f"def {name}(" not in sources} == set()


def _sources() -> dict[str, str]:
    """The sources of the package, of its tests and of the JavaScript client, by name."""
    root = DOCS.parent
    wanted = ("realtime/**/*.py", "tests/**/*.py", "client-js/src/**/*.js")
    paths = [path for pattern in wanted for path in root.glob(pattern) if "node_modules" not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_comments_refer_to_documents_that_are_here() -> None:
    elsewhere = re.compile(r"\bDES" + r"IGN\b|\(rules? \d|\brules \d")
    found = [name for name, text in _sources().items() if elsewhere.search(text)]
    assert found == []


def test_sections_that_comments_name_are_there() -> None:
    text = (DOCS / "protocol.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", text, re.MULTILINE))
    named = {
        (section, name)
        for name, source in _sources().items()
        for sections_named in re.findall(r"docs/protocol\.md\s+((?:§[\d.]*\d(?:, | to | and )?)+)", source)
        for section in re.findall(r"\d+(?:\.\d+)?", sections_named)
    }
    assert len(named) > 50
    assert {(section, name) for section, name in named if section not in sections} == set()


def test_there_is_one_glossary() -> None:
    documents = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    lines = {document.name: document.read_text(encoding="utf-8").splitlines() for document in documents}
    tables = [name for name, text in lines.items() for line in text if re.match(r"\|\s*(word|term)s?\s*\|", line)]
    assert tables == ["glossary.md"]
    headings = [name for name, text in lines.items() for line in text if re.match(r"#+ Glossary", line)]
    assert headings == ["glossary.md"]
    for name in ("architecture.md", "protocol.md"):
        assert any("](glossary.md)" in line for line in lines[name]), name


def test_the_glossary_says_each_word_once() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1:3] for row in text.splitlines() if row.startswith("| ")][1:]
    words = [word.strip() for named, _ in rows for word in named.split(",")]
    assert len(words) == len(set(words)) > 40
    assert all(meaning.strip() for _, meaning in rows)
