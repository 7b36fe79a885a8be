"""Layer 3: network out. Object stores behind one interface, and the signing that S3 wants."""
