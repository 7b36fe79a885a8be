"""Edits that break a promise of reading what was delivered: its words, the file, what is there, what is put in its place,
the tests."""

from __future__ import annotations

WINDOW = "tests/test_window.py"
UNPACK = "tests/test_unpack.py"
CHECK = "tests/test_object_check.py"
LIST = "tests/test_delivered_list.py"
FOLLOW = "tests/test_following.py"
REPORT = "tests/test_report.py"
COMMANDS = "tests/blackbox/test_reading.py"
PARTS = "tests/test_store_conformance.py -k part_of_an_object"

READING: list[tuple[str, str, str, str, str]] = [
    (
        "reading: an hour is in no prefix",
        "values/window.py",
        "            at += timedelta(hours=1)\n",
        "            at += timedelta(hours=1 + (at.hour == 7))\n",
        WINDOW,
    ),
    (
        "reading: a month is a prefix though its end is not asked for",
        "values/window.py",
        "elif (at.day, at.hour) == (1, 0) and next_month <= end:",
        "elif (at.day, at.hour) == (1, 0):",
        WINDOW,
    ),
    (
        "reading: one hour lists its year",
        "services/catalogue.py",
        "prefixes = [source.prefix + one for one in hour_prefixes(*bounds)]",
        'prefixes = [f"{source.prefix}{year}/" for year in sorted({bounds[0].path[:4], bounds[1].path[:4]})]',
        LIST,
    ),
    (
        "reading: damage ends an object",
        "values/unpack.py",
        "            self._skip = self._begun + self._member.packed_bytes - self.offset\n",
        "            self._skip = 1 << 60\n",
        UNPACK,
    ),
    (
        "reading: ours are not looked for behind damage",
        "values/unpack.py",
        "        place = self._buffer.find(_OURS)\n",
        "        place = -1\n",
        UNPACK,
    ),
    (
        "reading: a member is as long as it is",
        "values/unpack.py",
        "if member is not None and (self.offset - self._begun, self._raw) != (member.packed_bytes, member.raw_bytes):",
        "if False:",
        UNPACK,
    ),
    (
        "reading: two writers' records are glued",
        "values/record_lines.py",
        "                yield from self.end()  # what",
        "                yield from ()  # what",
        UNPACK,
    ),
    (
        "reading: anybody's envelope is believed",
        "values/enveloped.py",
        " or (member is not None and head[4].decode() != member.id)",
        "",
        CHECK,
    ),
    (
        "reading: a segment may be there twice",
        "values/object_check.py",
        "if member.id in self._ids:",
        "if False:",
        CHECK,
    ),
    (
        "reading: the metadata's chain is not compared",
        "values/object_check.py",
        "elif there != cursor:",
        "elif False:",
        CHECK,
    ),
    (
        "reading: a digest is not compared",
        "values/object_check.py",
        "if event.digest_fits is False:",
        "if False:",
        CHECK,
    ),
    (
        "reading: what broke off begins anew",
        "services/patient.py",
        "                        start += len(chunk)\n",
        "",
        LIST,
    ),
    (
        "reading: a list that broke off begins anew",
        "services/patient.py",
        "                            after = max(one.key for one in fresh)\n",
        "",
        LIST,
    ),
    (
        "reading: an object that grew is read anew",
        "services/following.py",
        "self._known[found.key] = _Followed(found.slot, found.size)",
        "self._known[found.key] = _Followed(found.slot, 0)",
        FOLLOW,
    ),
    (
        "reading: late hours are not followed",
        "services/following.py",
        "far = self._rounds % _FAR_EVERY == 0",
        "far = False",
        FOLLOW,
    ),
    (
        "reading: what comes meanwhile comes twice",
        "services/last_records.py",
        "size = min(size, self._known.sizes.get(found.key, 0))",
        "size = min(size, self._known.sizes.get(found.key, size))",
        FOLLOW,
    ),
    (
        "reading: the last records cost the whole object",
        "services/last_records.py",
        "            start = _start(members, count) if members is not None else 0\n",
        "",
        FOLLOW,
    ),
    (
        "reading: a closed pipe is not seen",
        "edges/records_out.py",
        "        if any(event & _GONE for _, event in poll.poll(0)):",
        "        if False:",
        f"{COMMANDS} -k follows",
    ),
    (
        "reading: a specimen is not compared",
        "edges/specimen_out.py",
        "if told is not None and told != digest.hexdigest():",
        "if False:",
        f"{COMMANDS} -k damaged",
    ),
    (
        "reading: a specimen may be hidden or leave",
        "edges/specimen_out.py",
        'name = _UNSAFE.sub("_", text)',
        "return text",
        "tests/test_specimen_out.py",
    ),
    (
        "reading: HTML is obeyed",
        "values/report_html.py",
        "escape(printable(str(text)), quote=True)",
        "str(text)",
        REPORT,
    ),
    (
        "reading: a terminal obeys",
        "values/printable.py",
        "    if text.isprintable():\n        return text\n",
        "    return text\n",
        REPORT,
    ),
    (
        "reading: what is counted grows for ever",
        "values/top.py",
        "        if len(self._counts) >= 2 * self._most:\n",
        "        if False:\n",
        REPORT,
    ),
    (
        "reading: a store that ignores ranges is believed",
        "stores/http.py",
        "            return self.start\n",
        "            return 0\n",
        "tests/test_s3_http.py -k range",
    ),
    (
        "reading: a part is the whole",
        "stores/s3.py",
        "span = None if not start and length is None else Range(start, length)",
        "span = None",
        PARTS,
    ),
    (
        "reading: a file is closed under a read",
        "stores/open_file.py",
        "now = not self._closing and not self._reading",
        "now = not self._closing",
        "tests/test_directory_store.py",
    ),
]
