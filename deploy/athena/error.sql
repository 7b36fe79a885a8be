-- The error reports as a table of Athena, kept in the Glue catalogue. Partitions are reckoned from the hour (partition
-- projection): none is ever added, and a query that names hours reads their objects alone:
--
--     SELECT json_extract_scalar(record, '$.version') AS version
--     FROM insights_error
--     WHERE hour BETWEEN '2026/11/25/00' AND '2026/11/25/23';
--
-- Change the bucket and prefix (twice) and the first hour there is. Hours are UTC, by the moment of reception.
CREATE EXTERNAL TABLE insights_error (
    record string
)
PARTITIONED BY (hour string)
-- A record is a line as it was sent. The separator is a character that JSON never has in it.
ROW FORMAT DELIMITED FIELDS TERMINATED BY '\001' LINES TERMINATED BY '\n'
STORED AS TEXTFILE
LOCATION 's3://insights/error/'
TBLPROPERTIES (
    'projection.enabled' = 'true',
    'projection.hour.type' = 'date',
    'projection.hour.format' = 'yyyy/MM/dd/HH',
    'projection.hour.range' = '2026/01/01/00,NOW',
    'projection.hour.interval' = '1',
    'projection.hour.interval.unit' = 'HOURS',
    'storage.location.template' = 's3://insights/error/${hour}/'
);
