"""Small tools that every package of the engine may use. They know nothing of nmm's domain."""
