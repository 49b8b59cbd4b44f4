"""The style of pictures, and how it is carried over to others."""
