"""Refuses sentences in comments and Markdown that begin with a subject clause: `words.py PATH...`.

"What is missing is an error" should be "A missing program is an error". Questions may begin so.
"""

import pathlib
import re
import sys

OPENING = re.compile(r"(Who|Whoever|Whom|Whose|What|Whatever|Whether)\b")
COMMENT = {".rs": r"\s*//[/!]?", ".yaml": r"\s*#", ".md": ""}
# List items, table cells, headings and code spans begin a sentence as a full stop does.
BREAK = re.compile(r"^\s*(?:[-*#>]|\d+\.) |[|]")


def paragraphs(path):
    """The comments of a file, or its whole text, as one line each, with the number of the first line."""
    comment, begun, text, is_code = re.compile(COMMENT[path.suffix]), 0, "", False
    for number, line in enumerate([*path.read_text().splitlines(), ""], 1):
        prefix = comment.match(line)
        content = line[prefix.end():].strip() if prefix else ""
        is_code ^= content.startswith("```")
        if not content or is_code or BREAK.search(content) or not text:
            yield begun, text
            begun, text = number, ""
        if not is_code:
            text += BREAK.sub("\n", content) + " "


def main():
    roots = [pathlib.Path(name) for name in sys.argv[1:]]
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*")))]
    found = [
        f"{path}:{number}: {sentence.strip()}"
        for path in files if path.suffix in COMMENT
        for number, text in paragraphs(path)
        for sentence in re.findall(r"[^.?!\n]+(?:[.?!](?!\s)[^.?!\n]+)*[.?!]?", text)
        if OPENING.match(sentence.strip()) and not sentence.strip().endswith("?")
    ]
    print("\n".join(found))
    return bool(found)


sys.exit(main())
