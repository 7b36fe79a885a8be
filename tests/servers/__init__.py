"""S3 servers of others, installed from package registries and run on loopback without a container."""
