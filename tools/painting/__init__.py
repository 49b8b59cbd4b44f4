"""The programs that paint the style pictures; ``tools/paint_styles.py`` runs them."""
