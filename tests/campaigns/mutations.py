"""Breaks the program on purpose, line by line of what it promises, and sees that a test fails each time.

    python -m tests.campaigns.mutations                 all of them (some minutes)
    python -m tests.campaigns.mutations fsync hour      those whose name holds one of the words

Each mutation is a small edit in a copy of the tree; the tests named beside it are run there and must fail. A mutation
that no test notices is a promise that nobody guards."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.campaigns.mutations_reading import READING
from tests.campaigns.mutations_stores import STORES

HERE = Path(__file__).resolve().parents[2]
DAEMON = "tests/blackbox/test_daemon.py"
CONTRACT = "tests/blackbox/test_contract.py"
RUNNING = "tests/blackbox/test_running.py"
ENDPOINTS = "tests/test_http_endpoints.py"
CHANNEL = "tests/test_http_channel.py"
GROWTH = "tests/test_growth.py"
JOURNAL = "tests/test_journal.py"
SETTINGS = "tests/test_settings.py"
KEYS = "tests/test_object_keys.py"
SHIP = "tests/test_ship_specimens.py"
SEAL = "tests/test_seal.py"
ADOPTION = "tests/test_adoption.py"
IDEMPOTENCY = "tests/test_idempotency.py"
UNREADABLE = "tests/test_unreadable.py"
HISTORIES = "tests/simulation/test_histories.py"
CRASH_POINTS = "tests/simulation/test_crash_points.py"


@dataclass(frozen=True)
class Mutation:
    """An edit that breaks a promise; ``tests`` are pytest's arguments."""

    promise: str
    file: str
    old: str
    new: str
    tests: str


def _m(promise: str, file: str, old: str, new: str, tests: str) -> Mutation:
    return Mutation(promise, "lf6gateway/" + file, old, new, tests)


MUTATIONS = [
    # What was refused.
    _m(
        "a specimen that was refused at its last step may come back",
        "disk/specimen_writer.py",
        "            _withdraw(fs, final)\n",
        "            pass\n",
        "tests/test_specimen_file.py",
    ),
    _m(
        "a specimen is shipped before its name is durable",
        "disk/specimens.py",
        '        if not is_open(path.removesuffix(".spec") + ".part"):\n',
        "        if True:\n",
        "tests/test_specimen_file.py",
    ),
    # Durability.
    _m(
        "no fsync of the journal",
        "disk/journal.py",
        "            present.handle.write(parts)\n            present.handle.sync()\n",
        "            present.handle.write(parts)\n",
        JOURNAL,
    ),
    _m(
        "what was refused is not cut off durably",
        "disk/journal.py",
        "                present.handle.truncate(present.durable)\n                present.handle.sync()\n",
        "                present.handle.truncate(present.durable)\n",
        JOURNAL,
    ),
    _m("no fsync of a new segment's folder", "disk/journal.py", "            self._fs.sync_dir(folder)\n", "", JOURNAL),
    _m(
        "no fsync of a specimen",
        "disk/specimen_writer.py",
        "            handle.sync()\n",
        "",
        "tests/test_specimen_file.py",
    ),
    _m(
        "no fsync of a specimen's folder",
        "disk/specimen_writer.py",
        "        fs.sync_dir(os.path.dirname(path))\n",
        "        pass\n",
        "tests/test_specimen_file.py",
    ),
    _m(
        "answered before the flush",
        "disk/journal.py",
        "        work.addBoth(self._flushed, group, rotations, size)\n",
        "        for _, early in group:\n            early(None)\n"
        "        work.addBoth(self._flushed, [], rotations, size)\n",
        JOURNAL,
    ),
    _m(
        "a segment is trusted again after an error",
        "disk/journal.py",
        "            self._give_up(closed)\n",
        "",
        JOURNAL,
    ),
    _m("a half-written tail is not cut", "disk/segment.py", "min(segment.size, size)", "size", SEAL),
    _m(
        "a member's folder is not synced before its segment goes",
        "disk/seal.py",
        "        fs.sync_dir(folder)\n    else:",
        "    else:",
        CRASH_POINTS,
    ),
    _m(
        "the segment goes before its member",
        "disk/seal.py",
        "    if member.records:\n        if keys:",
        "    fs.unlink(segment.path)\n    if member.records:\n        if keys:",
        SEAL,
    ),
    _m(
        "a member made before an error is not looked for",
        "disk/seal.py",
        "    if made is not None:\n",
        "    if False:\n",
        SEAL,
    ),
    _m(
        "recovery skips the last segment",
        "disk/folders.py",
        "    hour.segments.sort(key=lambda segment: segment.ordinal)\n",
        "    hour.segments.sort(key=lambda segment: segment.ordinal)\n    del hour.segments[-1:]\n",
        DAEMON + " -k kill_nine",
    ),
    _m(
        "a quarantined file is deleted",
        "disk/quarantine.py",
        "        self._fs.rename(path, target)\n",
        "        self._fs.unlink(path)\n",
        "tests/test_unreadable.py tests/test_seal.py",
    ),
    _m(
        "damage ends the segment",
        "disk/segment.py",
        '            yield Bad(at, header.length, "the records do not fit their checksum")\n            at += header.length\n            continue\n',
        '            yield Bad(at, end - at, "the records do not fit their checksum")\n            return\n',
        RUNNING + " -k damaged",
    ),
    _m(
        "a member is not compared with its digest",
        "disk/folders.py",
        "    if digest_of(file.member, digest) != file.member.digest:",
        "    if not file:",
        "tests/test_unreadable.py",
    ),
    _m(
        "a file is set aside before its note is durable",
        "disk/quarantine.py",
        "        self._fs.sync_dir(os.path.dirname(target))\n\n    def _count",
        "\n    def _count",
        UNREADABLE,
    ),
    _m(
        "a flipped bit of a small text is believed",
        "values/checked.py",
        "fields.pop(_CHECK, None) != _sum(fields)",
        "fields.pop(_CHECK, None) is None",
        UNREADABLE,
    ),
    _m(
        "a flipped bit of a key is believed",
        "values/checked.py",
        "items.pop() != _sum(items)",
        "not items.pop()",
        IDEMPOTENCY,
    ),
    _m(
        "a damaged beginning costs the whole segment",
        "disk/segment.py",
        "            if next_header(handle, len(start), end) is None:\n                raise",
        "            if True:\n                raise",
        SEAL,
    ),
    _m(
        "a start removes a segment before its member's name is durable",
        "disk/folders.py",
        "        fs.sync_dir(folder)  # the process",
        "        pass  # the process",
        SEAL,
    ),
    _m("an error refuses what was kept before it", "disk/journal.py", "start = kept = end", "start = end", JOURNAL),
    _m("keys count as what waits", "disk/folders.py", 'if ending in ("seg", "gz"):', "if True:", SEAL),
    _m(
        "keys of an earlier process count before they are sealed",
        "disk/keyfile.py",
        'if parsed[2] == "seg" and fs.exists(path):',
        "if False:",
        IDEMPOTENCY,
    ),
    _m(
        "an adoption that was not synced is trusted",
        "disk/adoption.py",
        "                if not all(self._there(stream, name) for name in names):\n",
        "                if True:\n",
        ADOPTION,
    ),
    _m(
        "sources go before what was adopted is durable",
        "disk/adoption.py",
        "            handle.sync()\n        finally:\n            handle.close()\n        self._fs.sync_dir(folder)\n        if names:",
        "        finally:\n            handle.close()\n        self._fs.sync_dir(folder)\n        if names:",
        CRASH_POINTS + " -k adoption",
    ),
    # Exactness.
    _m(
        "If-None-Match left out",
        "stores/s3.py",
        '        return {"If-None-Match": "*"}\n',
        "        return {}\n",
        "tests/test_store_conformance.py tests/test_s3_http.py",
    ),
    _m(
        "If-Match left out",
        "stores/s3.py",
        'return {"If-Match": condition.etag} if isinstance(condition, Unchanged) else {}',
        "return {}",
        "tests/test_store_conformance.py tests/test_s3_http.py",
    ),
    _m(
        "no condition on the first write",
        "services/hour.py",
        "condition=Absent()",
        "condition=None",
        GROWTH,
    ),
    _m(
        "no condition on a later write",
        "services/hour.py",
        "condition=Unchanged(present.etag)",
        "condition=None",
        GROWTH,
    ),
    _m(
        "retried without looking at the cursor",
        "services/hour.py",
        "            if number is not None:\n                for member in pending[:number]:\n                    member.shipped = True\n",
        "            if number is not None:\n",
        GROWTH,
    ),
    _m(
        "the chain of digests is not compared",
        "values/growth.py",
        "        if cursor == remote:\n            return number\n",
        "        if cursor.count == remote.count:\n            return number\n",
        GROWTH,
    ),
    _m(
        "what another writer wrote is dropped",
        "services/hour.py",
        "            whole = Body((base, *tail.slices))\n",
        "            whole = tail\n",
        GROWTH,
    ),
    _m(
        "another writer's cursor is dropped",
        "services/hour.py",
        "metadata = format_cursors(cursors, self._spool, target)",
        "metadata = format_cursors(NO_CURSORS, self._spool, target)",
        GROWTH,
    ),
    _m("metadata that left writers out do not say so", "values/growth.py", "        complete = False\n", "", GROWTH),
    _m(
        "a write is begun without noting it",
        "services/hour.py",
        "        await self._note(multipart=True)\n        written",
        "        written",
        GROWTH,
    ),
    _m(
        "members go before the object is seen to hold them",
        "services/hour.py",
        "            present = await self._store.head(self.key)\n            await self._compare(present)\n            if self._pending():\n                return False\n",
        "",
        GROWTH,
    ),
    _m(
        "the hour of upload in the key",
        "disk/journal.py",
        "                slot = Slot.at(entries[start].received_ns)\n",
        "                import time\n                slot = Slot.at(time.time_ns())\n",
        "tests/test_hours_turn.py",
    ),
    _m(
        "one segment for two hours",
        "disk/journal.py",
        "entries[end].received_ns // HOUR_NS == slot.number",
        "True",
        "tests/test_hours_turn.py",
    ),
    _m(
        "a moment can come twice",
        "values/moment.py",
        "max(self._now_ns(), self.last_ns + 1)",
        "self._now_ns()",
        "tests/test_receive.py",
    ),
    _m("a specimen's object is overwritten", "services/send_specimen.py", "condition=Absent()", "condition=None", SHIP),
    _m(
        "a specimen's retry does not look for its own",
        "services/send_specimen.py",
        'present.metadata.get("specimen-id") == specimen.head.id',
        "False",
        SHIP,
    ),
    _m(
        "a specimen goes from disk before it is stored",
        "services/ship_specimens.py",
        "        sent = await self._send(item, specimen)\n",
        "        await self._offload(lambda: self._files.finish(item.path, False))\n        sent = await self._send(item, specimen)\n",
        SHIP,
    ),
    _m(
        "no deadline",
        "stores/http.py",
        "    call = clock.callLater(seconds, give_up)\n",
        "    call = clock.callLater(1e9, give_up)\n",
        "tests/test_s3_http.py " + DAEMON + " -k hangs",
    ),
    # Idempotency keys.
    _m(
        "a repeated key is stored twice",
        "services/receive.py",
        "            if self._keys.seen(digest, self._now_ns()):\n                return False\n",
        "",
        "tests/test_receive.py " + HISTORIES,
    ),
    _m(
        "keys are not read at a start",
        "services/assembly.py",
        "                self.keys.remember(digest_of(use.stream, use.user, use.key), use.received_ns)\n",
        "                pass\n",
        DAEMON + " -k idempotency",
    ),
    _m(
        "keys do not go to disk with the record",
        "services/receive.py",
        "Entry(self._moments.next(), user, lines, count, key, request_id)",
        "Entry(self._moments.next(), user, lines, count, None, request_id)",
        "tests/test_receive.py",
    ),
    _m(
        "records of a batch share an id",
        "values/envelope.py",
        "            number += len(records)\n",
        "",
        "tests/test_envelope.py",
    ),
    _m("data is not what was sent", "values/envelope.py", "%b%010x%b%b}", "%b%010x%b%b }", "tests/test_envelope.py"),
    # The client.
    _m(
        "what the client was given is not synced",
        "client/outbox.py",
        "            os.fdatasync(growing.descriptor)\n",
        "",
        "tests/test_client_queue.py",
    ),
    _m(
        "what may have been kept is not marked",
        "client/courier.py",
        "return self._outbox.mark(parcel, int(self._now()))",
        "return parcel",
        "tests/test_client_queue.py",
    ),
    _m(
        "an attempt that was left open is forgotten",
        "client/courier.py",
        "if verdict.certain and parcel.key not in self._open_before:",
        "if verdict.certain:",
        "tests/test_client_queue.py",
    ),
    _m(
        "a living process is robbed of its queue",
        "client/folder.py",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
        "tests/test_client_queue.py",
    ),
    _m(
        "each attempt has a key of its own",
        "client/parts.py",
        '"Idempotency-Key": parcel.key}',
        '"Idempotency-Key": secrets.token_hex(16)}',
        "tests/blackbox/test_client.py -k retry_after",
    ),
    # HTTP.
    _m(
        "nobody may send",
        "edges/identify.py",
        "    if not token:\n        raise Refused(no_user())\n",
        '    token = token or b"anybody"\n',
        DAEMON + " -k wrong " + ENDPOINTS,
    ),
    _m("User-Token is not taken", "edges/identify.py", '(b"user_token", b"user-token")', '(b"user_token",)', ENDPOINTS),
    _m(
        "Authorization is not taken",
        "edges/identify.py",
        '    for value in fields(b"authorization"):',
        "    for value in ():",
        ENDPOINTS,
    ),
    _m(
        "a user is named ..",
        "values/username.py",
        '    if name in (".", ".."):',
        "    if False:",
        "tests/test_username.py",
    ),
    _m(
        "a user's name holds a slash",
        "values/username.py",
        'if character in "/\\\\":',
        "if False:",
        "tests/test_username.py " + DAEMON + " -k wrong",
    ),
    _m(
        "no bound after decoding",
        "edges/body.py",
        "            if total > most:\n                raise TooMuch\n",
        "",
        ENDPOINTS + " -k bomb",
    ),
    _m(
        "no bound on a report",
        "edges/endpoints.py",
        "        if head.length > most:\n            raise Refused(problems.too_large(most))\n",
        "        pass\n",
        CHANNEL + " " + ENDPOINTS,
    ),
    _m(
        "a batch is taken in part",
        "values/json_record.py",
        "            raise JsonProblem(position, _column(before), fault.why)\n",
        "            continue\n",
        ENDPOINTS + " tests/test_json_record.py",
    ),
    _m(
        "line breaks stay in a record",
        "values/json_record.py",
        "        return record.translate(_TO_ONE_LINE)  # a",
        "        return record  # a",
        "tests/test_json_record.py",
    ),
    _m(
        "broken UTF-8 is taken",
        "values/json_record.py",
        '            return Fault(error.start, "these bytes are not UTF-8")\n',
        "            return None\n",
        "tests/test_json_record.py",
    ),
    _m(
        "problems have no request id",
        "values/problem.py",
        '"request_id"',
        '"id"',
        ENDPOINTS + " " + DAEMON + " -k wrong",
    ),
    _m("405 without Allow", "edges/problems.py", '        headers=((b"Allow", methods),),\n', "", ENDPOINTS),
    _m("503 without Retry-After", "edges/message.py", "Retry-After", "X-Retry", ENDPOINTS),
    _m("health is not healthy", "edges/endpoints.py", '{"status":"healthy"}', '{"status":"ok"}', ENDPOINTS),
    _m(
        "ready while draining",
        "edges/endpoints.py",
        "        _check_ready(self._door.receiver.refusal())\n        return _READY\n",
        "        return _READY\n",
        ENDPOINTS,
    ),
    # Names.
    _m(
        "dots in the hostname",
        "values/object_key.py",
        '[^A-Za-z0-9_-]"',
        '[^A-Za-z0-9._-]"',
        "tests/test_hours_turn.py " + KEYS,
    ),
    _m(
        "the query is taken into the name",
        "values/specimen_key.py",
        'uri.split("#", 1)[0].split("?", 1)[0]',
        "uri",
        KEYS,
    ),
    _m(
        "odd characters in the name",
        "values/specimen_key.py",
        '_UNSAFE.sub("_", path.rpartition("/")[2])',
        'path.rpartition("/")[2]',
        KEYS,
    ),
    _m("keys longer than 1,024 bytes", "values/specimen_key.py", "stem[: max(1, room)]", "stem", KEYS),
    _m(
        "metadata beyond 2 KB",
        "values/specimen_key.py",
        '        escaped = re.sub(r"%[0-9A-F]?$", "", escaped[:room])',
        "        escaped = escaped",
        KEYS + " " + CONTRACT + " -k long_uri",
    ),
    _m(
        "the sender's Content-Type is lost",
        "values/specimen_key.py",
        "        return sent.strip()\n",
        '        return "application/octet-stream"\n',
        CONTRACT + " -k content_type",
    ),
    _m(
        "a specimen is shipped as another user's",
        "services/send_specimen.py",
        "prefix, specimen.head.user, specimen.head.uri",
        'prefix, "unknown", specimen.head.uri',
        CONTRACT + " -k keep_their_users",
    ),
    # Configuration.
    _m(
        "no suggestion for an unknown key",
        "values/settings_source.py",
        "    return best\n",
        "    return None\n",
        SETTINGS,
    ),
    _m(
        "usage and error may collide",
        "values/settings_rules.py",
        "    if (s3.usage_bucket, s3.usage_prefix) == (s3.error_bucket, s3.error_prefix):",
        "    if False:",
        SETTINGS,
    ),
    _m(
        "virtual-host style with an endpoint",
        "stores/http.py",
        "    if endpoint is not None:\n        return Bucket(name",
        "    if False:\n        return Bucket(name",
        "tests/test_store_conformance.py tests/test_s3_http.py",
    ),
    _m(
        "a wrong configuration is only a warning at a reload",
        "edges/tap.py",
        '            _log.error("the configuration is not taken over, the running one is kept")\n',
        "            self._stop()\n",
        DAEMON + " -k read_again",
    ),
    _m(
        "a bad configuration ends with status 0",
        "edges/tap.py",
        '            raise SystemExit("\\n".join(problems))\n',
        '            print("\\n".join(problems), file=sys.stderr)\n            raise SystemExit(0)\n',
        DAEMON + " -k every_mistake",
    ),
    # Limits and stopping.
    _m(
        "no limit of the spool",
        "disk/space.py",
        "        if over > 0:",
        "        if False:",
        "tests/test_space.py",
    ),
    _m("no floor of the disk", "disk/space.py", "        if short > 0:", "        if False:", "tests/test_space.py"),
    _m(
        "Retry-After does not follow the drain",
        "disk/space.py",
        "        return max(_SHORTEST, min(_LONGEST, round(size / rate + 0.5)))",
        "        return 30",
        "tests/test_space.py",
    ),
    _m(
        "a disk that failed is not tried again",
        "services/retain.py",
        "            self._space.note_success()\n",
        "",
        "tests/test_unreadable.py",
    ),
    _m(
        "a stop ships nothing",
        "services/gateway.py",
        "            self._draining = Deferred.fromCoroutine(self._drain(parts))\n",
        "            self._draining = Deferred.fromCoroutine(parts.outlets.close())\n",
        DAEMON + " -k everything",
    ),
    _m(
        "a stop drops what is in flight",
        "edges/listening.py",
        "await self._see_off(self._site.drain(), deadline)",
        "True",
        CONTRACT + " -k in_flight",
    ),
    _m(
        "a stop has no deadline",
        "services/gateway.py",
        "            await self._until(deadline, self._draining)\n",
        "            await self._draining\n",
        CONTRACT + " -k ends_at_its_deadline",
    ),
    _m(
        "two processes share a cache",
        "disk/lock.py",
        "            if not _locked(descriptor):\n                raise",
        "            if False:\n                raise",
        "tests/test_lock.py",
    ),
    _m(
        "what an operator must mend is not retried",
        "services/ship_hours.py",
        "            self._due.add(hour.slot)  # the breaker makes it wait, with all others\n",
        "",
        CONTRACT + " -k bucket_was_missing",
    ),
    _m(
        "waiting specimens are not found at a start",
        "services/ship_specimens.py",
        "        self._backlog.walk_at(self._clock.seconds())\n        self._remind",
        "        self._remind",
        SHIP + " " + CONTRACT + " -k keep_their_users",
    ),
    _m(
        "a loop ends of an error",
        "services/heartbeat.py",
        "        return work.addCallbacks(self._went_well, self._went_wrong)",
        "        return work.addCallback(self._went_well)",
        "tests/test_heartbeat.py",
    ),
    _m(
        "the first start adopts nothing",
        "services/gateway.py",
        "            await self._adopt(probe, parts)\n",
        "",
        CRASH_POINTS + " -k adoption",
    ),
    _m(
        "secrets are shown",
        "stores/signing.py",
        "    secret: str = field(repr=False)",
        "    secret: str",
        "tests/test_signing.py",
    ),
    *(_m(*each) for each in STORES),
    *(_m(*each) for each in READING),
]


def _pytest(tree: Path, tests: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, timeout=seconds, check=False)


def tried(mutation: Mutation, tree: Path) -> str:
    """What became of it: ``found``, ``NOT NOTICED``, or what kept it from being tried."""
    target = tree / mutation.file
    text = target.read_text()
    if text.count(mutation.old) < 1:
        return "STALE: the line is not there any more"
    target.write_text(text.replace(mutation.old, mutation.new))
    try:
        try:
            run = _pytest(tree, mutation.tests.split(), 400)
        except subprocess.TimeoutExpired:
            return "found (the tests did not end)"
        if run.returncode == 0:
            return "NOT NOTICED"
        failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if run.returncode != 1 or not failed:
            return f"BROKEN: pytest ended with {run.returncode}: {run.stdout[-300:]} {run.stderr[-300:]}"
        return "found by " + failed[0].split(" - ")[0].partition(" ")[2]
    finally:
        target.write_text(text)


def untouched(tree: Path, chosen: Sequence[Mutation]) -> str:
    """Run the tests on the unbroken program: one that fails there tells nothing. What failed; empty if nothing did."""
    files = dict.fromkeys(word for one in chosen for word in one.tests.split() if word.startswith("tests/"))
    run = _pytest(tree, list(files), 1800)
    return "" if run.returncode == 0 else run.stdout[-2000:] + run.stderr[-500:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutations", description=__doc__)
    parser.add_argument("words", nargs="*", help="only those whose promise holds one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trust", action="store_true", help="do not run the tests on the unbroken program first")
    options = parser.parse_args()
    chosen = [one for one in MUTATIONS if not options.words or any(word in one.promise for word in options.words)]
    with tempfile.TemporaryDirectory(prefix="lf6gateway-mutations-") as folder:
        trees = []
        for number in range(options.jobs):
            tree = Path(folder) / str(number)
            ignored = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
            shutil.copytree(HERE, tree, ignore=ignored)
            trees.append(tree)
        if not options.trust and (failed := untouched(trees[0], chosen)):
            sys.exit(f"the tests fail on the unbroken program, so they prove nothing:\n{failed}")

        def attempt(mutation: Mutation) -> tuple[Mutation, str, float]:
            tree = trees.pop()
            begun = time.monotonic()
            try:
                return mutation, tried(mutation, tree), time.monotonic() - begun
            finally:
                trees.append(tree)

        bad = 0
        with ThreadPoolExecutor(len(trees)) as pool:
            for mutation, outcome, seconds in pool.map(attempt, chosen):
                bad += not outcome.startswith("found")
                print(f"{mutation.promise:<60} {seconds:5.1f} s  {outcome}", flush=True)
    print(f"{len(chosen)} mutations, {bad} not noticed or not tried")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
