"""The widget kit: everything here is drawn from the theme and knows no facade."""
