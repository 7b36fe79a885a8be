"""Layer 1: values and decisions. Pure: no file, no socket, no thread, no reactor, no clock of its own."""
