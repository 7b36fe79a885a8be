"""lf6gateway: takes usage reports, error reports and specimens over HTTP, and delivers them to S3, each once."""
