-- The error reports where records.envelope is on: who sent what and when, beside what was sent. "$path" is the object.
CREATE OR REPLACE VIEW insights_error_records AS
SELECT
    hour,
    regexp_extract("$path", '[0-9]{10}\.([^/]*)\.jsonl\.gz$', 1) AS host,
    from_iso8601_timestamp(json_extract_scalar(record, '$.received_at')) AS received_at,
    json_extract_scalar(record, '$.user') AS user_name,
    json_extract_scalar(record, '$.id') AS id,
    json_extract(record, '$.data') AS data
FROM insights_error;
