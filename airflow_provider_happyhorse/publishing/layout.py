"""Pure: where below a folder a result goes, from ids and names that anybody may have chosen.

No component can climb, split or hide, and two different names never become one path. Letters and digits of any script stay readable.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass

#: Bytes of one component. Name, id, number and extension stay below the 255 of a file name together.
LONGEST = 96


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which task instance publishes.

    :param map_index: -1 for a task that is not mapped.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1


def component(text: str, *, hyphens_apart: bool = False) -> str:
    """Return a text as one component of a path: no separators, no ``.`` in front, no control characters, at most ``LONGEST`` bytes.

    What cannot stand in a path, an object's key and a URI alike becomes ``-``; then ``~`` and a hash of the text follow, so that
    different texts give different components. Percent-encoding would not do: a ``file://`` URI is decoded by whoever opens it.

    :param hyphens_apart: also replace a hyphen in front or after another, so that ``--`` can stand between components.
    """
    # File systems that normalise Unicode (macOS) would make one name of two spellings; whoever uses the rarer one gets the hash.
    normal = unicodedata.normalize("NFC", text)
    readable = "".join(char if char.isalnum() or char in "-_." else "-" for char in normal)
    if readable.startswith("."):
        readable = f"-{readable[1:]}"
    if hyphens_apart:
        readable = re.sub("-{2,}", "-", readable).lstrip("-")
    if readable and readable == text and len(text.encode()) <= LONGEST:
        return text
    mark = f"~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return _cut(readable, LONGEST - len(mark)) + mark


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def default_stem(where: Where, *, name: str | None, generation_id: str) -> str:
    """Return ``<dag_id>/<run id>/<name>--<generation_id>``, without an extension; without a name the id alone.

    The last ``--`` separates the two: in an id no hyphen follows another or stands in front.
    """
    ident = component(generation_id, hyphens_apart=True)
    file = f"{component(name)}--{ident}" if name else ident
    return f"{component(where.dag_id)}/{component(where.run_id)}/{file}"
