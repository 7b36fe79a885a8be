"""Layer 5: edges. HTTP resources, the twistd plugin's options, and the command line."""
