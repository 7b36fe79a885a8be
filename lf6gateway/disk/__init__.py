"""Layer 2: what lies on disk. Blocking code that runs in threads; knows nothing of HTTP or of S3."""
