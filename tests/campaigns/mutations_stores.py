"""Edits that break a promise of the stores: its words, the file, what is there, what is put in its place, the tests."""

from __future__ import annotations

HTTP = "tests/test_s3_http.py"
STORE = "tests/test_s3_store.py"
PROBE = "tests/test_probe.py"
FOLDER = "tests/test_directory_store.py"
KEYS = "tests/test_credentials.py"
ERRORS = "tests/test_s3_errors.py"
CONFORMANCE = "tests/test_store_conformance.py"

STORES: list[tuple[str, str, str, str, str]] = [
    # What goes is what was acknowledged.
    (
        "store: a whole body is not compared with its digest",
        "stores/producer.py",
        "        must_be(body.slices[0], strong.hexdigest())\n",
        "        pass\n",
        CONFORMANCE,
    ),
    (
        "store: the parts of a body are not compared with its digest",
        "stores/s3.py",
        "digests(part, self._read, comparison)",
        "digests(part, self._read)",
        CONFORMANCE,
    ),
    (
        "store: a folder takes what does not fit its digest",
        "stores/directory.py",
        "must_be(piece, _digest_of(out.fileno(), start, piece.length))",
        "pass",
        CONFORMANCE,
    ),
    (
        "store: a specimen's digest does not go to the store",
        "services/send_specimen.py",
        ", specimen.length, specimen.sha256)",
        ", specimen.length)",
        "tests/simulation/test_found.py",
    ),
    # What an answer says.
    (
        "store: an error with the status 200 is a success",
        "stores/http.py",
        'if asked.method != "GET" and holds_error(content):',
        "if False:",
        HTTP,
    ),
    ("store: a proxy's page is a success", "stores/http.py", "        if why:\n", "        if False:\n", HTTP),
    (
        "store: a page is read as an object",
        "stores/http.py",
        '            _same(found.get("etag", ""), headers.get("If-Match"), what)\n',
        "",
        HTTP,
    ),
    (
        "store: gzip is asked for",
        "stores/plain_agent.py",
        '[b"identity"]',
        '[b"gzip"]',
        HTTP,
    ),
    (
        "store: what is packed is unpacked",
        "stores/plain_agent.py",
        ".addCallback(_renamed)",
        "",
        HTTP,
    ),
    (
        "store: an object of no length is whole when it ends",
        "stores/reader.py",
        "(ResponseDone,) if limit is None else (ResponseDone, PotentialDataLoss)",
        "(ResponseDone, PotentialDataLoss)",
        HTTP,
    ),
    ("store: a look without an ETag is one", "stores/answers.py", "if not etag or not (", "if not (", HTTP),
    (
        "store: any list will do",
        "stores/answers.py",
        "if root is None or local(root) != name:",
        "if root is None:",
        HTTP,
    ),
    ("store: blanks before XML are an error", "stores/answers.py", '.lstrip(b" \\t\\r\\n")', "", ERRORS),
    (
        "store: a part without an ETag is one",
        "stores/s3.py",
        "        if not etag:\n            raise",
        "        if False:\n            raise",
        HTTP,
    ),
    (
        "store: an object of another size is the one just put",
        "stores/s3.py",
        "if present.size != size:",
        "if False:",
        STORE,
    ),
    # Connections and deadlines.
    (
        "store: a body given up leaves its connection",
        "stores/reader.py",
        '            getattr(real, "abortConnection", self._transport.loseConnection)()\n',
        "            del real\n",
        HTTP,
    ),
    (
        "store: an early answer leaves the body being sent",
        "stores/http.py",
        "                producer.abandon()\n",
        "                pass\n",
        HTTP,
    ),
    (
        "store: a file that cannot be read is the store's fault",
        "stores/producer.py",
        'raise StoreError(Kind.DAMAGED, f"read {path}", error.strerror or str(error), applied=False) from error',
        "raise",
        HTTP,
    ),
    (
        "store: a key that cannot be sent is the store's fault",
        "stores/http.py",
        'raise StoreError(Kind.REFUSED, what, f"no request can be made',
        'raise StoreError(Kind.TRANSIENT, what, f"no request can be made',
        HTTP,
    ),
    # Errors told apart.
    *(
        (
            f"store: {code} is told as another error",
            "stores/s3_errors.py",
            f'    "{code}": Kind.{kind},\n',
            "",
            ERRORS,
        )
        for code, kind in (
            ("SlowDown", "SLOW_DOWN"),
            ("RequestTimeTooSkewed", "SKEWED"),
            ("ExpiredToken", "EXPIRED"),
            ("NoSuchBucket", "NO_BUCKET"),
            ("AccessDenied", "DENIED"),
            ("ConditionalRequestConflict", "CONFLICT"),
            ("PermanentRedirect", "REGION"),
            ("AuthorizationHeaderMalformed", "REGION"),
        )
    ),
    (
        "store: a bare 400 from another region is not told as that",
        "stores/s3_errors.py",
        "        kind = Kind.REGION  # so",
        "        pass  # so",
        ERRORS + " " + STORE,
    ),
    (
        "store: a look that is refused does not ask why",
        "stores/s3.py",
        "                if error.kind not in (Kind.REFUSED, Kind.DENIED):\n                    raise\n",
        "                raise\n",
        STORE,
    ),
    (
        "store: expired keys are not renewed at once",
        "stores/http.py",
        "            if fresh == keys:\n                raise\n",
        "            raise\n",
        HTTP,
    ),
    # Addresses.
    (
        "store: path style at AWS",
        "stores/http.py",
        'return Bucket(name, f"https://{name}.s3.{region}.{domain}", region)',
        'return Bucket(name, f"https://s3.{region}.{domain}/{name}", region)',
        HTTP,
    ),
    # What is left of multipart uploads.
    (
        "store: an upload that failed is not aborted",
        "stores/s3.py",
        "            await self._given_up(key, upload, error)\n",
        "            del error\n",
        HTTP + " " + STORE,
    ),
    (
        "store: the second page of uploads is not read",
        "stores/s3.py",
        "            marker = following\n",
        "            return count\n",
        STORE,
    ),
    ("store: clocks are believed to agree", "stores/s3.py", "before_ns + _CLOCKS_APART_NS", "before_ns", STORE),
    (
        "store: keys of lists are taken as they are",
        "stores/answers.py",
        'return unquote_plus(written) if child(root, "EncodingType") == "url" else written',
        "return written",
        STORE,
    ),
    (
        "store: a list that encodes keys must say so",
        "stores/answers.py",
        "    return key in (written, unquote_plus(written))\n",
        "    return key == written\n",
        STORE,
    ),
    (
        "store: long metadata go in one piece",
        "stores/s3.py",
        "headers_of(metadata, honours.metadata_longest)",
        "headers_of(metadata, None)",
        STORE,
    ),
    (
        "store: how long metadata may be is not tried",
        "stores/probe.py",
        "            metadata_longest = await self._metadata_longest()\n",
        "            metadata_longest = None\n",
        PROBE,
    ),
    (
        "store: half an object is kept where a body breaks off",
        "stores/s3.py",
        "if large or not honours.put_whole:",
        "if large:",
        STORE,
    ),
    (
        "store: whether half an object is kept is not tried",
        "stores/probe.py",
        "put_whole = await self._store.head(self._cut_key) is None",
        "put_whole = True",
        PROBE,
    ),
    # Checksums and abilities.
    ("store: parts carry no checksum", "stores/s3.py", "checksum_headers(kind, found))", "{})", STORE),
    (
        "store: uploads carry no checksum",
        "stores/s3.py",
        "            **checksum_headers(honours.checksum, found),\n",
        "",
        STORE,
    ),
    (
        "store: the first trial carries no checksum",
        "stores/probe.py",
        "        checksum, verified = await self._checksum()\n",
        "        await self._put({})\n        checksum, verified = await self._checksum()\n",
        PROBE,
    ),
    (
        "store: a condition is believed without the other half of the trial",
        "stores/probe.py",
        "        return present is not None and await self._takes(lambda: right(present.etag))\n",
        "        return present is not None\n",
        PROBE,
    ),
    (
        "store: a copy's condition is sent where it is not understood",
        "stores/s3.py",
        "if self._found is None or self._found.copy_if_match else None",
        "if self._found else None",
        STORE,
    ),
    (
        "store: nothing is compared where a condition is ignored",
        "stores/s3.py",
        "        if condition is not None and found != wanted:",
        "        if False:",
        STORE,
    ),
    # Keys to sign with.
    (
        "store: what a provider stumbles over gets out",
        "stores/credentials.py",
        "        except Exception as error:\n",
        "        except OSError as error:\n",
        KEYS,
    ),
    ("store: secrets of a provider are shown", "stores/credentials.py", 'r"\\1(not shown)"', 'r"\\g<0>"', KEYS),
    (
        "store: each one searches for keys",
        "stores/credentials.py",
        "        if not self._searching:\n",
        "        if True:\n",
        KEYS,
    ),
    # A folder.
    (
        "store: no fsync of an object in a folder",
        "stores/directory.py",
        "                    os.fsync(out.fileno())\n",
        "",
        FOLDER,
    ),
    (
        "store: no fsync of an object's folder",
        "stores/directory.py",
        "            _sync_dir(folder)\n        return",
        "        return",
        FOLDER,
    ),
    (
        "store: writes in a folder have equal ETags",
        "stores/directory.py",
        "                    _mark(out.fileno())\n",
        "",
        FOLDER,
    ),
    (
        "store: a link leads out of a folder",
        "stores/directory.py",
        "        if real != top and",
        "        if False and",
        FOLDER,
    ),
    (
        "store: a short name stands for two",
        "stores/file_names.py",
        "if short and not stands_for_another(name):",
        "if short:",
        FOLDER,
    ),
    (
        "store: another object's metadata are shown",
        "stores/directory.py",
        'if noted["etag"] == etag else {}',
        "if noted else {}",
        FOLDER,
    ),
    (
        "store: one thing in the way holds up the folder",
        "stores/directory.py",
        "        if error.errno in _THIS_OBJECT:\n",
        "        if False:\n",
        FOLDER,
    ),
    (
        "store: a folder's lock is waited for without end",
        "stores/directory.py",
        "            if time.monotonic() >= until:\n",
        "            if False:\n",
        FOLDER,
    ),
]
