"""Layer 4: services. One IService each: receive, seal, ship, retain; and the gateway that orders them."""
