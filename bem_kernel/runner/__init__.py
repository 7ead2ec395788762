"""The runner: observe, query, sample, apply; learning between episodes; slow work beside them."""
