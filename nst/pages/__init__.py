"""The screen: one module a page, in the order of what is seen. No tensor work here."""
