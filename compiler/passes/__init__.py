"""The passes of the compiler, each a pure function Graph -> Graph."""
