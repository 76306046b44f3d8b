"""One module for each query: its plan, or the reason why it is refused."""
