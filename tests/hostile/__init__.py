"""What an attacker sends, and what is expected of the gateway: the same for every HTTP channel."""
