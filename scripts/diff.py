"""Print what a pull request changes, as Markdown: two cloud assemblies compared, stack by stack."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from stacks.assembly import NoAssembly, stacks

CDK = Path(__file__).parents[1] / "node_modules" / ".bin" / "cdk"
NO_CHANGE = "There were no differences"


def sections(base: Path, head: Path) -> list[str]:
    """A Markdown section for each stack that is added, removed or changed."""
    # An environment that the pull request brings has no assembly on the other side.
    before, after = stacks(base) if base.exists() else {}, stacks(head)
    found = [f"### {name}: removed\n" for name in sorted(before.keys() - after.keys())]
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.json"
        empty.write_text('{"Resources": {}}', encoding="utf-8")
        for name in sorted(after):
            text = _diff(head, name, before[name].path if name in before else empty)
            if NO_CHANGE not in text:
                state = "changed" if name in before else "added"
                found.append(f"### {name}: {state}\n\n```\n{text}\n```\n")
    return found


def _diff(assembly: Path, stack: str, template: Path) -> str:
    command = [str(CDK), "--app", str(assembly), "diff", stack, "--exclusively"]
    command += ["--template", str(template), "--no-color", "--no-notices"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"cdk diff failed on {stack}: {result.stderr.strip() or result.stdout.strip()}")
    # A line of backticks inside would end the block of code that the text is shown in.
    return (result.stdout + result.stderr).strip().replace("```", "` ` `")


def main() -> None:
    """Compare the assemblies given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="assembly of the branch that is merged into")
    parser.add_argument("head", type=Path, help="assembly of the branch that is merged")
    parser.add_argument("--title", help="first line of the output")
    given = parser.parse_args()
    try:
        found = sections(given.base, given.head)
    except NoAssembly as error:
        sys.exit(str(error))
    if given.title:
        print(f"## {given.title}\n")
    print("\n".join(found) if found else "No stack changes.\n")


if __name__ == "__main__":
    main()
