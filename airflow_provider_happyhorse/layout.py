"""Pure: where below a folder a result goes, from ids and names that anybody may have chosen.

Every component is percent-encoded so that it can neither climb nor split nor hide, and so that two different names never become one
path. Letters and digits of any script stay readable.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass

#: Bytes of one encoded component; longer ones are cut and end in ``~`` and a hash. Name, id, number and extension stay below 255 together.
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

    Different texts give different components: what is encoded is decodable, and ``~``, which is always encoded otherwise, marks the cut
    and the empty ones.

    :param hyphens_apart: also encode a hyphen in front or after another, so that ``--`` can stand between components.
    """
    # File systems that normalise Unicode (macOS) would make one name of two spellings; whoever uses the rarer one gets it encoded.
    readable = unicodedata.is_normalized("NFC", text)
    pieces = [_encoded(char, readable=readable) for char in text]
    if pieces and text[0] == ".":
        pieces[0] = "%2E"
    if hyphens_apart:
        pieces = ["%2D" if char == "-" and text[:index][-1:] in ("", "-") else pieces[index] for index, char in enumerate(text)]
    whole = "".join(pieces)
    if len(whole.encode()) <= LONGEST:
        return whole or "~"
    mark = f"~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
    kept, left = "", LONGEST - len(mark)
    for piece in pieces:
        left -= len(piece.encode())
        if left < 0:
            break
        kept += piece
    return kept + mark


def _encoded(char: str, *, readable: bool) -> str:
    if (char.isalnum() and (readable or char.isascii())) or char in "-_.":
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def default_stem(where: Where, *, name: str | None, generation_id: str) -> str:
    """Return ``<dag_id>/<run id>/<name>--<generation_id>``, without an extension; without a name the id alone.

    The last ``--`` separates the two: in an id no hyphen follows another or stands in front.
    """
    ident = component(generation_id, hyphens_apart=True)
    file = f"{component(name)}--{ident}" if name else ident
    return f"{component(where.dag_id)}/{component(where.run_id)}/{file}"
