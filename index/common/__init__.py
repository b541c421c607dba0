"""Small tools that every package of the engine uses; none of them knows what nmm is for."""
