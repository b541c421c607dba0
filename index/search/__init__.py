"""Search: queries, candidates, ranking, results."""
