"""Segments and what searches them: dense vectors, BM25 postings, the fusion of both."""
