"""Write the table of docs/security.md: each claim about security, and the tests that hold it.

A test names its claim in a marker, `@pytest.mark.holds("One sentence.")`, and the docstring of its
file is the heading under which it stands. `python scripts/security_table.py` writes the table;
a test fails while the page differs.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs" / "security.md"
BEGIN = "<!-- claims: written by scripts/security_table.py -->"
END = "<!-- /claims -->"


def claims(file: Path) -> Iterator[tuple[str, str]]:
    """Yield claim and name of each marked test in a file."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.holds":
                (claim,) = mark.args
                yield str(ast.literal_eval(claim)), node.name


def heading(file: Path) -> str:
    """The first line of a file's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem
    return text.splitlines()[0].rstrip(".")


def table(tests: Path = CHECKOUT / "tests") -> str:
    """All claims in Markdown: a heading a file, a row a claim."""
    parts = []
    for file in sorted(tests.rglob("test_*.py")):
        rows: dict[str, list[str]] = {}
        for claim, name in claims(file):
            rows.setdefault(claim, []).append(f"`{name}`")
        if rows:
            place = file.relative_to(tests.parent).as_posix()
            lines = [f"| {claim} | {', '.join(names)} |" for claim, names in rows.items()]
            parts.append(
                f"### {heading(file)}\n\n`{place}`\n\n| claim | held by |\n|---|---|\n"
                + "\n".join(lines)
            )
    return "\n\n".join(parts)


def page() -> str:
    """The whole page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
