-- What the gateway delivered, as tables of DuckDB (1.2 or later). Say where it lies, then read this file:
--
--     SET VARIABLE insights = '/srv/insights';     -- storage.directory
--     SET VARIABLE insights = 's3://insights';     -- a bucket, behind s3.sql
--     .read deploy/duckdb/records.sql
--
-- Prefixes are usage/, error/ and specimen/, as in config.example.yml. Hours are UTC, by the moment of reception.

-- The records of a stream. hours narrows down which objects are read: '2026/11/25/*' is a day, '2026/11/25/13' an hour.
CREATE OR REPLACE MACRO records(stream, hours := '*/*/*/*') AS TABLE
SELECT
    strptime(regexp_extract(filename, '(\d{10})\.[^/]*$', 1), '%Y%m%d%H') AS hour,
    regexp_extract(filename, '\d{10}\.([^/]*)\.jsonl\.gz$', 1) AS host,
    json AS record
FROM read_json(
    getvariable('insights') || '/' || stream || '/' || hours || '/*.jsonl.gz',
    format = 'newline_delimited',
    records = false,
    columns = {json: 'JSON'},
    filename = true,
    -- http.max_report, and some room for the envelope.
    maximum_object_size = 33554432
);

-- The same where records.envelope is on. A record without an envelope, from before it was turned on, has no user.
CREATE OR REPLACE MACRO enveloped(stream, hours := '*/*/*/*') AS TABLE
SELECT
    hour,
    host,
    CAST(record ->> '$.received_at' AS TIMESTAMPTZ) AS received_at,
    record ->> '$.user' AS user_name,
    record ->> '$.id' AS id,
    record -> '$.data' AS data
FROM records(stream, hours := hours);

-- Which specimens there are. days narrows it down, as '2026/11/25'.
CREATE OR REPLACE MACRO specimens(days := '*/*/*') AS TABLE
SELECT
    regexp_extract(file, '/specimen/([^/]*)/', 1) AS user_name,
    make_timestamp_ns(CAST(regexp_extract(file, '\.(\d{19})(\.[^./]*)?$', 1) AS BIGINT)) AS received_at,
    regexp_extract(file, '/([^/]*)\.\d{19}(\.[^./]*)?$', 1) AS name,
    regexp_extract(file, '\.\d{19}\.([^./]*)$', 1) AS extension,
    file
FROM glob(getvariable('insights') || '/specimen/*/' || days || '/*');
