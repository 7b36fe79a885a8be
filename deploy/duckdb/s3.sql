-- Lets DuckDB read from S3, with the credentials that every AWS tool finds. The first line fetches DuckDB's own extension.
INSTALL httpfs;
LOAD httpfs;
INSTALL aws;
LOAD aws;
CREATE OR REPLACE SECRET insights (
    TYPE s3,
    PROVIDER credential_chain,
    REGION 'ap-northeast-1'
    -- For a store that is not AWS:
    -- , ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false
);
