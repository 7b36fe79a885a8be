"""What lf6gateway can do, measured beside what others can do on the same machine in the same minutes."""
